//! Attention of one query head over a cached key and value head, bit-equal to `arith::attention::attend`.
//!
//! Layouts, chosen so that no sum crosses lanes: keys in tiles of 8 positions, `[tile][d / 2][position][2]`; values in
//! pairs of positions, `[pair][d][2]`. Positions past the end of a tile hold whatever was there: they are never used.

use lockstep_arith::elementwise::{exp32, soft_cap};
use lockstep_arith::{attention, fault};

/// Positions of one key tile.
pub const TILE: usize = 8;
/// Positions after which 32-bit sums of weighted values are flushed into 64 bits: 256 * 4096 * 2047 < 2^31.
pub(crate) const FLUSH: usize = 256;

/// One cached head: `capacity` positions (a multiple of [`TILE`]) of keys and values.
#[derive(Clone, Copy, Debug)]
pub struct HeadCache<'a> {
    /// Elements of the head, even.
    pub head_size: usize,
    /// `capacity x head_size` codes in tiles.
    pub keys: &'a [i16],
    /// `capacity x head_size` codes in pairs.
    pub values: &'a [i16],
    /// Exponent of each position's key unit.
    pub key_exponents: &'a [i8],
    /// Exponent of each position's value unit.
    pub value_exponents: &'a [i8],
}

/// What a query asks of the cache.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The query's codes.
    pub codes: &'a [i16],
    /// Exponent of the query's unit.
    pub exponent: i8,
    /// First visible position.
    pub first: usize,
    /// One past the last visible position, above `first`.
    pub end: usize,
    /// Factor on q.k.
    pub scale: f32,
    /// Soft-cap on scores.
    pub cap: Option<f32>,
}

/// Working memory of one worker, for `positions` rounded up to whole tiles.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Vec<f32>,
    weights: Vec<i32>,
    sums: Vec<i64>,
}

impl Scratch {
    /// Room for `positions` positions and heads of `head_size`.
    pub fn reserve(&mut self, positions: usize, head_size: usize) {
        let positions = positions.next_multiple_of(TILE);
        if self.scores.len() < positions {
            self.scores.resize(positions, 0.0);
            self.weights.resize(positions, 0);
        }
        if self.sums.len() < head_size {
            self.sums.resize(head_size, 0);
        }
    }
}

/// Writes one position's key codes into their tile.
pub fn store_key(keys: &mut [i16], head_size: usize, position: usize, codes: &[i16]) {
    let tile = &mut keys[position / TILE * TILE * head_size..][..TILE * head_size];
    for (pair, codes) in codes.chunks_exact(2).enumerate() {
        tile[(pair * TILE + position % TILE) * 2..][..2].copy_from_slice(codes);
    }
}

/// Writes one position's value codes into their pair.
pub fn store_value(values: &mut [i16], head_size: usize, position: usize, codes: &[i16]) {
    let pair = &mut values[position / 2 * 2 * head_size..][..2 * head_size];
    for (d, &code) in codes.iter().enumerate() {
        pair[2 * d + position % 2] = code;
    }
}

/// The two inner loops that a vector unit replaces.
pub(crate) trait Inner {
    /// Dot products of a query with the 8 keys of a tile.
    fn tile(&self, query: &[i16], tile: &[i16]) -> [i32; TILE];
    /// `sums[d] += sum over positions of weights[p] * value[p][d]`; `values` starts at a pair.
    fn weigh(&self, weights: &[i32], values: &[i16], sums: &mut [i64]);
}

/// Plain loops.
pub(crate) struct Plain;

impl Inner for Plain {
    fn tile(&self, query: &[i16], tile: &[i16]) -> [i32; TILE] {
        let mut dots = [0; TILE];
        for (q, pairs) in query.chunks_exact(2).zip(tile.chunks_exact(2 * TILE)) {
            for (dot, k) in dots.iter_mut().zip(pairs.chunks_exact(2)) {
                *dot += i32::from(q[0]) * i32::from(k[0]) + i32::from(q[1]) * i32::from(k[1]);
            }
        }
        dots
    }

    fn weigh(&self, weights: &[i32], values: &[i16], sums: &mut [i64]) {
        for (w, pair) in weights.chunks_exact(2).zip(values.chunks_exact(2 * sums.len())) {
            for (sum, v) in sums.iter_mut().zip(pair.chunks_exact(2)) {
                *sum += i64::from(w[0]) * i64::from(v[0]) + i64::from(w[1]) * i64::from(v[1]);
            }
        }
    }
}

#[inline(always)]
pub(crate) fn attend(
    inner: &impl Inner,
    query: &Query<'_>,
    cache: &HeadCache<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let start = query.first / TILE * TILE;
    let end = query.end.next_multiple_of(TILE);
    let visible = query.first - start..query.end - start;
    scratch.reserve(end - start, cache.head_size);
    let scores = &mut scratch.scores[..end - start];
    for (tile, scores) in scores.chunks_exact_mut(TILE).enumerate() {
        let at = start + tile * TILE;
        let keys = &cache.keys[at * cache.head_size..][..TILE * cache.head_size];
        let dots = inner.tile(query.codes, keys);
        for i in 0..TILE {
            let unit = fault::power_of_two(i32::from(query.exponent) + i32::from(cache.key_exponents[at + i]));
            scores[i] = dots[i] as f32 * (query.scale * unit);
        }
    }
    if let Some(cap) = query.cap {
        for s in scores.iter_mut() {
            *s = soft_cap(*s, cap);
        }
    }
    let (we, z) = softmax(scores, visible.clone(), &cache.value_exponents[start..]);
    let weights = &mut scratch.weights[..end - start];
    let up = attention::weight_scale(we);
    for (at, (weight, &w)) in weights.iter_mut().zip(&*scores).enumerate() {
        *weight = if visible.contains(&at) { (w * up).round_ties_even() as i32 } else { 0 };
    }
    let sums = &mut scratch.sums[..cache.head_size];
    sums.fill(0);
    for (at, weights) in weights.chunks(FLUSH).enumerate() {
        let values = &cache.values[(start + at * FLUSH) * cache.head_size..][..weights.len() * cache.head_size];
        inner.weigh(weights, values, sums);
    }
    let factor = attention::output_factor(we, z);
    out.iter_mut().zip(&*sums).for_each(|(o, &sum)| *o = sum as f32 * factor);
}

/// Turns the visible scores into `w`; returns the weights' exponent and Z.
#[inline(always)]
fn softmax(scores: &mut [f32], visible: std::ops::Range<usize>, value_exponents: &[i8]) -> (i32, u64) {
    let scores = &mut scores[visible.clone()];
    let mut largest = f32::NEG_INFINITY;
    for &s in &*scores {
        largest = if s > largest { s } else { largest };
    }
    let mut z = 0u64;
    let mut top = 0.0f32;
    for (s, &exponent) in scores.iter_mut().zip(&value_exponents[visible]) {
        let e = exp32(*s - largest);
        z += (e * 1_073_741_824.0).round_ties_even() as i32 as u64;
        let w = e * f32::from_bits(((i32::from(exponent) + 127) as u32) << 23);
        top = if w > top { w } else { top };
        *s = w;
    }
    (fault::exponent(top) + 1, z)
}
