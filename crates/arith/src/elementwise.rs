//! Elementwise functions as fixed chains of f32 operations, each rounded once (contract section 5).

const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);
const LN2_HIGH: f32 = f32::from_bits(0x3F31_8000);
const LN2_LOW: f32 = f32::from_bits(0xB95E_8083);
/// Coefficients c6 to c2 of the polynomial for `exp` on the reduced range.
const COEFFICIENTS: [f32; 5] = [
    f32::from_bits(0x3AB5_63C2),
    f32::from_bits(0x3C09_1EF1),
    f32::from_bits(0x3D2A_AC2C),
    f32::from_bits(0x3E2A_AA46),
    f32::from_bits(0x3EFF_FFFE),
];

/// e^x: at most 0.992 ulp off, monotone, never above 1 for x <= 0.
#[inline(always)]
pub fn exp32(x: f32) -> f32 {
    let inside = if x > 88.0 { 88.0 } else { x };
    let n = (inside * LOG2_E).round_ties_even();
    let r = (inside - n * LN2_HIGH) - n * LN2_LOW;
    let [c6, c5, c4, c3, c2] = COEFFICIENTS;
    let mut p = c6;
    p = p * r + c5;
    p = p * r + c4;
    p = p * r + c3;
    p = p * r + c2;
    p = (p * r * r + r) + 1.0;
    // A NaN stays in p, whatever the factor, and the underflow range is replaced below, so the factor is a normal number.
    let factor = f32::from_bits(((small_integer(n).clamp(-126, 127) + 127) as u32) << 23);
    let y = p * factor;
    if x < -87.3 { 0.0 } else { y }
}

/// The integer in a whole number of magnitude up to 2^22: adding 1.5 * 2^23 leaves it in the low bits. Any integer for
/// other numbers, which are of no consequence to the caller.
#[inline(always)]
fn small_integer(n: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (n + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp32(-x))
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// GELU in its tanh form, written with the sigmoid.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let u = 0.797_884_6 * (x + 0.044_715 * ((x * x) * x));
    x * sigmoid(2.0 * u)
}

/// Hyperbolic tangent through the sigmoid.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// `cap * tanh(x / cap)`, with the reciprocal rounded once.
#[inline(always)]
pub fn soft_cap(x: f32, cap: f32) -> f32 {
    cap * tanh(x * (1.0 / cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error of `y` against the true value, in units in the last place of the true value.
    fn ulps(y: f32, exact: f64) -> f64 {
        let above = f32::from_bits((exact as f32).to_bits() + 1);
        (y as f64 - exact).abs() / (above as f64 - exact as f32 as f64)
    }

    #[test]
    fn exp32_is_close_and_monotone() {
        let mut last = 0.0f32;
        for i in 0..4_000_000u32 {
            let x = -87.3 + (i as f32) * (175.3 / 4_000_000.0);
            let y = exp32(x);
            assert!(ulps(y, libm::exp(x as f64)) <= 0.992, "exp32({x}) = {y}");
            assert!(y >= last, "exp32 falls at {x}");
            assert!(x > 0.0 || y <= 1.0, "exp32({x}) = {y} above 1");
            last = y;
        }
    }

    #[test]
    fn exp32_at_the_edges() {
        assert!(exp32(f32::NAN).is_nan());
        assert_eq!(exp32(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp32(-88.0).to_bits(), 0);
        assert_eq!(exp32(0.0), 1.0);
        assert_eq!(exp32(f32::INFINITY), exp32(88.0));
    }
}
