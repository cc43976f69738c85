//! Integer weights of a block of logits at once: the contract's exponential, restricted to where weights are not 0.

use super::peaks::BLOCK;

/// The weight of the most likely token: one, with 30 fraction bits.
pub(crate) const ONE: u32 = 1 << 30;
/// From this exponent down every weight rounds to 0: e^-21.5 * 2^30 = 0.494.
pub(crate) const EXPONENT_MIN: f32 = -21.5;

const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);
const LN2_HIGH: f32 = f32::from_bits(0x3F31_8000);
const LN2_LOW: f32 = f32::from_bits(0xB95E_8083);
/// Adding it rounds a magnitude up to 2^22 to a whole number, ties to even, and leaves that in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// `rn(rn(l - max) * inverse)`: what the exponential is taken of.
#[inline(always)]
pub(crate) fn exponent(logit: f32, max: f32, inverse: f32) -> f32 {
    (logit - max) * inverse
}

/// `round_even(exp32(x) * 2^30)` for each logit's exponent x, which is at most 0; the rest of `weights` becomes 0.
///
/// `exp32` itself is defined in `lockstep-arith`, for all x. Here, between [`EXPONENT_MIN`] and 0, it needs no special
/// cases and no call for rounding, so the compiler can turn the loop into vector instructions. A test holds both equal.
pub(crate) fn weigh(logits: &[f32], max: f32, inverse: f32, weights: &mut [u32; BLOCK]) {
    let (used, rest) = weights.split_at_mut(logits.len().min(BLOCK));
    for (weight, &logit) in used.iter_mut().zip(logits) {
        *weight = weight_of(exponent(logit, max, inverse));
    }
    rest.fill(0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_arith::elementwise::exp32;

    fn contract(x: f32) -> u32 {
        (exp32(x) * ONE as f32).round_ties_even() as u32
    }

    #[test]
    fn weights_are_the_contracts() {
        // Every 5th f32 of 2^-26..21.5, negated, and the ends: all with a weight other than 0 and ONE lie there.
        let (from, to) = (2f32.powi(-26).to_bits(), (-EXPONENT_MIN).to_bits());
        for bits in (from..=to).step_by(5).chain(to - 100..to + 1000).chain(0..100) {
            let x = -f32::from_bits(bits);
            assert_eq!(weight_of(x), contract(x), "{x:e}");
        }
    }

    #[test]
    fn below_the_least_exponent_they_are_zero() {
        assert_eq!(contract(EXPONENT_MIN), 0);
        for x in [EXPONENT_MIN, -22.0, -80.0, f32::MIN, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(weight_of(x), 0, "{x}");
        }
        assert!(weight_of(-21.4) > 0);
        assert_eq!(weight_of(0.0), ONE);
        assert_eq!(weight_of(-0.0), ONE);
    }
}
