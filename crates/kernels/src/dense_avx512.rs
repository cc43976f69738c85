//! Dense products of many tokens with AVX-512 and VNNI: one `vpdpwssd` for 16 outputs, two blocks of 8 side by side,
//! and a pair of inputs.

use crate::dense::{DENSE_ROWS, DenseMatrix};
use crate::dense_avx2;
use std::arch::x86_64::*;

/// Tokens that one pass over two blocks serves.
const TOKENS: usize = 8;

/// Tokens from which on this beats AVX2: a token has one chain of sums.
const MANY: usize = 4;

/// `out = matrix * x`; the caller has checked the shapes.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
pub(crate) fn multiply(matrix: &DenseMatrix<'_>, x: &[i16], out: &mut [i32]) {
    let (pairs, rows) = (matrix.pairs, matrix.rows);
    let tokens = out.len() / rows.max(1);
    let blocks = if tokens < MANY { 0 } else { rows / DENSE_ROWS / 2 * 2 };
    for block in (0..blocks).step_by(2) {
        let mut token = 0;
        while token < tokens {
            let x = &x[token * pairs * 2..];
            let out = &mut out[token * rows + block * DENSE_ROWS..];
            token += match tokens - token {
                TOKENS.. => pass::<TOKENS>(matrix, block, x, out),
                4.. => pass::<4>(matrix, block, x, out),
                2.. => pass::<2>(matrix, block, x, out),
                _ => pass::<1>(matrix, block, x, out),
            };
        }
    }
    dense_avx2::multiply_from(matrix, blocks, x, out);
}

/// `T` tokens by two blocks; `x` starts at the first token, `out` at the first token's first block. Returns `T`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn pass<const T: usize>(matrix: &DenseMatrix<'_>, block: usize, x: &[i16], out: &mut [i32]) -> usize {
    let (pairs, rows) = (matrix.pairs, matrix.rows);
    let width = pairs * DENSE_ROWS * 2;
    assert!(x.len() >= T * pairs * 2 && matrix.numbers.len() >= (block + 2) * width);
    assert!(out.len() >= (T - 1) * rows + 2 * DENSE_ROWS);
    let weights = [matrix.numbers[block * width..].as_ptr(), matrix.numbers[(block + 1) * width..].as_ptr()];
    let mut sums = [_mm512_setzero_si512(); T];
    for pair in 0..pairs {
        // SAFETY: the asserts hold `pairs` pairs of 16 numbers for each block, and of 2 for each token.
        unsafe {
            let low = _mm512_castsi256_si512(_mm256_loadu_si256(weights[0].add(pair * 16).cast()));
            let w = _mm512_inserti64x4(low, _mm256_loadu_si256(weights[1].add(pair * 16).cast()), 1);
            for t in 0..T {
                let a = x.as_ptr().add((t * pairs + pair) * 2).cast::<i32>().read_unaligned();
                sums[t] = _mm512_dpwssd_epi32(sums[t], w, _mm512_set1_epi32(a));
            }
        }
    }
    for t in 0..T {
        let out = &mut out[t * rows..][..2 * DENSE_ROWS];
        // SAFETY: 16 numbers of 32 bits.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums[t]) };
    }
    T
}
