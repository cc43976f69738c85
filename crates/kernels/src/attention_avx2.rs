//! The inner loops of attention with AVX2.

use crate::attention::{FLUSH, Inner, TILE};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2: made only by [`crate::Kernels`] after detection.
pub(crate) struct Avx2(pub(crate) ());

impl Inner for Avx2 {
    #[inline(always)]
    fn dots(&self, query: &[i16], keys: &[i16], dots: &mut [i32]) {
        assert!(keys.len() == query.len() * dots.len() && query.len().is_multiple_of(2));
        // SAFETY: `self` proves AVX2; the lengths were just checked.
        unsafe { all_dots(query, keys, dots) }
    }

    #[inline(always)]
    fn weigh(&self, high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64]) {
        assert!(high.len() == low.len() && values.len() == high.len() * sums.len() && high.len() <= FLUSH);
        assert!(sums.len().is_multiple_of(32) && high.len().is_multiple_of(2));
        // SAFETY: `self` proves AVX2; the lengths were just checked.
        unsafe { weigh(high, low, values, sums) }
    }
}

/// 16-bit numbers 2 `pair` and 2 `pair` + 1 in every 32-bit lane.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn pair(numbers: &[i16], pair: usize) -> __m256i {
    // SAFETY: the caller keeps both within the slice.
    _mm256_set1_epi32(unsafe { numbers.as_ptr().add(2 * pair).cast::<i32>().read_unaligned() })
}

#[target_feature(enable = "avx2")]
unsafe fn all_dots(query: &[i16], keys: &[i16], dots: &mut [i32]) {
    for (dots, tile) in dots.chunks_exact_mut(TILE).zip(keys.chunks_exact(TILE * query.len())) {
        let mut sums = [_mm256_setzero_si256(); 2];
        for at in 0..query.len() / 2 {
            // SAFETY: a tile holds 16 numbers for each pair of the query.
            let (q, k) = unsafe { (pair(query, at), _mm256_loadu_si256(tile.as_ptr().add(16 * at).cast())) };
            sums[at % 2] = _mm256_add_epi32(sums[at % 2], _mm256_madd_epi16(q, k));
        }
        // SAFETY: 8 numbers of 32 bits.
        unsafe { _mm256_storeu_si256(dots.as_mut_ptr().cast(), _mm256_add_epi32(sums[0], sums[1])) };
    }
}

/// Two `pmaddwd` a pair of positions, 32 elements of the head at a time.
#[target_feature(enable = "avx2")]
unsafe fn weigh(high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64]) {
    let head_size = sums.len();
    for (chunk, sums) in sums.chunks_exact_mut(32).enumerate() {
        let mut sums_high = [_mm256_setzero_si256(); 4];
        let mut sums_low = [_mm256_setzero_si256(); 4];
        for at in 0..high.len() / 2 {
            // SAFETY: the caller checked that there are as many high and low parts.
            let (w_high, w_low) = unsafe { (pair(high, at), pair(low, at)) };
            for i in 0..4 {
                let at = at * 2 * head_size + chunk * 64 + i * 16;
                // SAFETY: the caller checked that each pair of positions holds two numbers an element.
                let v = unsafe { _mm256_loadu_si256(values.as_ptr().add(at).cast()) };
                sums_high[i] = _mm256_add_epi32(sums_high[i], _mm256_madd_epi16(w_high, v));
                sums_low[i] = _mm256_add_epi32(sums_low[i], _mm256_madd_epi16(w_low, v));
            }
        }
        for i in 0..4 {
            let (mut h, mut l) = ([0i32; 8], [0i32; 8]);
            // SAFETY: 8 numbers of 32 bits each.
            unsafe {
                _mm256_storeu_si256(h.as_mut_ptr().cast(), sums_high[i]);
                _mm256_storeu_si256(l.as_mut_ptr().cast(), sums_low[i]);
            }
            for lane in 0..8 {
                sums[i * 8 + lane] += (i64::from(h[lane]) << 12) + i64::from(l[lane]);
            }
        }
    }
}
