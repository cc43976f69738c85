//! IEEE binary16 as integers, so that sums of products are exact.

/// The unit of a product of two numbers that [`units`] gives: 2^-48.
pub(crate) const HALF_UNITS: f32 = 1.0 / (1_u64 << 48) as f32;

/// A half-precision number in units of 2^-24, of which it is always a multiple; `None` if it is not finite.
pub(crate) fn units(bits: u16) -> Option<i64> {
    let (exponent, fraction) = (bits >> 10 & 31, i64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction,
        31 => return None,
        _ => (1024 + fraction) << (exponent - 1),
    };
    Some(if bits >> 15 == 1 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_known_numbers() {
        let one = 1_i64 << 24;
        for (bits, expected) in [(0x3c00, one), (0xc000, -2 * one), (0x7bff, 65_504 * one), (0x0001, 1), (0x8000, 0)] {
            assert_eq!(units(bits), Some(expected), "{bits:#x}");
        }
        assert_eq!((units(0x7c00), units(0xfe00)), (None, None));
    }
}
