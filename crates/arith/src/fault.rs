//! The number range of the contract.

/// Magnitudes from here on (2^50, infinities, NaN) end a request: `bits(x) >= 0x5880_0000`.
pub const FAULT_BITS: u32 = 0x5880_0000;

/// A value left the contract's number range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "a value of magnitude {magnitude:e} is outside the number range (2^50): the model's activations diverged on this input"
)]
pub struct ValueFault {
    /// The magnitude that was met: infinite or NaN where the value was.
    pub magnitude: f32,
}

/// The bit pattern of a value's magnitude; magnitudes compare as these integers.
#[inline(always)]
pub fn magnitude_bits(x: f32) -> u32 {
    x.to_bits() & 0x7FFF_FFFF
}

/// The largest magnitude's bits, or a fault where it is out of range.
// Inlined, so that each set of kernels compiles it with its own vectors.
#[inline(always)]
pub fn checked_maximum(x: &[f32]) -> Result<u32, ValueFault> {
    let bits = x.iter().fold(0, |max, &v| max.max(magnitude_bits(v)));
    if bits >= FAULT_BITS { Err(ValueFault { magnitude: f32::from_bits(bits) }) } else { Ok(bits) }
}

/// The exponent field minus 127; zero and subnormals give -127.
pub fn exponent(x: f32) -> i32 {
    (magnitude_bits(x) >> 23) as i32 - 127
}

/// `2^e` as a normal f32; `e` in -126..=127.
pub fn power_of_two(e: i32) -> f32 {
    debug_assert!((-126..=127).contains(&e));
    f32::from_bits(((e + 127) as u32) << 23)
}
