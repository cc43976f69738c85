//! Quantised activations with AVX-512: a group of 32 is two vectors.

use crate::activations::GroupScale;
use lockstep_arith::fault::{ValueFault, checked_maximum, power_of_two};
use lockstep_arith::{activation, matrix::GROUP};
use std::arch::x86_64::*;

/// As [`crate::activations::quantize`], with the same bits.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(crate) fn quantize(x: &[f32], codes: &mut [i8], scales: &mut [GroupScale]) -> Result<i32, ValueFault> {
    assert!(x.len() == codes.len() && x.len() == scales.len() * GROUP, "rows are whole groups");
    let exponent = activation::vector_exponent(f32::from_bits(checked_maximum(x)?));
    let down = power_of_two(-exponent);
    let down_all = _mm512_set1_ps(down);
    // Plain indices: closures of such a function are not inlined into what the library makes of them.
    for group in 0..scales.len() {
        let at = group * GROUP;
        // SAFETY: a group is twice 16 numbers, and the rows' lengths were checked.
        let (low, high) = unsafe { (_mm512_loadu_ps(x.as_ptr().add(at)), _mm512_loadu_ps(x.as_ptr().add(at + 16))) };
        let bits = _mm512_max_epu32(_mm512_castps_si512(_mm512_abs_ps(low)), _mm512_castps_si512(_mm512_abs_ps(high)));
        let m = f32::from_bits(_mm512_reduce_max_epu32(bits));
        let a = ((m * activation::RECIPROCAL_127) * down).ceil();
        let reciprocal = _mm512_set1_ps(1.0 / a.max(1.0));
        let low = rounded(low, down_all, reciprocal);
        let high = rounded(high, down_all, reciprocal);
        let both = _mm512_add_epi32(low, high);
        let half = _mm256_add_epi32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
        let quads = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        let mut sums = [0; 4];
        // SAFETY: twice 16 codes, and 4 numbers of 32 bits.
        unsafe {
            _mm_storeu_si128(codes.as_mut_ptr().add(at).cast(), _mm512_cvtepi32_epi8(low));
            _mm_storeu_si128(codes.as_mut_ptr().add(at + 16).cast(), _mm512_cvtepi32_epi8(high));
            _mm_storeu_si128(sums.as_mut_ptr().cast(), quads);
        }
        scales[group] = GroupScale::from_sums(sums, a as i32);
    }
    Ok(exponent)
}

/// `round_even((x * down) * reciprocal)`: to nearest even, as every worker checks at its start.
#[target_feature(enable = "avx512f")]
#[inline]
fn rounded(x: __m512, down: __m512, reciprocal: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_mul_ps(x, down), reciprocal))
}
