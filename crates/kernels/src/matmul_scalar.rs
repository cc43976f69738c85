//! Block matmul in plain code over packed weights: what runs where no vector unit is known.

use crate::activations::Activations;
use crate::packed::{BLOCK_ROWS, PackedMatrix};
use lockstep_arith::matmul::finish;
use lockstep_arith::matrix::GROUP;

/// Tokens that share the decoding of a group; their sums live on the stack.
const TOKENS: usize = 32;

/// One block of 8 rows for all tokens; `out` is `[token][8]`.
pub(crate) fn block(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, out: &mut [f32]) {
    for (part, out) in out.chunks_mut(TOKENS * BLOCK_ROWS).enumerate() {
        some_tokens(matrix, x, block, part * TOKENS, out);
    }
}

fn some_tokens(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, first: usize, out: &mut [f32]) {
    let groups = matrix.layout().groups();
    let exponents = matrix.exponents(block);
    let mut acc = [[0i64; BLOCK_ROWS]; TOKENS];
    let acc = &mut acc[..out.len() / BLOCK_ROWS];
    for group in 0..groups {
        for row in 0..BLOCK_ROWS {
            let (codes, d, o) = matrix.group(block * BLOCK_ROWS + row, group);
            for (token, acc) in acc.iter_mut().enumerate() {
                let at = (first + token) * groups + group;
                let a = &x.codes[at * GROUP..][..GROUP];
                let dot: i32 = codes.iter().zip(a).map(|(&c, &a)| i32::from(c) * i32::from(a)).sum();
                let integer = i32::from(d) * dot + i32::from(o) * x.scales[at].sum;
                acc[row] += i64::from(x.scales[at].scale) * i64::from(integer);
            }
        }
    }
    for ((out, acc), &exponent) in out.chunks_exact_mut(BLOCK_ROWS).zip(&*acc).zip(&x.exponents[first..]) {
        for row in 0..BLOCK_ROWS {
            out[row] = finish(acc[row], exponents[row], exponent, None);
        }
    }
}
