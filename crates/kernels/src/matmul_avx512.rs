//! Block matmul of many tokens with AVX-512 and VNNI.
//!
//! A vector holds 4 k of 16 rows: two blocks of 8 side by side. `vpdpbusd` adds 4 products of unsigned weights and
//! signed activations to an `i32`, without saturation. LB4 with codes -8..=7 feeds raw nibbles to sums that start at
//! [`GroupScale::biased`], which makes the two halves of a sum (dot, sum of a) but for one bit; one `pmaddwd` with
//! (D, O) then gives the group's integer. Other codes are biased by 128, and 128 times the sum of a is taken away.
//! Weights come from memory once in a step: each pass asks early for those of the next pair of blocks.
//!
//! [`GroupScale::biased`]: crate::activations::GroupScale::biased

use crate::activations::{Activations, SCALE_FIELDS};
use crate::matmul_avx2;
use crate::packed::{BLOCK_ROWS, PackedMatrix};
use lockstep_arith::matrix::{Format, GROUP};
use std::arch::x86_64::*;
use std::ops::Range;

/// Tokens from which on this beats AVX2: with fewer, memory is the limit, and one block at a time is how it is read best.
pub(crate) const MANY: usize = 4;

/// Tokens that one pass over two blocks serves: their sums fill half of the registers, the weights a quarter.
const TOKENS: usize = 8;

/// The exact integers of 16 rows of one token: even rows and odd rows of both blocks.
type Sums = [__m512i; 2];

/// Calls `finish` for each token with the sums of two blocks, in passes of 8, 4, 2 and 1 tokens.
macro_rules! for_tokens {
    ($matrix:expr, $x:expr, $two:expr, $finish:expr) => {
        let mut token = 0;
        while token < $x.tokens() {
            token += match $x.tokens() - token {
                TOKENS.. => for_tokens!(@pass TOKENS, $matrix, $x, $two, token, $finish),
                4.. => for_tokens!(@pass 4, $matrix, $x, $two, token, $finish),
                2.. => for_tokens!(@pass 2, $matrix, $x, $two, token, $finish),
                _ => for_tokens!(@pass 1, $matrix, $x, $two, token, $finish),
            };
        }
    };
    (@pass $tokens:expr, $matrix:expr, $x:expr, $two:expr, $token:expr, $finish:expr) => {{
        let sums = pass::<{ $tokens }>($matrix, $x, $two, $token);
        for t in 0..$tokens {
            $finish($token + t, sums[t]);
        }
        $tokens
    }};
}

/// Does the same for each of `$count` tokens, at most [`TOKENS`], written out: sums at fixed places stay in registers.
macro_rules! each_token {
    ($count:expr, $t:ident, $body:block) => {
        each_token!(@at $count, $t, $body, 0 1 2 3 4 5 6 7)
    };
    (@at $count:expr, $t:ident, $body:block, $($at:literal)*) => {
        $(if $at < $count {
            let $t: usize = $at;
            $body
        })*
    };
}

/// Calls `two` for each pair of blocks, the last one twice where their number is odd, with the outputs of both: of
/// the first block, and of the second if it is another.
macro_rules! for_pairs {
    ($blocks:expr, $width:expr, $out:expr, $pair:expr) => {
        for (at, out) in $out.chunks_mut((2 * $width).max(1)).enumerate() {
            let first = $blocks.start + 2 * at;
            let (low, high) = out.split_at_mut($width);
            $pair([first, first + usize::from(!high.is_empty())], low, high);
        }
    };
}

/// Blocks of 8 rows for all tokens; `out` is `[block][token][8]`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn blocks(matrix: &PackedMatrix<'_>, x: &Activations<'_>, blocks: Range<usize>, out: &mut [f32]) {
    let width = x.tokens() * BLOCK_ROWS;
    for_pairs!(blocks, width, out, |two: [usize; 2], low: &mut [f32], high: &mut [f32]| {
        let [first, second] = two;
        let exponents = _mm_set_epi64x(matrix.exponents(second) as i64, matrix.exponents(first) as i64);
        let exponents = _mm512_cvtepi8_epi32(exponents);
        for_tokens!(matrix, x, two, |token: usize, sums: Sums| {
            let rows = finish(sums, exponents, x.exponents[token]);
            let at = token * BLOCK_ROWS..(token + 1) * BLOCK_ROWS;
            store(&mut low[at.clone()], _mm512_castps512_ps256(rows));
            if !high.is_empty() {
                store(&mut high[at], _mm512_extractf32x8_ps(rows, 1));
            }
        });
    });
}

/// The exact integers of blocks of 8 rows for all tokens; `out` is `[block][token][8]`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn integers(matrix: &PackedMatrix<'_>, x: &Activations<'_>, blocks: Range<usize>, out: &mut [i64]) {
    let width = x.tokens() * BLOCK_ROWS;
    for_pairs!(blocks, width, out, |two: [usize; 2], low: &mut [i64], high: &mut [i64]| {
        for_tokens!(matrix, x, two, |token: usize, sums: Sums| {
            for (odd, sums) in sums.into_iter().enumerate() {
                let mut rows = [0_i64; 8];
                // SAFETY: 8 numbers of 64 bits.
                unsafe { _mm512_storeu_si512(rows.as_mut_ptr().cast(), sums) };
                for row in 0..4 {
                    low[token * BLOCK_ROWS + 2 * row + odd] = rows[row];
                    if !high.is_empty() {
                        high[token * BLOCK_ROWS + 2 * row + odd] = rows[4 + row];
                    }
                }
            }
        });
    });
}

/// The sums of two blocks for `T` tokens from `token` on.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn pass<const T: usize>(matrix: &PackedMatrix<'_>, x: &Activations<'_>, blocks: [usize; 2], token: usize) -> [Sums; T] {
    let layout = matrix.layout();
    let groups = layout.groups();
    assert!(x.codes.len() == x.tokens() * groups * GROUP && x.scales.len() == x.tokens() * groups);
    assert!(token + T <= x.tokens());
    let input = Input {
        blocks: [matrix.block(blocks[0]).as_ptr(), matrix.block(blocks[1]).as_ptr()],
        groups,
        group_bytes: layout.group_bytes(),
        codes: x.codes[token * groups * GROUP..].as_ptr(),
        scales: x.scales[token * groups..].as_ptr().cast(),
    };
    // SAFETY: the asserts above and `PackedMatrix::block` hold every pointer's range: `groups` groups of
    // `group_bytes` weights, and for each of the `T` tokens as many of 32 codes and of one `GroupScale`.
    unsafe {
        match layout.format {
            Format::Lb4 { codebook, has_offset } if codebook[0] == -8 && codebook[15] == 7 => {
                if has_offset {
                    ramp::<T, true>(&input)
                } else {
                    ramp::<T, false>(&input)
                }
            }
            Format::Lb4 { codebook, has_offset: false } => table(&input, codebook),
            Format::Lb4 { .. } => matmul_avx2::unreachable_format(),
            Format::Lb8 => lb8(&input),
        }
    }
}

/// Two blocks and the tokens from one on.
struct Input {
    blocks: [*const u8; 2],
    groups: usize,
    group_bytes: usize,
    codes: *const i8,
    scales: *const i32,
}

impl Input {
    /// 32 bytes at `at` of both blocks.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn vector(&self, at: usize) -> __m512i {
        // SAFETY: the caller keeps 32 bytes from `at` on within a block.
        unsafe {
            let low = _mm256_loadu_si256(self.blocks[0].add(at).cast());
            _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_loadu_si256(self.blocks[1].add(at).cast()), 1)
        }
    }

    /// Asks for a part of what the next pass reads, the pair of blocks that follows: in the order in which it lies in
    /// memory, which is what the memory is fast at, though a pass reads both blocks side by side. Asking beyond the
    /// end does nothing.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn prefetch<const LINES: usize>(&self, at: usize) {
        let next = self.blocks[0].wrapping_add(2 * (self.groups * self.group_bytes + at));
        for line in 0..LINES {
            _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(line * 64).cast());
        }
    }

    /// Eight `i16` at `at` of both blocks, each in the low half of 32 bits.
    #[target_feature(enable = "avx2,avx512f")]
    #[inline]
    unsafe fn halves(&self, at: usize) -> __m512i {
        // SAFETY: the caller keeps 16 bytes from `at` on within a block.
        unsafe {
            let low = _mm_loadu_si128(self.blocks[0].add(at).cast());
            let high = _mm_loadu_si128(self.blocks[1].add(at).cast());
            _mm512_cvtepu16_epi32(_mm256_set_m128i(high, low))
        }
    }

    /// Quad `quad` of token `t` in group `group`, in every 32-bit lane.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn quad(&self, t: usize, group: usize, quad: usize) -> __m512i {
        // SAFETY: the caller keeps `group < groups` and `quad < 8`, and `t` below its number of tokens.
        let at = unsafe { self.codes.add((t * self.groups + group) * GROUP + quad * 4) };
        // SAFETY: as above.
        _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
    }

    /// Field `field` of token `t`'s scale of group `group`, in every lane.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn scale(&self, t: usize, group: usize, field: usize) -> __m512i {
        // SAFETY: as in `quad`; a `GroupScale` is `SCALE_FIELDS` times an i32.
        _mm512_set1_epi32(unsafe { self.scales.add((t * self.groups + group) * SCALE_FIELDS + field).read() })
    }
}

/// LB4 with codes -8..=7.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn ramp<const T: usize, const OFFSET: bool>(input: &Input) -> [Sums; T] {
    let mut acc = [[_mm512_setzero_si512(); 2]; T];
    let mask = _mm512_set1_epi8(15);
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = group * input.group_bytes;
            input.prefetch::<5>(at);
            let mut weights = [_mm512_setzero_si512(); 8];
            for vector in 0..4 {
                let raw = input.vector(at + vector * 32);
                weights[vector] = _mm512_and_si512(raw, mask);
                weights[vector + 4] = _mm512_and_si512(_mm512_srli_epi16(raw, 4), mask);
            }
            // D in the low half of 32 bits, O or nothing in the high half.
            let pairs = if OFFSET { _mm512_rol_epi32(input.vector(at + 128), 16) } else { input.halves(at + 128) };
            each_token!(T, t, {
                let mut sum = input.scale(t, group, 3);
                for quad in 0..8 {
                    sum = _mm512_dpbusd_epi32(sum, weights[quad], input.quad(t, group, quad));
                }
                let both = _mm512_xor_si512(sum, _mm512_set1_epi32(0x8000));
                let integer = _mm512_madd_epi16(both, pairs);
                let scale = input.scale(t, group, 2);
                acc[t][0] = _mm512_add_epi64(acc[t][0], _mm512_mul_epi32(integer, scale));
                acc[t][1] = _mm512_add_epi64(acc[t][1], _mm512_mul_epi32(_mm512_srli_epi64(integer, 32), scale));
            });
        }
    }
    acc
}

/// Adds one group of biased codes (code + 128) and its D for all tokens: `acc += (D * A) * dot`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
unsafe fn add_biased<const T: usize>(
    acc: &mut [Sums; T],
    input: &Input,
    group: usize,
    weights: &[__m512i; 8],
    d: __m512i,
) {
    // A loop here: written out, the sums of 8 tokens no longer fit the registers beside the rest.
    for t in 0..T {
        // SAFETY: the caller keeps `group` and `T` within the input.
        unsafe {
            // -128 times the sum of a, which fits an i16.
            let bias = _mm512_set1_epi32(0xFF80);
            let mut dot = _mm512_dpwssd_epi32(_mm512_setzero_si512(), bias, input.scale(t, group, 1));
            for quad in 0..8 {
                dot = _mm512_dpbusd_epi32(dot, weights[quad], input.quad(t, group, quad));
            }
            let factor = _mm512_madd_epi16(d, input.scale(t, group, 2));
            acc[t][0] = _mm512_add_epi64(acc[t][0], _mm512_mul_epi32(dot, factor));
            let odd = _mm512_mul_epi32(_mm512_srli_epi64(dot, 32), _mm512_srli_epi64(factor, 32));
            acc[t][1] = _mm512_add_epi64(acc[t][1], odd);
        }
    }
}

/// LB4 through a table.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn table<const T: usize>(input: &Input, codebook: [i8; 16]) -> [Sums; T] {
    let mut acc = [[_mm512_setzero_si512(); 2]; T];
    let mask = _mm512_set1_epi8(15);
    let biased = codebook.map(|code| code as u8 ^ 128);
    // SAFETY: a codebook is 16 bytes.
    let table = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(biased.as_ptr().cast()) });
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = group * input.group_bytes;
            input.prefetch::<5>(at);
            let mut weights = [_mm512_setzero_si512(); 8];
            for vector in 0..4 {
                let raw = input.vector(at + vector * 32);
                weights[vector] = _mm512_shuffle_epi8(table, _mm512_and_si512(raw, mask));
                weights[vector + 4] = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(raw, 4), mask));
            }
            add_biased(&mut acc, input, group, &weights, input.halves(at + 128));
        }
    }
    acc
}

/// LB8.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn lb8<const T: usize>(input: &Input) -> [Sums; T] {
    let mut acc = [[_mm512_setzero_si512(); 2]; T];
    for group in 0..input.groups {
        // SAFETY: within the ranges that `pass` asserted.
        unsafe {
            let at = group * input.group_bytes;
            input.prefetch::<9>(at);
            let mut weights = [_mm512_setzero_si512(); 8];
            for vector in 0..8 {
                weights[vector] = _mm512_xor_si512(input.vector(at + vector * 32), _mm512_set1_epi8(-128));
            }
            add_biased(&mut acc, input, group, &weights, input.halves(at + 256));
        }
    }
    acc
}

/// `rn(acc) * 2^(j + E)` of 16 rows in their order.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn finish(sums: Sums, exponents: __m512i, exponent: i32) -> __m512 {
    // One rounding each; even rows fill the low halves of 64 bits, odd rows the high halves.
    let even = _mm512_cvtepu32_epi64(_mm256_castps_si256(_mm512_cvtepi64_ps(sums[0])));
    let odd = _mm512_cvtepu32_epi64(_mm256_castps_si256(_mm512_cvtepi64_ps(sums[1])));
    let rows = _mm512_castsi512_ps(_mm512_or_si512(even, _mm512_slli_epi64(odd, 32)));
    let field = _mm512_add_epi32(exponents, _mm512_set1_epi32(exponent + 127));
    _mm512_mul_ps(rows, _mm512_castsi512_ps(_mm512_slli_epi32(field, 23)))
}

/// Writes 8 rows.
#[target_feature(enable = "avx")]
#[inline]
fn store(out: &mut [f32], rows: __m256) {
    assert!(out.len() == BLOCK_ROWS);
    // SAFETY: `out` holds 8 numbers.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), rows) }
}
