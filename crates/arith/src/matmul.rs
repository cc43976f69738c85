//! Exact block matrix times vector (contract sections 2 and 3).

use crate::activation::QuantizedVector;
use crate::fault::power_of_two;
use crate::matrix::{BlockMatrix, Format, GROUP};

/// `acc[row]`: the exact integer of one output.
pub fn accumulate(matrix: &BlockMatrix, row: usize, x: &QuantizedVector) -> i64 {
    (0..matrix.groups()).map(|group| i64::from(x.scales[group]) * group_integer(matrix, row, group, x)).sum()
}

/// `D * sum(code * a) + O * sum(a)` of one group; it fits i32.
pub fn group_integer(matrix: &BlockMatrix, row: usize, group: usize, x: &QuantizedVector) -> i64 {
    let a = &x.codes[group * GROUP..][..GROUP];
    let at = row * matrix.groups() + group;
    let dot: i64 = matrix.group_codes(row, group).iter().zip(a).map(|(&c, &a)| i64::from(c) * i64::from(a)).sum();
    let sum: i64 = a.iter().map(|&a| i64::from(a)).sum();
    let offset = matrix.offset.get(at).copied().unwrap_or(0);
    i64::from(matrix.scale[at]) * dot + i64::from(offset) * sum
}

/// `y` from its integer: one rounding of the integer, an exact power of two, and the bias where there is one.
pub fn finish(acc: i64, row_exponent: i8, vector_exponent: i32, bias: Option<f32>) -> f32 {
    let y = acc as f32 * power_of_two(i32::from(row_exponent) + vector_exponent);
    bias.map_or(y, |bias| y + bias)
}

/// `W x (+ bias)`.
pub fn matvec(matrix: &BlockMatrix, x: &QuantizedVector, bias: Option<&[f32]>) -> Vec<f32> {
    let one = |row| finish(accumulate(matrix, row, x), matrix.exponent[row], x.exponent, bias.map(|bias| bias[row]));
    (0..matrix.rows).map(one).collect()
}

impl BlockMatrix {
    /// The 32 code values of one group, through the codebook.
    pub fn group_codes(&self, row: usize, group: usize) -> [i8; GROUP] {
        let codes = &self.codes[(row * self.groups() + group) * GROUP..][..GROUP];
        std::array::from_fn(|k| match self.format {
            Format::Lb4 { codebook, .. } => codebook[codes[k] as usize],
            Format::Lb8 => codes[k],
        })
    }

    /// One row's weights in f32 (each integer is exact, the factor a power of two).
    pub fn dequantize_row(&self, row: usize) -> Vec<f32> {
        let factor = power_of_two(i32::from(self.exponent[row]));
        let weight = |k: usize| {
            let at = row * self.groups() + k / GROUP;
            let code = i32::from(self.group_codes(row, k / GROUP)[k % GROUP]);
            let offset = i32::from(self.offset.get(at).copied().unwrap_or(0));
            (i32::from(self.scale[at]) * code + offset) as f32 * factor
        };
        (0..self.cols).map(weight).collect()
    }
}
