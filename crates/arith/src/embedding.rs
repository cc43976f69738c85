//! Embedding rows (contract section 5).

use crate::matrix::BlockMatrix;

/// Row `id` of the table, times the model's factor where it has one.
pub fn row(table: &BlockMatrix, id: usize, factor: Option<f32>) -> Vec<f32> {
    let row = table.dequantize_row(id);
    match factor {
        Some(factor) => row.into_iter().map(|x| x * factor).collect(),
        None => row,
    }
}
