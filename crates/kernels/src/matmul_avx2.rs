//! Block matmul with AVX2: exact integers at the speed of memory for one token, of the multipliers for many.
//!
//! A vector holds 8 rows x 4 k. LB4 with codes -8..=7: `i16` accumulators start at -8 times their own sum of `a`, so
//! raw nibbles feed `maddubs`; exactly 8 of them a lane stay inside `i16`. The group's integer is one `pmaddwd` of
//! (sum of a, dot) with the stored (O, D). Everything else goes through signed bytes and `i32`.

use crate::activations::{Activations, SCALE_FIELDS};
use crate::packed::{BLOCK_ROWS, PackedMatrix};
use lockstep_arith::matrix::{Format, GROUP};
use std::arch::x86_64::*;

/// Tokens that one pass over a block serves.
const TOKENS: usize = 4;

/// Bytes between what is read and what is asked for.
const AHEAD: usize = 4096;

/// Calls `finish` for each token with its sums, in passes of at most [`TOKENS`] tokens.
macro_rules! for_tokens {
    ($matrix:expr, $x:expr, $block:expr, $finish:expr) => {
        let mut token = 0;
        while token < $x.tokens() {
            match $x.tokens() - token {
                1 => for_tokens!(@pass 1, $matrix, $x, $block, token, $finish),
                2 => for_tokens!(@pass 2, $matrix, $x, $block, token, $finish),
                3 => for_tokens!(@pass 3, $matrix, $x, $block, token, $finish),
                _ => for_tokens!(@pass TOKENS, $matrix, $x, $block, token, $finish),
            }
            token += TOKENS;
        }
    };
    (@pass $tokens:expr, $matrix:expr, $x:expr, $block:expr, $token:expr, $finish:expr) => {{
        let sums = pass::<{ $tokens }>($matrix, $x, $block, $token);
        for t in 0..$tokens {
            $finish($token + t, sums[t]);
        }
    }};
}

/// One block of 8 rows for all tokens; `out` is `[token][8]`.
#[target_feature(enable = "avx2")]
pub(crate) fn block(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, out: &mut [f32]) {
    let exponents = matrix.exponents(block);
    for_tokens!(matrix, x, block, |token: usize, acc| {
        finish(acc, exponents, x.exponents[token], &mut out[token * BLOCK_ROWS..][..BLOCK_ROWS]);
    });
}

/// The exact integers of one block of 8 rows for all tokens; `out` is `[token][8]`.
#[target_feature(enable = "avx2")]
pub(crate) fn block_integers(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, out: &mut [i64]) {
    for_tokens!(matrix, x, block, |token: usize, acc: [__m256i; 2]| {
        let out = &mut out[token * BLOCK_ROWS..][..BLOCK_ROWS];
        for (half, acc) in acc.into_iter().enumerate() {
            let mut rows = [0_i64; 4];
            // SAFETY: 4 numbers of 64 bits.
            unsafe { _mm256_storeu_si256(rows.as_mut_ptr().cast(), acc) };
            for row in 0..4 {
                out[2 * row + half] = rows[row];
            }
        }
    });
}

/// The exact integers of a block's even and odd rows, for `T` tokens from `token` on.
#[target_feature(enable = "avx2")]
fn pass<const T: usize>(
    matrix: &PackedMatrix<'_>,
    x: &Activations<'_>,
    block: usize,
    token: usize,
) -> [[__m256i; 2]; T] {
    let layout = matrix.layout();
    let groups = layout.groups();
    assert!(x.codes.len() == x.tokens() * groups * GROUP && x.scales.len() == x.tokens() * groups);
    assert!(token + T <= x.tokens());
    let input = Input {
        bytes: matrix.block(block).as_ptr(),
        groups,
        group_bytes: layout.group_bytes(),
        codes: x.codes[token * groups * GROUP..].as_ptr(),
        scales: x.scales[token * groups..].as_ptr().cast(),
    };
    // SAFETY: the asserts above and `PackedMatrix::block` hold every pointer's range: `groups` groups of
    // `group_bytes` weights, of 32 codes and of one `GroupScale`.
    unsafe {
        match layout.format {
            Format::Lb4 { codebook, has_offset } if codebook[0] == -8 && codebook[15] == 7 => {
                if has_offset {
                    lb4_affine::<T, true>(&input)
                } else {
                    lb4_affine::<T, false>(&input)
                }
            }
            Format::Lb4 { codebook, has_offset: false } => lb4_table(&input, codebook),
            Format::Lb4 { .. } => unreachable_format(),
            Format::Lb8 => lb8(&input),
        }
    }
}

/// A table codebook never carries offsets: `arith::import` makes none, and the packed header refuses one.
#[cold]
pub(crate) fn unreachable_format() -> ! {
    unreachable!("a table codebook with offsets is refused when a matrix is opened")
}

/// A block and the tokens from one on.
struct Input {
    bytes: *const u8,
    groups: usize,
    group_bytes: usize,
    codes: *const i8,
    scales: *const i32,
}

impl Input {
    /// Quad `quad` of token `t` in group `group`, in every 32-bit lane.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn quad(&self, t: usize, group: usize, quad: usize) -> __m256i {
        // SAFETY: the caller keeps `group < groups` and `quad < 8`, and `t` below its number of tokens.
        let at = unsafe { self.codes.add((t * self.groups + group) * GROUP + quad * 4) };
        // SAFETY: as above.
        _mm256_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
    }

    /// Field `field` (start, sum, scale) of token `t` in group `group`, in every lane.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn scale(&self, t: usize, group: usize, field: usize) -> __m256i {
        // SAFETY: as in `quad`; a `GroupScale` is `SCALE_FIELDS` times an i32.
        _mm256_set1_epi32(unsafe { self.scales.add((t * self.groups + group) * SCALE_FIELDS + field).read() })
    }
}

/// Asks for the lines of a group that is read a little later: weights come from memory once in a step. Asking beyond the
/// end does nothing.
#[target_feature(enable = "avx2")]
#[inline]
fn prefetch<const LINES: usize>(group: *const u8) {
    for line in 0..LINES {
        _mm_prefetch::<_MM_HINT_T0>(group.wrapping_add(AHEAD + 64 * line).cast());
    }
}

/// `acc[even rows, odd rows] += A * integer`.
#[target_feature(enable = "avx2")]
#[inline]
fn accumulate(acc: &mut [__m256i; 2], integer: __m256i, scale: __m256i) {
    acc[0] = _mm256_add_epi64(acc[0], _mm256_mul_epi32(integer, scale));
    acc[1] = _mm256_add_epi64(acc[1], _mm256_mul_epi32(_mm256_srli_epi64(integer, 32), scale));
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn lb4_affine<const T: usize, const OFFSET: bool>(input: &Input) -> [[__m256i; 2]; T] {
    let mut acc = [[_mm256_setzero_si256(); 2]; T];
    let low_mask = _mm256_set1_epi8(15);
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = input.bytes.add(group * input.group_bytes);
            prefetch::<3>(at);
            let mut sums: [__m256i; T] = [_mm256_setzero_si256(); T];
            for t in 0..T {
                sums[t] = input.scale(t, group, 0);
            }
            for vector in 0..4 {
                let raw = _mm256_loadu_si256(at.add(vector * 32).cast());
                let low = _mm256_and_si256(raw, low_mask);
                let high = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low_mask);
                for t in 0..T {
                    let first = _mm256_maddubs_epi16(low, input.quad(t, group, vector));
                    sums[t] = _mm256_add_epi16(sums[t], first);
                    let second = _mm256_maddubs_epi16(high, input.quad(t, group, vector + 4));
                    sums[t] = _mm256_add_epi16(sums[t], second);
                }
            }
            let pairs = if OFFSET {
                _mm256_loadu_si256(at.add(128).cast())
            } else {
                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(128).cast())), 16)
            };
            for t in 0..T {
                // High half: the dot product; low half: the sum of a.
                let dot = _mm256_add_epi16(sums[t], _mm256_slli_epi32(sums[t], 16));
                let both = if OFFSET { _mm256_blend_epi16(dot, input.scale(t, group, 1), 0x55) } else { dot };
                accumulate(&mut acc[t], _mm256_madd_epi16(both, pairs), input.scale(t, group, 2));
            }
        }
    }
    acc
}

/// Adds the products of 4 k of 8 rows to `i32` sums.
#[target_feature(enable = "avx2")]
#[inline]
fn add_signed(sum: __m256i, weights: __m256i, magnitudes: __m256i, a: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(a, weights));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// `acc += (D * A) * dot`: D times A fits an i32.
#[target_feature(enable = "avx2")]
#[inline]
fn accumulate_scaled(acc: &mut [__m256i; 2], dot: __m256i, d: __m256i, scale: __m256i) {
    let factor = _mm256_madd_epi16(d, scale);
    acc[0] = _mm256_add_epi64(acc[0], _mm256_mul_epi32(dot, factor));
    let odd = _mm256_mul_epi32(_mm256_srli_epi64(dot, 32), _mm256_srli_epi64(factor, 32));
    acc[1] = _mm256_add_epi64(acc[1], odd);
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn lb4_table<const T: usize>(input: &Input, codebook: [i8; 16]) -> [[__m256i; 2]; T] {
    let mut acc = [[_mm256_setzero_si256(); 2]; T];
    let low_mask = _mm256_set1_epi8(15);
    // SAFETY: a codebook is 16 bytes.
    let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(codebook.as_ptr().cast()) });
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = input.bytes.add(group * input.group_bytes);
            prefetch::<3>(at);
            let mut sums: [__m256i; T] = [_mm256_setzero_si256(); T];
            for vector in 0..4 {
                let raw = _mm256_loadu_si256(at.add(vector * 32).cast());
                let low = _mm256_shuffle_epi8(table, _mm256_and_si256(raw, low_mask));
                let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(raw, 4), low_mask));
                for (weights, quad) in [(low, vector), (high, vector + 4)] {
                    let magnitudes = _mm256_abs_epi8(weights);
                    for t in 0..T {
                        sums[t] = add_signed(sums[t], weights, magnitudes, input.quad(t, group, quad));
                    }
                }
            }
            let d = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(128).cast()));
            for t in 0..T {
                accumulate_scaled(&mut acc[t], sums[t], d, input.scale(t, group, 2));
            }
        }
    }
    acc
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn lb8<const T: usize>(input: &Input) -> [[__m256i; 2]; T] {
    let mut acc = [[_mm256_setzero_si256(); 2]; T];
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = input.bytes.add(group * input.group_bytes);
            prefetch::<5>(at);
            let mut sums: [__m256i; T] = [_mm256_setzero_si256(); T];
            for vector in 0..8 {
                let weights = _mm256_loadu_si256(at.add(vector * 32).cast());
                let magnitudes = _mm256_abs_epi8(weights);
                for t in 0..T {
                    sums[t] = add_signed(sums[t], weights, magnitudes, input.quad(t, group, vector));
                }
            }
            let d = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(256).cast()));
            for t in 0..T {
                accumulate_scaled(&mut acc[t], sums[t], d, input.scale(t, group, 2));
            }
        }
    }
    acc
}

/// `rn(acc) * 2^(j + E)` of 8 rows.
#[target_feature(enable = "avx2")]
#[inline]
fn finish(acc: [__m256i; 2], exponents: u64, exponent: i32, out: &mut [f32]) {
    let (even, odd) = (to_f32(acc[0]), to_f32(acc[1]));
    let rows = _mm256_set_m128(_mm_unpackhi_ps(even, odd), _mm_unpacklo_ps(even, odd));
    let j = _mm256_cvtepi8_epi32(_mm_set1_epi64x(exponents as i64));
    let field = _mm256_add_epi32(j, _mm256_set1_epi32(exponent + 127));
    let y = _mm256_mul_ps(rows, _mm256_castsi256_ps(_mm256_slli_epi32(field, 23)));
    assert!(out.len() == BLOCK_ROWS);
    // SAFETY: `out` holds 8 numbers.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), y) }
}

/// Four integers below 2^53 to f32: exact in f64 (high part * 2^32 + low part), then one rounding.
#[target_feature(enable = "avx2")]
#[inline]
fn to_f32(x: __m256i) -> __m128 {
    let low_magic = _mm256_set1_epi64x(0x4330_0000_0000_0000);
    let high_magic = _mm256_set1_epi64x(0x4530_0000_8000_0000);
    let both_magic = _mm256_castsi256_pd(_mm256_set1_epi64x(0x4530_0000_8010_0000));
    let low = _mm256_castsi256_pd(_mm256_blend_epi32(low_magic, x, 0x55));
    let high = _mm256_castsi256_pd(_mm256_xor_si256(_mm256_srli_epi64(x, 32), high_magic));
    _mm256_cvtpd_ps(_mm256_add_pd(_mm256_sub_pd(high, both_magic), low))
}
