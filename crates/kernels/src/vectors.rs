//! Norms, vector blocks and elementwise chains, written once as plain loops that each instruction set compiles anew.

use lockstep_arith::elementwise::{gelu, silu, soft_cap};
use lockstep_arith::fault::{ValueFault, checked_maximum, exponent, power_of_two};
use lockstep_arith::vector_block::NORM_BITS;

/// Quantises one vector; returns the exponent of its unit. The oracle is `arith::vector_block::quantize`.
#[inline(always)]
pub(crate) fn quantize_block(x: &[f32], bits: u32, codes: &mut [i16]) -> Result<i8, ValueFault> {
    let largest = f32::from_bits(checked_maximum(x)?);
    let e = (exponent(largest) + 1).max(-40);
    let up = power_of_two(bits as i32 - 1 - e);
    let limit = (1i32 << (bits - 1)) - 1;
    for (code, &v) in codes.iter_mut().zip(x) {
        *code = crate::activations::round_small(v * up).clamp(-limit, limit) as i16;
    }
    Ok((e - bits as i32 + 1) as i8)
}

/// `1 / rms`. The oracle is `arith::norm::reciprocal_rms`.
#[inline(always)]
pub(crate) fn reciprocal_rms(x: &[f32], eps: f32) -> Result<f32, ValueFault> {
    let largest = f32::from_bits(checked_maximum(x)?);
    let e = (exponent(largest) + 1).max(-40);
    let up = power_of_two(NORM_BITS as i32 - 1 - e);
    let mut sum = 0u64;
    // Halves of squares, so that sums of 2^16 of them fit 32 bits: vectors of them are twice as long.
    for x in x.chunks(1 << 16) {
        let (mut high, mut low) = (0u32, 0u32);
        for &v in x {
            let code = crate::activations::round_small(v * up).clamp(-32767, 32767);
            high += (code * code) as u32 >> 16;
            low += (code * code) as u32 & 0xFFFF;
        }
        sum += (u64::from(high) << 16) + u64::from(low);
    }
    let unit = power_of_two(e - NORM_BITS as i32 + 1);
    let mean_square = (sum as f32 * (1.0 / x.len() as f32)) * (unit * unit);
    Ok(1.0 / (mean_square + eps).sqrt())
}

/// `x = x * weight * r`.
#[inline(always)]
pub(crate) fn scale_norm(x: &mut [f32], weight: &[f32], r: f32) {
    x.iter_mut().zip(weight).for_each(|(x, &w)| *x = (*x * w) * r);
}

/// `out = x + y`.
#[inline(always)]
pub(crate) fn add(x: &[f32], y: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).zip(y).for_each(|((out, &x), &y)| *out = x + y);
}

/// `out = x * y`.
#[inline(always)]
pub(crate) fn mul(x: &[f32], y: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).zip(y).for_each(|((out, &x), &y)| *out = x * y);
}

/// `out = silu(x)`.
#[inline(always)]
pub(crate) fn silu_all(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = silu(x));
}

/// `out = gelu(x)`.
#[inline(always)]
pub(crate) fn gelu_all(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = gelu(x));
}

/// `out = soft_cap(x)`.
#[inline(always)]
pub(crate) fn soft_cap_all(x: &[f32], cap: f32, out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = soft_cap(x, cap));
}
