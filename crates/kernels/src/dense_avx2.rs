//! Dense products with AVX2: one `pmaddwd` for 8 outputs and a pair of inputs; 2 blocks of outputs by 4 tokens at once.

use crate::dense::{DENSE_ROWS, DenseMatrix};
use std::arch::x86_64::*;

/// Tokens that one pass over two blocks serves.
const TOKENS: usize = 4;

/// `out = matrix * x` for the outputs from block `first` on; the caller has checked the shapes.
#[target_feature(enable = "avx2")]
pub(crate) fn multiply_from(matrix: &DenseMatrix<'_>, first: usize, x: &[i16], out: &mut [i32]) {
    let (pairs, rows) = (matrix.pairs, matrix.rows);
    let tokens = out.len() / rows.max(1);
    let blocks = rows / DENSE_ROWS;
    for block in (first..blocks).step_by(2) {
        let two = block + 1 < blocks;
        let mut token = 0;
        while token < tokens {
            let x = &x[token * pairs * 2..];
            let out = &mut out[token * rows + block * DENSE_ROWS..];
            match (tokens - token, two) {
                (1, true) => pass::<1, 2>(matrix, block, x, out),
                (2, true) => pass::<2, 2>(matrix, block, x, out),
                (3, true) => pass::<3, 2>(matrix, block, x, out),
                (_, true) => pass::<TOKENS, 2>(matrix, block, x, out),
                (1, false) => pass::<1, 1>(matrix, block, x, out),
                (2, false) => pass::<2, 1>(matrix, block, x, out),
                (3, false) => pass::<3, 1>(matrix, block, x, out),
                (_, false) => pass::<TOKENS, 1>(matrix, block, x, out),
            }
            token += TOKENS;
        }
    }
}

/// `T` tokens by `B` blocks; `x` starts at the first token, `out` at the first token's first block.
#[target_feature(enable = "avx2")]
fn pass<const T: usize, const B: usize>(matrix: &DenseMatrix<'_>, block: usize, x: &[i16], out: &mut [i32]) {
    let (pairs, rows) = (matrix.pairs, matrix.rows);
    let width = pairs * DENSE_ROWS * 2;
    assert!(x.len() >= T * pairs * 2 && matrix.numbers.len() >= (block + B) * width);
    assert!(out.len() >= (T - 1) * rows + B * DENSE_ROWS);
    let weights: [*const i16; B] = std::array::from_fn(|b| matrix.numbers[(block + b) * width..].as_ptr());
    let inputs: [*const i16; T] = std::array::from_fn(|t| x[t * pairs * 2..].as_ptr());
    let mut sums = [[_mm256_setzero_si256(); B]; T];
    for pair in 0..pairs {
        // SAFETY: the asserts hold `pairs` pairs of 16 numbers for each block, and of 2 for each token.
        unsafe {
            let mut w = [_mm256_setzero_si256(); B];
            for b in 0..B {
                w[b] = _mm256_loadu_si256(weights[b].add(pair * 16).cast());
            }
            for t in 0..T {
                let a = _mm256_set1_epi32(inputs[t].add(pair * 2).cast::<i32>().read_unaligned());
                for b in 0..B {
                    sums[t][b] = _mm256_add_epi32(sums[t][b], _mm256_madd_epi16(w[b], a));
                }
            }
        }
    }
    for t in 0..T {
        for b in 0..B {
            let out = &mut out[t * rows + b * DENSE_ROWS..][..DENSE_ROWS];
            // SAFETY: 8 numbers of 32 bits.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[t][b]) };
        }
    }
}
