//! Dense products of 16-bit integers with exact 32-bit sums: INT8 matrices (widened), keys, and values.
//!
//! The caller keeps every sum within i32: with 8-bit operands that holds for K up to 131,072, with others it bounds
//! what it passes at once.

/// Outputs that lie side by side.
pub const DENSE_ROWS: usize = 8;

/// A matrix of `rows` outputs (whole blocks of 8) and `2 * pairs` inputs, as `[row / 8][pair][row % 8][2]`.
#[derive(Clone, Copy, Debug)]
pub struct DenseMatrix<'a> {
    /// Outputs, a multiple of 8.
    pub rows: usize,
    /// Pairs of inputs.
    pub pairs: usize,
    /// The numbers.
    pub numbers: &'a [i16],
}

/// Where input `k` of output `row` lies.
pub fn dense_index(pairs: usize, row: usize, k: usize) -> usize {
    ((row / DENSE_ROWS * pairs + k / 2) * DENSE_ROWS + row % DENSE_ROWS) * 2 + k % 2
}

/// Shapes agree: `x` is `[token][2 * pairs]`, `out` is `[token][rows]`.
pub(crate) fn check(matrix: &DenseMatrix<'_>, x: &[i16], out: &[i32]) {
    assert!(matrix.rows.is_multiple_of(DENSE_ROWS) && matrix.numbers.len() == matrix.rows * matrix.pairs * 2);
    let tokens = out.len() / matrix.rows.max(1);
    assert!(out.len() == tokens * matrix.rows && x.len() == tokens * matrix.pairs * 2, "shapes disagree");
}

/// `out = matrix * x`, in plain code.
pub(crate) fn multiply(matrix: &DenseMatrix<'_>, x: &[i16], out: &mut [i32]) {
    for (x, out) in x.chunks_exact(matrix.pairs * 2).zip(out.chunks_exact_mut(matrix.rows)) {
        for (block, out) in out.chunks_exact_mut(DENSE_ROWS).enumerate() {
            let numbers = &matrix.numbers[block * matrix.pairs * DENSE_ROWS * 2..][..matrix.pairs * DENSE_ROWS * 2];
            out.fill(0);
            for (pair, weights) in x.chunks_exact(2).zip(numbers.chunks_exact(DENSE_ROWS * 2)) {
                for (out, w) in out.iter_mut().zip(weights.chunks_exact(2)) {
                    *out += i32::from(w[0]) * i32::from(pair[0]) + i32::from(w[1]) * i32::from(pair[1]);
                }
            }
        }
    }
}

/// `sums += products * 2^shift`.
#[inline(always)]
pub(crate) fn add_shifted(products: &[i32], shift: u32, sums: &mut [i64]) {
    sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += i64::from(*product) << shift);
}

/// `sums = products * 2^shift`.
#[inline(always)]
pub(crate) fn set_shifted(products: &[i32], shift: u32, sums: &mut [i64]) {
    sums.iter_mut().zip(products).for_each(|(sum, product)| *sum = i64::from(*product) << shift);
}
