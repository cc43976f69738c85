//! Attention of one query head over its visible positions (contract section 4).

use crate::elementwise::{exp32, soft_cap};
use crate::fault::{exponent, power_of_two};
use crate::vector_block::VectorBlock;

/// `2^30`: the fixed-point one of the softmax.
const ONE: f32 = 1_073_741_824.0;

/// `s[t]`, the score of one key: the exact `q.k` times the scale, and the soft-cap on that where the model has one.
pub fn score(q: &VectorBlock, key: &VectorBlock, scale: f32, cap: Option<f32>) -> f32 {
    let dot: i64 = q.codes.iter().zip(&key.codes).map(|(&q, &k)| i64::from(q) * i64::from(k)).sum();
    // The product of two powers of two is exact, so its order with `scale` does not matter: one rounding.
    let s = dot as f32 * (scale * (q.unit() * key.unit()));
    cap.map_or(s, |cap| soft_cap(s, cap))
}

/// Softmax-weighted sum of `values`; `keys` and `values` hold the visible positions, at least one.
pub fn attend(q: &VectorBlock, keys: &[VectorBlock], values: &[VectorBlock], scale: f32, cap: Option<f32>) -> Vec<f32> {
    assert!(!keys.is_empty() && keys.len() == values.len(), "a position has a key and a value, and one is visible");
    let scores: Vec<f32> = keys.iter().map(|key| score(q, key, scale, cap)).collect();
    let largest = scores.iter().fold(f32::NEG_INFINITY, |max, &s| if s > max { s } else { max });
    let e: Vec<f32> = scores.iter().map(|&s| exp32(s - largest)).collect();
    let z: u64 = e.iter().map(|&e| (e * ONE).round_ties_even() as u64).sum();
    let w: Vec<f32> = e.iter().zip(values).map(|(&e, value)| e * value.unit()).collect();
    let we = exponent(w.iter().fold(0.0, |max, &w| if w > max { w } else { max })) + 1;
    let up = weight_scale(we);
    let weights: Vec<i64> = w.iter().map(|&w| (w * up).round_ties_even() as i64).collect();
    let factor = output_factor(we, z);
    let sum = |d: usize| weights.iter().zip(values).map(|(&w, v)| w * i64::from(v.codes[d])).sum::<i64>();
    (0..q.codes.len()).map(|d| sum(d) as f32 * factor).collect()
}

/// `2^(24 - ew)`, the factor that makes the weights integers below 2^24.
pub fn weight_scale(we: i32) -> f32 {
    power_of_two(24 - we)
}

/// `rn(2^(ew - 24) * 2^30 / rn(Z))`.
pub fn output_factor(we: i32, z: u64) -> f32 {
    power_of_two(we - 24 + 30) / z as f32
}
