//! Vector blocks: one power of two for a whole vector (contract section 4).

use crate::fault::{ValueFault, checked_maximum, exponent, power_of_two};

/// Bits of query and value heads.
pub const HEAD_BITS: u32 = 12;

/// Bits of the block that a norm squares.
pub const NORM_BITS: u32 = 16;

/// A vector of integers with one power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorBlock {
    /// Codes within the block's bits.
    pub codes: Vec<i16>,
    /// The power of two of one code step, in -55..: `x ~ code * 2^unit_exponent`.
    pub unit_exponent: i8,
}

impl VectorBlock {
    /// The value of one code step.
    pub fn unit(&self) -> f32 {
        power_of_two(i32::from(self.unit_exponent))
    }
}

/// Bits of a key head: the most for which q.k fits an i32.
pub fn key_bits(head_size: usize) -> u32 {
    let fits = |bits: u32| (head_size as u64) * 2047 * ((1 << (bits - 1)) - 1) < 1 << 31;
    (HEAD_BITS..=16).rev().find(|&bits| fits(bits)).unwrap_or(HEAD_BITS)
}

/// Quantises `x` with `bits` bits.
pub fn quantize(x: &[f32], bits: u32) -> Result<VectorBlock, ValueFault> {
    let largest = f32::from_bits(checked_maximum(x)?);
    let e = (exponent(largest) + 1).max(-40);
    let up = power_of_two(bits as i32 - 1 - e);
    let limit = (1i32 << (bits - 1)) - 1;
    let codes = x.iter().map(|&v| ((v * up).round_ties_even() as i32).clamp(-limit, limit) as i16).collect();
    Ok(VectorBlock { codes, unit_exponent: (e - bits as i32 + 1) as i8 })
}
