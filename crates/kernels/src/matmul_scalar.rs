//! Block matmul in plain code over packed weights: what runs where no vector unit is known.

use crate::activations::Activations;
use crate::packed::{BLOCK_ROWS, PackedMatrix};
use lockstep_arith::matmul::finish;
use lockstep_arith::matrix::GROUP;

/// Tokens that share the decoding of a group; their sums live on the stack.
const TOKENS: usize = 32;

/// One block of 8 rows for all tokens; `out` is `[token][8]`.
pub(crate) fn block(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, out: &mut [f32]) {
    let exponents = matrix.exponents(block).to_le_bytes();
    for (part, out) in out.chunks_mut(TOKENS * BLOCK_ROWS).enumerate() {
        let mut integers = [0; TOKENS * BLOCK_ROWS];
        let integers = &mut integers[..out.len()];
        some_tokens(matrix, x, block, part * TOKENS, integers);
        for (at, (out, acc)) in out.iter_mut().zip(integers).enumerate() {
            let exponent = x.exponents[part * TOKENS + at / BLOCK_ROWS];
            *out = finish(*acc, exponents[at % BLOCK_ROWS] as i8, exponent, None);
        }
    }
}

/// The exact integers of one block of 8 rows for all tokens; `out` is `[token][8]`.
pub(crate) fn block_integers(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, out: &mut [i64]) {
    for (part, out) in out.chunks_mut(TOKENS * BLOCK_ROWS).enumerate() {
        some_tokens(matrix, x, block, part * TOKENS, out);
    }
}

fn some_tokens(matrix: &PackedMatrix<'_>, x: &Activations<'_>, block: usize, first: usize, out: &mut [i64]) {
    let groups = matrix.layout().groups();
    out.fill(0);
    for group in 0..groups {
        for row in 0..BLOCK_ROWS {
            let (codes, d, o) = matrix.group(block * BLOCK_ROWS + row, group);
            for (token, out) in out.chunks_exact_mut(BLOCK_ROWS).enumerate() {
                let at = (first + token) * groups + group;
                let a = &x.codes[at * GROUP..][..GROUP];
                let dot: i32 = codes.iter().zip(a).map(|(&c, &a)| i32::from(c) * i32::from(a)).sum();
                let integer = i32::from(d) * dot + i32::from(o) * x.scales[at].sum;
                out[row] += i64::from(x.scales[at].scale) * i64::from(integer);
            }
        }
    }
}
