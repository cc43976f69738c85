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
    for ((x, codes), scale) in x.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP)).zip(scales) {
        // SAFETY: a group is twice 16 numbers.
        let x = unsafe { [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16))] };
        let bits = x.map(|x| _mm512_castps_si512(_mm512_abs_ps(x)));
        let m = f32::from_bits(_mm512_reduce_max_epu32(_mm512_max_epu32(bits[0], bits[1])));
        let a = ((m * activation::RECIPROCAL_127) * down).ceil();
        let reciprocal = _mm512_set1_ps(1.0 / a.max(1.0));
        // To nearest even, as every worker checks at its start.
        let wide = x.map(|x| _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(down)), reciprocal)));
        let mut sums = [0; 4];
        // SAFETY: twice 16 codes, and 4 numbers of 32 bits.
        unsafe {
            _mm_storeu_si128(codes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(wide[0]));
            _mm_storeu_si128(codes.as_mut_ptr().add(16).cast(), _mm512_cvtepi32_epi8(wide[1]));
            let both = _mm512_add_epi32(wide[0], wide[1]);
            let half = _mm256_add_epi32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
            let quads = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
            _mm_storeu_si128(sums.as_mut_ptr().cast(), quads);
        }
        *scale = GroupScale::from_sums(sums, a as i32);
    }
    Ok(exponent)
}
