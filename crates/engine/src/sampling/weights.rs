//! Exact integer weights of tokens, and cuts of their falling order without sorting it.
//!
//! The order is by falling weight, then rising id. Every filter (top-k, top-p, min-p) keeps a prefix of it, so a
//! filter is a number of tokens and their summed weight. Weights are counted in 32 buckets per power of two; only
//! the bucket in which a cut falls is sorted, and few cuts fall among the small weights that most tokens have: blocks
//! of such tokens are counted when one does.

use lockstep_kernels::Kernels;
use lockstep_kernels::sampling::exponent;

use super::peaks::{BLOCK, Peaks};

/// Most blocks that are weighed at once.
const RUN: usize = 64;
const BUCKETS: usize = 31 * 32;
/// Blocks are counted that have a weight of at least this (e^-4.2 of the largest), ...
const COUNTED: u32 = 1 << 24;
/// ... and further ones, by so many powers of two, whenever a cut comes to smaller weights.
const FURTHER: u32 = 6;

/// A prefix of the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Number of tokens.
    pub(crate) count: usize,
    /// Their summed weight.
    pub(crate) sum: u64,
}

/// A token that has a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    weight: u32,
    id: u32,
}

/// The tokens with a weight above 0, and their buckets.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    /// Weights of the blocks that were not skipped.
    dense: Vec<[u32; BLOCK]>,
    /// The first id of each of them, rising.
    starts: Vec<u32>,
    /// All of them.
    all: Prefix,
    buckets: Vec<Prefix>,
    /// Every weight from this one on is counted in `buckets`, ...
    counted: u32,
    /// ... and none of these blocks.
    uncounted: Vec<usize>,
    members: Vec<Candidate>,
    last: Option<u32>,
}

impl Weights {
    /// Weighs the tokens at the temperature `1 / inverse`. Blocks without an exponent of at least `cutoff` are skipped.
    pub(crate) fn fill(&mut self, kernels: Kernels, logits: &[f32], peaks: &Peaks, inverse: f32, cutoff: f32) {
        self.clear();
        let counts = |peak: f32| exponent(peak, peaks.max, inverse) >= cutoff;
        let mut first = 0;
        for run in peaks.blocks.chunk_by(|&a, &b| counts(a) == counts(b)).flat_map(|run| run.chunks(RUN)) {
            let end = first + run.len();
            if counts(run[0]) {
                let part = &logits[first * BLOCK..logits.len().min(end * BLOCK)];
                let (sum, count) = kernels.weigh(part, peaks.max, inverse, self.place(first, part.len()));
                self.all.count += count;
                self.all.sum += sum;
            }
            first = end;
        }
        self.count(COUNTED);
    }

    fn clear(&mut self) {
        self.dense.clear();
        self.starts.clear();
        self.uncounted.clear();
        self.all = Prefix::default();
        self.buckets.clear();
        self.buckets.resize(BUCKETS, Prefix::default());
    }

    /// Room for the weights of so many tokens, from block `first` of the vocabulary on.
    fn place(&mut self, first: usize, tokens: usize) -> &mut [u32] {
        let (known, blocks) = (self.dense.len(), tokens.div_ceil(BLOCK));
        self.dense.resize(known + blocks, [0; BLOCK]);
        self.starts.extend((first..first + blocks).map(|block| (block * BLOCK) as u32));
        self.uncounted.extend(known..known + blocks);
        &mut self.dense[known..].as_flattened_mut()[..tokens]
    }

    /// Counts all blocks that have a weight of at least `least` in the buckets.
    fn count(&mut self, least: u32) {
        self.counted = least;
        let (dense, buckets) = (&self.dense, &mut self.buckets);
        let is_large = |weight: u32| weight >= least;
        self.uncounted.retain(|&block| {
            let weights = &dense[block];
            // Without early exit, so that the compiler can compare many at once.
            let any = weights.iter().fold(false, |any, &weight| any | is_large(weight));
            if any {
                for &weight in weights.iter().filter(|weight| **weight > 0) {
                    let bucket = &mut buckets[bucket_of(weight)];
                    bucket.count += 1;
                    bucket.sum += u64::from(weight);
                }
            }
            !any
        });
    }

    /// All of them.
    pub(crate) fn all(&self) -> Prefix {
        self.all
    }

    /// The first `count`, or all where there are fewer.
    pub(crate) fn first(&mut self, count: usize) -> Prefix {
        self.cut(|before, _| before.count < count)
    }

    /// The fewest whose sum times 2^32 reaches `needed`.
    pub(crate) fn reaching(&mut self, needed: u128) -> Prefix {
        self.cut(|before, _| u128::from(before.sum) << 32 < needed)
    }

    /// Those of at least `least`.
    pub(crate) fn at_least(&mut self, least: u32) -> Prefix {
        self.cut(|_, weight| weight >= least)
    }

    /// The token within whose share of the order `point` falls; none where `point` reaches the sum of all.
    pub(crate) fn at(&mut self, point: u64) -> Option<u32> {
        let prefix = self.cut(|before, _| before.sum <= point);
        // The token that made the sum pass the point is the last one that was kept.
        if prefix.sum > point { self.last } else { None }
    }

    /// The longest prefix in which `keep(sum and count before it, weight)` held for every token. Once `keep` is false
    /// it must stay so down the order. Leaves in `last` the last kept token where the cut fell within a bucket.
    fn cut(&mut self, keep: impl Fn(Prefix, u32) -> bool) -> Prefix {
        let mut prefix = Prefix::default();
        for bucket in (0..BUCKETS).rev() {
            if self.counted > 1 && lower_bound(bucket) < self.counted {
                self.count((self.counted >> FURTHER).max(1));
            }
            let Prefix { count, sum } = self.buckets[bucket];
            if count == 0 {
                continue;
            }
            let after = Prefix { count: prefix.count + count, sum: prefix.sum + sum };
            // A bucket is passed whole where even what follows it would be kept, at the least weight it can hold.
            if keep(after, lower_bound(bucket)) {
                prefix = after;
                continue;
            }
            self.sort_members(bucket);
            for candidate in &self.members {
                if !keep(prefix, candidate.weight) {
                    return prefix;
                }
                prefix.count += 1;
                prefix.sum += u64::from(candidate.weight);
                self.last = Some(candidate.id);
            }
            if !keep(prefix, lower_bound(bucket)) {
                return prefix;
            }
        }
        prefix
    }

    fn sort_members(&mut self, bucket: usize) {
        // Weights of a bucket are neighbours, from its least up to the next one's.
        let least = lower_bound(bucket);
        let width = lower_bound(bucket + 1) - least;
        self.members.clear();
        for (weights, &start) in self.dense.iter().zip(&self.starts) {
            let inside = |weight: u32| weight.wrapping_sub(least) < width;
            // Without early exit, so that the compiler can compare many at once: few blocks have one.
            if weights.iter().fold(false, |any, &weight| any | inside(weight)) {
                let ids = weights.iter().zip(start..).filter(|(weight, _)| inside(**weight));
                self.members.extend(ids.map(|(&weight, id)| Candidate { weight, id }));
            }
        }
        // Stable: equal weights keep rising ids.
        self.members.sort_by_key(|candidate| std::cmp::Reverse(candidate.weight));
    }
}

/// The bucket of a weight of at least 1: rising with it, 32 buckets per power of two.
#[inline(always)]
fn bucket_of(weight: u32) -> usize {
    let log = weight.ilog2();
    let fraction = (u64::from(weight) << 5 >> log) & 31;
    (log as usize) << 5 | fraction as usize
}

/// The least weight of a bucket.
fn lower_bound(bucket: usize) -> u32 {
    let (log, fraction) = (bucket >> 5, bucket & 31);
    // Rounded up, since in the lowest powers of two only some buckets have a whole number in them.
    (((32 + fraction as u64) << log).div_ceil(32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_kernels::sampling::ONE;

    fn filled(weights: &[u32]) -> Weights {
        let mut all = Weights::default();
        all.clear();
        all.place(0, weights.len()).copy_from_slice(weights);
        all.all.count = weights.iter().filter(|weight| **weight > 0).count();
        all.all.sum = weights.iter().copied().map(u64::from).sum();
        all.count(COUNTED);
        all
    }

    /// The order by plain sorting.
    fn order(weights: &[u32]) -> Vec<(u32, u32)> {
        let mut order: Vec<(u32, u32)> =
            weights.iter().enumerate().filter(|(_, w)| **w > 0).map(|(id, &w)| (w, id as u32)).collect();
        order.sort_by_key(|&(weight, id)| (std::cmp::Reverse(weight), id));
        order
    }

    fn prefix_while(weights: &[u32], keep: impl Fn(Prefix, u32) -> bool) -> Prefix {
        let mut prefix = Prefix { count: 0, sum: 0 };
        for (weight, _) in order(weights) {
            if !keep(prefix, weight) {
                break;
            }
            prefix.count += 1;
            prefix.sum += u64::from(weight);
        }
        prefix
    }

    fn check(weights: &[u32]) {
        let mut cuts = filled(weights);
        let all = prefix_while(weights, |_, _| true);
        for count in 0..=all.count + 1 {
            assert_eq!(cuts.first(count), prefix_while(weights, |before, _| before.count < count), "first {count}");
        }
        for part in 0..=20u128 {
            let needed = (u128::from(all.sum) << 32) * part / 20;
            let expected = prefix_while(weights, |before, _| u128::from(before.sum) << 32 < needed);
            assert_eq!(cuts.reaching(needed), expected, "reaching {part}/20");
        }
        for &least in weights.iter().chain(&[1, 2, 31, 33, ONE]) {
            assert_eq!(cuts.at_least(least), prefix_while(weights, |_, weight| weight >= least), "at least {least}");
        }
        let mut sum = 0;
        for (weight, id) in order(weights) {
            assert_eq!(cuts.at(sum), Some(id), "first point of {id}");
            sum += u64::from(weight);
            assert_eq!(cuts.at(sum - 1), Some(id), "last point of {id}");
        }
        assert_eq!(cuts.at(sum), None);
    }

    #[test]
    fn cuts_equal_those_of_the_sorted_order() {
        check(&[]);
        check(&[0, 0, 1]);
        check(&[ONE; 5]);
        check(&[5, ONE, 5, 1, 1, 0, 5, ONE - 1, ONE / 2, ONE / 2 + 1]);
        for seed in 0..60 {
            let random = |at: u64| crate::sampling::random(seed, at);
            let shift = random(1000) % 30;
            let weights: Vec<u32> = (0..random(1001) % 200)
                .map(|at| (random(at) as u32 & (ONE - 1)) >> (random(2000 + at) % (shift + 1)))
                .collect();
            check(&weights);
        }
    }

    #[test]
    fn buckets_rise_with_the_weight_and_know_their_least() {
        let mut last = 0;
        for weight in (1..5000).chain((0..20000).map(|i| ONE - 20000 + i + 1)) {
            let bucket = bucket_of(weight);
            assert!(bucket >= last && bucket < BUCKETS, "{weight}");
            assert!(lower_bound(bucket) <= weight, "{weight}");
            assert_eq!(bucket_of(lower_bound(bucket)), bucket, "{weight}");
            last = bucket;
        }
    }
}
