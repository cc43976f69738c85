//! The inner loops of attention with AVX2.

use crate::attention::{Inner, TILE};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2: made only by [`crate::Kernels`] after detection.
pub(crate) struct Avx2(pub(crate) ());

impl Inner for Avx2 {
    #[inline(always)]
    fn tile(&self, query: &[i16], tile: &[i16]) -> [i32; TILE] {
        assert!(tile.len() == query.len() * TILE && query.len().is_multiple_of(2));
        // SAFETY: `self` proves AVX2; the lengths were just checked.
        unsafe { dots(query, tile) }
    }

    #[inline(always)]
    fn weigh(&self, weights: &[i32], values: &[i16], sums: &mut [i64]) {
        assert!(values.len() == weights.len() * sums.len() && weights.len() <= crate::attention::FLUSH);
        assert!(sums.len().is_multiple_of(32) && weights.len().is_multiple_of(2));
        // SAFETY: `self` proves AVX2; the lengths were just checked.
        unsafe { weigh(weights, values, sums) }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn dots(query: &[i16], tile: &[i16]) -> [i32; TILE] {
    let mut sums = [_mm256_setzero_si256(); 2];
    for pair in 0..query.len() / 2 {
        // SAFETY: the caller checked that the tile holds 16 numbers for each pair of the query.
        let (q, k) = unsafe {
            let q = query.as_ptr().add(2 * pair).cast::<i32>().read_unaligned();
            (_mm256_set1_epi32(q), _mm256_loadu_si256(tile.as_ptr().add(16 * pair).cast()))
        };
        sums[pair % 2] = _mm256_add_epi32(sums[pair % 2], _mm256_madd_epi16(q, k));
    }
    let mut out = [0; TILE];
    // SAFETY: 8 numbers of 32 bits.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_add_epi32(sums[0], sums[1])) };
    out
}

/// W = 4096 * high + low: two `pmaddwd` a pair of positions, 32 elements of the head at a time.
#[target_feature(enable = "avx2")]
unsafe fn weigh(weights: &[i32], values: &[i16], sums: &mut [i64]) {
    let head_size = sums.len();
    for (chunk, sums) in sums.chunks_exact_mut(32).enumerate() {
        let mut high = [_mm256_setzero_si256(); 4];
        let mut low = [_mm256_setzero_si256(); 4];
        for (pair, w) in weights.chunks_exact(2).enumerate() {
            let w_high = _mm256_set1_epi32(w[0] >> 12 | w[1] >> 12 << 16);
            let w_low = _mm256_set1_epi32(w[0] & 4095 | (w[1] & 4095) << 16);
            for i in 0..4 {
                let at = pair * 2 * head_size + chunk * 64 + i * 16;
                // SAFETY: the caller checked that each pair of positions holds two numbers an element.
                let v = unsafe { _mm256_loadu_si256(values.as_ptr().add(at).cast()) };
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(w_high, v));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(w_low, v));
            }
        }
        for i in 0..4 {
            let (mut h, mut l) = ([0i32; 8], [0i32; 8]);
            // SAFETY: 8 numbers of 32 bits each.
            unsafe {
                _mm256_storeu_si256(h.as_mut_ptr().cast(), high[i]);
                _mm256_storeu_si256(l.as_mut_ptr().cast(), low[i]);
            }
            for lane in 0..8 {
                sums[i * 8 + lane] += (i64::from(h[lane]) << 12) + i64::from(l[lane]);
            }
        }
    }
}
