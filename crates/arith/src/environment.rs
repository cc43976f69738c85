//! Whether this thread's floating-point unit rounds as the contract needs.

use std::hint::black_box;

/// True where f32 and f64 round to nearest even and keep subnormals, in operands and in results.
///
/// A foreign library can change either for a thread (flush-to-zero is a common "optimisation"); every worker asks
/// once at its start. The operands are hidden from the compiler, so that the sums happen when they are asked for.
pub fn rounding_environment_is_sound() -> bool {
    rounds_to_nearest_even() && keeps_subnormals()
}

fn rounds_to_nearest_even() -> bool {
    let (one, half_ulp) = (black_box(1.0f32), black_box(f32::EPSILON / 2.0));
    let (odd, one64) = (black_box(1.0 + f32::EPSILON), black_box(1.0f64));
    let half_ulp64 = black_box(f64::EPSILON / 2.0);
    // A tie goes to the even neighbour: down from 1, up from 1 + ulp, and the same below zero.
    one + half_ulp == 1.0
        && odd + half_ulp == 1.0 + 2.0 * f32::EPSILON
        && -one - half_ulp == -1.0
        && -odd - half_ulp == -1.0 - 2.0 * f32::EPSILON
        // Above a tie it is the nearer one, which excludes rounding toward zero or down.
        && one + black_box(f32::EPSILON * 0.75) == 1.0 + f32::EPSILON
        && one64 + half_ulp64 == 1.0
        && black_box(1.0 + f64::EPSILON) + half_ulp64 == 1.0 + 2.0 * f64::EPSILON
        // Integers become floats under the same rule.
        && black_box(16_777_217i32) as f32 == 16_777_216.0
        && black_box(16_777_219i64) as f32 == 16_777_220.0
}

fn keeps_subnormals() -> bool {
    let (least, least64) = (black_box(f32::from_bits(1)), black_box(f64::from_bits(1)));
    // A result below the normal range, an operand below it, and both.
    (black_box(f32::MIN_POSITIVE) * black_box(0.5)).to_bits() == 0x0040_0000
        && least * black_box(8_388_608.0) == f32::MIN_POSITIVE
        && (least + least).to_bits() == 2
        && (least64 + least64).to_bits() == 2
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_thread_is_sound() {
        assert!(super::rounding_environment_is_sound());
    }
}
