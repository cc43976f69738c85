//! The inner loops of attention with AVX-512 and VNNI: `vpdpwssd` multiplies and adds at once.

use crate::attention::{FLUSH, Inner, TILE};
use std::arch::x86_64::*;

/// Key tiles that share a query's broadcasts.
const TILES: usize = 4;

/// Proof that the CPU has AVX-512 with VNNI: made only by [`crate::Kernels`] after detection.
pub(crate) struct Avx512(pub(crate) ());

impl Inner for Avx512 {
    #[inline(always)]
    fn dots(&self, query: &[i16], keys: &[i16], dots: &mut [i32]) {
        assert!(keys.len() == query.len() * dots.len() && query.len().is_multiple_of(2));
        // SAFETY: `self` proves AVX-512; the lengths were just checked.
        unsafe { all_dots(query, keys, dots) }
    }

    #[inline(always)]
    fn weigh(&self, high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64]) {
        assert!(high.len() == low.len() && values.len() == high.len() * sums.len() && high.len() <= FLUSH);
        assert!(sums.len().is_multiple_of(32) && high.len().is_multiple_of(2));
        for first in (0..sums.len()).step_by(64) {
            // SAFETY: `self` proves AVX-512; the lengths were just checked, and so 64 or 32 elements are left.
            unsafe {
                if sums.len() - first >= 64 {
                    weigh::<4>(high, low, values, sums, first);
                } else {
                    weigh::<2>(high, low, values, sums, first);
                }
            }
        }
    }
}

/// Dot products with whole tiles of keys; `keys` holds `dots.len()` times as many numbers as `query`, an even number.
#[target_feature(enable = "avx2,avx512f,avx512vl,avx512vnni")]
unsafe fn all_dots(query: &[i16], keys: &[i16], dots: &mut [i32]) {
    let some = TILES * TILE;
    for (dots, keys) in dots.chunks_mut(some).zip(keys.chunks(some * query.len())) {
        // SAFETY: as the caller promised, by parts of whole tiles.
        unsafe {
            if dots.len() == some {
                tiles::<TILES>(query, keys, dots);
            } else {
                for (dots, tile) in dots.chunks_exact_mut(TILE).zip(keys.chunks_exact(TILE * query.len())) {
                    tiles::<1>(query, tile, dots);
                }
            }
        }
    }
}

/// Dot products with the keys of `N` tiles.
#[target_feature(enable = "avx2,avx512f,avx512vl,avx512vnni")]
#[inline]
unsafe fn tiles<const N: usize>(query: &[i16], keys: &[i16], dots: &mut [i32]) {
    let mut sums = [_mm256_setzero_si256(); N];
    for pair in 0..query.len() / 2 {
        // SAFETY: each of the `N` tiles holds 16 numbers for each pair of the query.
        unsafe {
            let q = _mm256_set1_epi32(query.as_ptr().add(2 * pair).cast::<i32>().read_unaligned());
            for tile in 0..N {
                let k = _mm256_loadu_si256(keys.as_ptr().add(TILE * query.len() * tile + 2 * TILE * pair).cast());
                sums[tile] = _mm256_dpwssd_epi32(sums[tile], q, k);
            }
        }
    }
    for tile in 0..N {
        // SAFETY: 8 numbers of 32 bits, of `N` times 8.
        unsafe { _mm256_storeu_si256(dots.as_mut_ptr().add(TILE * tile).cast(), sums[tile]) };
    }
}

/// Elements `first..first + 16 * N` of the head.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
unsafe fn weigh<const N: usize>(high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64], first: usize) {
    let mut sums_high = [_mm512_setzero_si512(); N];
    let mut sums_low = [_mm512_setzero_si512(); N];
    for pair in 0..high.len() / 2 {
        // SAFETY: the caller checked that there are as many high and low parts, and that each pair of positions holds
        // two numbers an element.
        unsafe {
            let w_high = _mm512_set1_epi32(high.as_ptr().add(2 * pair).cast::<i32>().read_unaligned());
            let w_low = _mm512_set1_epi32(low.as_ptr().add(2 * pair).cast::<i32>().read_unaligned());
            for i in 0..N {
                let at = 2 * (pair * sums.len() + first + 16 * i);
                let v = _mm512_loadu_si512(values.as_ptr().add(at).cast());
                sums_high[i] = _mm512_dpwssd_epi32(sums_high[i], w_high, v);
                sums_low[i] = _mm512_dpwssd_epi32(sums_low[i], w_low, v);
            }
        }
    }
    for i in 0..N {
        let halves = [
            (_mm512_castsi512_si256(sums_high[i]), _mm512_castsi512_si256(sums_low[i])),
            (_mm512_extracti64x4_epi64(sums_high[i], 1), _mm512_extracti64x4_epi64(sums_low[i], 1)),
        ];
        for (half, (high, low)) in halves.into_iter().enumerate() {
            let more = _mm512_slli_epi64(_mm512_cvtepi32_epi64(high), 12);
            let more = _mm512_add_epi64(more, _mm512_cvtepi32_epi64(low));
            // SAFETY: 8 of the `16 * N` elements.
            unsafe {
                let at = sums.as_mut_ptr().add(first + 16 * i + 8 * half).cast();
                _mm512_storeu_si512(at, _mm512_add_epi64(_mm512_loadu_si512(at), more));
            }
        }
    }
}
