//! Integer weights of many logits at once: the contract's exponential (section 5), restricted to where weights are not 0.

/// The weight of the most likely token: one, with 30 fraction bits.
pub const ONE: u32 = 1 << 30;
/// From this exponent down every weight rounds to 0: e^-21.5 * 2^30 = 0.494.
pub const EXPONENT_MIN: f32 = -21.5;

const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);
const LN2_HIGH: f32 = f32::from_bits(0x3F31_8000);
const LN2_LOW: f32 = f32::from_bits(0xB95E_8083);
/// Adding it rounds a magnitude up to 2^22 to a whole number, ties to even, and leaves that in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// `rn(rn(l - max) * inverse)`: what the exponential is taken of.
#[inline(always)]
pub fn exponent(logit: f32, max: f32, inverse: f32) -> f32 {
    (logit - max) * inverse
}

/// `round_even(exp32(x) * 2^30)` for each logit's exponent x, which is at most 0. Returns their sum, and how many are
/// not 0. There are at most 2^16 logits.
///
/// `exp32` itself is defined in `lockstep-arith`, for all x. Here, between [`EXPONENT_MIN`] and 0, it needs no special
/// cases and no call for rounding, so the compiler can turn the loop into vector instructions.
#[inline(always)]
pub(crate) fn weigh(logits: &[f32], max: f32, inverse: f32, weights: &mut [u32]) -> (u64, usize) {
    assert!(logits.len() == weights.len() && logits.len() <= 1 << 16, "a weight for each logit, and not too many");
    // Halves of weights, so that sums of 2^16 of them fit 32 bits: vectors of them are twice as long.
    let (mut high, mut low, mut count) = (0u32, 0u32, 0u32);
    for (weight, &logit) in weights.iter_mut().zip(logits) {
        *weight = weight_of(exponent(logit, max, inverse));
        high += *weight >> 16;
        low += *weight & 0xFFFF;
        count += u32::from(*weight != 0);
    }
    ((u64::from(high) << 16) + u64::from(low), count as usize)
}

#[inline(always)]
fn weight_of(exponent: f32) -> u32 {
    // Also takes minus infinity (a banned token) and NaN to a weight of 0.
    let x = if exponent > EXPONENT_MIN { exponent } else { EXPONENT_MIN };
    let shifted = x * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = f32::from_bits(0x3AB5_63C2);
    p = p * r + f32::from_bits(0x3C09_1EF1);
    p = p * r + f32::from_bits(0x3D2A_AC2C);
    p = p * r + f32::from_bits(0x3E2A_AA46);
    p = p * r + f32::from_bits(0x3EFF_FFFE);
    p = (p * r * r + r) + 1.0;
    // 2^(n + 30), n in -32..=0: a normal number, so the product is exp32's own p * 2^n times 2^30 exactly.
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(30 + 127) << 23);
    let scaled = p * power;
    // To a whole number in two parts, since the magic number rounds only up to 2^22: a multiple of 4096, which is even,
    // so ties in what remains (exact, at most 2048) round as ties of the whole.
    let high = scaled * (1.0 / 4096.0) + MAGIC;
    let low = (scaled - (high - MAGIC) * 4096.0) + MAGIC;
    (high.to_bits().wrapping_sub(MAGIC.to_bits()) << 12).wrapping_add(low.to_bits().wrapping_sub(MAGIC.to_bits()))
}
