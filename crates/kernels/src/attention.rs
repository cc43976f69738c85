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
/// `2^30`: the fixed-point one of the softmax.
const ONE: f32 = 1_073_741_824.0;

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
    dots: Vec<i32>,
    scores: Vec<f32>,
    high: Vec<i16>,
    low: Vec<i16>,
    sums: Vec<i64>,
}

impl Scratch {
    /// Room for `positions` positions and heads of `head_size`.
    pub fn reserve(&mut self, positions: usize, head_size: usize) {
        let positions = positions.next_multiple_of(TILE);
        if self.scores.len() < positions {
            self.dots.resize(positions, 0);
            self.scores.resize(positions, 0.0);
            self.high.resize(positions, 0);
            self.low.resize(positions, 0);
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
    /// Dot products of a query with all keys, whole tiles of them.
    fn dots(&self, query: &[i16], keys: &[i16], dots: &mut [i32]);
    /// `sums[d] += sum over positions p of (4096 * high[p] + low[p]) * value[p][d]`; whole pairs of positions, at most
    /// [`FLUSH`] of them.
    fn weigh(&self, high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64]);
}

/// Plain loops.
pub(crate) struct Plain;

impl Inner for Plain {
    fn dots(&self, query: &[i16], keys: &[i16], dots: &mut [i32]) {
        dots.fill(0);
        for (dots, tile) in dots.chunks_exact_mut(TILE).zip(keys.chunks_exact(TILE * query.len())) {
            for (q, pairs) in query.chunks_exact(2).zip(tile.chunks_exact(2 * TILE)) {
                for (dot, k) in dots.iter_mut().zip(pairs.chunks_exact(2)) {
                    *dot += i32::from(q[0]) * i32::from(k[0]) + i32::from(q[1]) * i32::from(k[1]);
                }
            }
        }
    }

    fn weigh(&self, high: &[i16], low: &[i16], values: &[i16], sums: &mut [i64]) {
        let weight = |at: usize| i64::from(high[at]) << 12 | i64::from(low[at]);
        for (pair, values) in values.chunks_exact(2 * sums.len()).enumerate() {
            let (w0, w1) = (weight(2 * pair), weight(2 * pair + 1));
            for (sum, v) in sums.iter_mut().zip(values.chunks_exact(2)) {
                *sum += w0 * i64::from(v[0]) + w1 * i64::from(v[1]);
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
    let (start, size) = (query.first / TILE * TILE, cache.head_size);
    let count = query.end.next_multiple_of(TILE) - start;
    scratch.reserve(count, size);
    let Scratch { dots, scores, high, low, sums } = scratch;
    let (dots, scores, high, low) = (&mut dots[..count], &mut scores[..count], &mut high[..count], &mut low[..count]);
    let sums = &mut sums[..size];
    inner.dots(query.codes, &cache.keys[start * size..][..count * size], dots);
    for ((score, &dot), &exponent) in scores.iter_mut().zip(&*dots).zip(&cache.key_exponents[start..][..count]) {
        let unit = fault::power_of_two(i32::from(query.exponent) + i32::from(exponent));
        *score = dot as f32 * (query.scale * unit);
    }
    if let Some(cap) = query.cap {
        for s in scores.iter_mut() {
            *s = soft_cap(*s, cap);
        }
    }
    // What cannot be seen has no weight.
    scores[..query.first - start].fill(f32::NEG_INFINITY);
    scores[query.end - start..].fill(f32::NEG_INFINITY);
    let (we, z) = softmax(scores, dots, &cache.value_exponents[start..][..count]);
    let up = attention::weight_scale(we);
    for ((high, low), &w) in high.iter_mut().zip(&mut *low).zip(&*scores) {
        let weight = rounded(w * up);
        (*high, *low) = ((weight >> 12) as i16, (weight & 4095) as i16);
    }
    sums.fill(0);
    let values = cache.values[start * size..][..count * size].chunks(FLUSH * size);
    for ((high, low), values) in high.chunks(FLUSH).zip(low.chunks(FLUSH)).zip(values) {
        inner.weigh(high, low, values, sums);
    }
    let factor = attention::output_factor(we, z);
    out.iter_mut().zip(&*sums).for_each(|(o, &sum)| *o = sum as f32 * factor);
}

/// Turns whole tiles of scores into `w`, minus infinity into no weight, and leaves P in `p`; returns the weights'
/// exponent and Z. Maxima and sums are taken in passes of their own, in any order, so that every loop vectorises.
#[inline(always)]
fn softmax(scores: &mut [f32], p: &mut [i32], value_exponents: &[i8]) -> (i32, u64) {
    let mut largest = [f32::NEG_INFINITY; TILE];
    for scores in scores.chunks_exact(TILE) {
        for i in 0..TILE {
            largest[i] = larger(scores[i], largest[i]);
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, larger);
    for ((score, p), &exponent) in scores.iter_mut().zip(&mut *p).zip(value_exponents) {
        let e = exp32(*score - largest);
        *p = rounded(e * ONE);
        *score = e * f32::from_bits(((i32::from(exponent) + 127) as u32) << 23);
    }
    let z = p.iter().map(|&p| p as u64).sum();
    // Bits of numbers from 0 on have the numbers' order.
    let top = scores.iter().fold(0, |top, w| top.max(w.to_bits() as i32));
    (fault::exponent(f32::from_bits(top as u32)) + 1, z)
}

/// The larger number; `y` where `x` is none.
#[inline(always)]
fn larger(x: f32, y: f32) -> f32 {
    if x > y { x } else { y }
}

/// `round_even(x)`, held within 0 and [`ONE`], where all that it is used for lies: a cast that saturates does not
/// vectorise.
#[inline(always)]
fn rounded(x: f32) -> i32 {
    let inside = if x > 0.0 { x } else { 0.0 };
    let inside = if inside < ONE { inside } else { ONE };
    // SAFETY: a number from 0 to 2^30, and no NaN, which the first line makes 0.
    unsafe { inside.round_ties_even().to_int_unchecked() }
}
