//! Choosing a token with integers (contract section 5): logits become integer weights once, and every filter and draw
//! after that is exact.

use std::cmp::Reverse;

use crate::elementwise::exp32;

/// The weight of the most likely token: one, with 30 fraction bits.
pub const ONE: f32 = 1_073_741_824.0;

/// Tokens by falling weight, then rising id: the order in which filters cut and draws count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Token ids.
    pub ids: Vec<u32>,
    /// `P` of each, in 1..=2^30.
    pub weights: Vec<u64>,
}

/// The most likely token: the lowest id among equal logits. `None` where there is none or one is NaN.
pub fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return None;
        }
        if logit > logits[best] {
            best = id;
        }
    }
    (!logits.is_empty()).then_some(best as u32)
}

impl Candidates {
    /// `P = round_even(exp32(rn(rn(l - M) * rn(1 / temperature))) * 2^30)` of every token for which it is not 0;
    /// temperature is above 0. `None` where there is no logit or one is not finite.
    pub fn new(logits: &[f32], temperature: f32) -> Option<Self> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        let largest = logits[greedy(logits)? as usize];
        let inverse = 1.0 / temperature;
        let weight = |logit: f32| (exp32((logit - largest) * inverse) * ONE).round_ties_even() as u64;
        let mut pairs: Vec<(u64, u32)> =
            logits.iter().zip(0..).map(|(&logit, id)| (weight(logit), id)).filter(|&(weight, _)| weight > 0).collect();
        pairs.sort_by_key(|&(weight, id)| (Reverse(weight), id));
        let (weights, ids) = pairs.into_iter().unzip();
        Some(Self { ids, weights })
    }

    /// Z: the sum of all weights.
    pub fn total(&self) -> u64 {
        self.weights.iter().sum()
    }

    /// Keeps the first `count`. Top-k, top-p and min-p all keep a prefix, so each is a count and this.
    pub fn truncate(&mut self, count: usize) {
        self.ids.truncate(count);
        self.weights.truncate(count);
    }

    /// The fewest tokens whose summed weight reaches `needed`; all where their sum does not.
    pub fn count_reaching(&self, needed: u64) -> usize {
        let before = self.weights.iter().scan(0u64, |sum, &weight| {
            *sum += weight;
            Some(*sum - weight)
        });
        before.take_while(|&sum| sum < needed).count()
    }

    /// The tokens with a weight of at least `least`.
    pub fn count_at_least(&self, least: u64) -> usize {
        self.weights.partition_point(|&weight| weight >= least)
    }

    /// The token in whose share of the order the point `(random * Z) >> 64` falls; `None` without candidates.
    pub fn draw(&self, random: u64) -> Option<u32> {
        let point = ((u128::from(random) * u128::from(self.total())) >> 64) as u64;
        self.ids.get(self.count_reaching(point + 1).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn equal_logits_go_by_id() {
        let candidates = Candidates::new(&[1.0, 2.0, 2.0, -200.0, 1.0], 1.0).unwrap();
        assert_eq!(candidates.ids, [1, 2, 0, 4]);
        assert_eq!(candidates.weights[..2], [1 << 30, 1 << 30]);
        assert_eq!(greedy(&[1.0, 2.0, 2.0]), Some(1));
        assert_eq!(greedy(&[-0.0, 0.0]), Some(0));
    }

    #[test]
    fn draws_split_the_range_of_random_numbers_by_weight() {
        let candidates = Candidates { ids: vec![7, 3, 9], weights: vec![2, 1, 1] };
        let half = 1u64 << 63;
        let quarter = 1u64 << 62;
        for (random, id) in [(0, 7), (half - 1, 7), (half, 3), (half + quarter - 1, 3), (half + quarter, 9)] {
            assert_eq!(candidates.draw(random), Some(id), "{random}");
        }
        assert_eq!(candidates.draw(u64::MAX), Some(9));
        assert_eq!(Candidates::default().draw(5), None);
    }

    #[test]
    fn filters_keep_prefixes() {
        let mut candidates = Candidates { ids: vec![7, 3, 9], weights: vec![5, 3, 2] };
        let reaching = [0, 1, 5, 6, 8, 9, 10, 11].map(|needed| candidates.count_reaching(needed));
        assert_eq!(reaching, [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!([1, 2, 3, 4, 6].map(|least| candidates.count_at_least(least)), [3, 3, 2, 1, 0]);
        candidates.truncate(2);
        assert_eq!((candidates.total(), candidates.ids), (8, vec![7, 3]));
    }

    #[test]
    fn logits_that_are_not_finite_give_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Candidates::new(&[0.0, bad], 1.0), None);
        }
        assert_eq!(greedy(&[0.0, f32::NAN]), None);
        assert_eq!((greedy(&[]), Candidates::new(&[], 1.0)), (None, None));
    }
}
