//! Activations that enter a weight matmul (contract section 3).

use crate::fault::{ValueFault, checked_maximum, exponent, magnitude_bits, power_of_two};
use crate::matrix::GROUP;

/// `rn(1/127)`.
pub const RECIPROCAL_127: f32 = f32::from_bits(0x3C01_0204);

/// One token's quantised vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedVector {
    /// `a`: codes in -127..=127, K padded with zeros to whole groups.
    pub codes: Vec<i8>,
    /// `A`: one scale a group, in 0..=4096.
    pub scales: Vec<u16>,
    /// `E`: the vector's power of two.
    pub exponent: i32,
}

/// Quantises `x` in groups of 32.
pub fn quantize(x: &[f32]) -> Result<QuantizedVector, ValueFault> {
    let largest = f32::from_bits(checked_maximum(x)?);
    let exponent = vector_exponent(largest);
    let down = power_of_two(-exponent);
    let mut codes = vec![0; x.len().next_multiple_of(GROUP)];
    let scales = x.chunks(GROUP).zip(codes.chunks_mut(GROUP)).map(|(x, codes)| group(x, down, codes)).collect();
    Ok(QuantizedVector { codes, scales, exponent })
}

/// `E` from the largest magnitude of the vector.
pub fn vector_exponent(largest: f32) -> i32 {
    exponent(largest * RECIPROCAL_127).max(-47) - 11
}

fn group(x: &[f32], down: f32, codes: &mut [i8]) -> u16 {
    let m = f32::from_bits(x.iter().fold(0, |max, &v| max.max(magnitude_bits(v))));
    let scale = ((m * RECIPROCAL_127) * down).ceil();
    let reciprocal = 1.0 / scale.max(1.0);
    for (code, &v) in codes.iter_mut().zip(x) {
        *code = ((v * down) * reciprocal).round_ties_even() as i8;
    }
    scale as u16
}
