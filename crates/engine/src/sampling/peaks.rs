//! Maxima of blocks of logits: one quick pass that lets the later ones skip most of the vocabulary.

/// Logits per block.
pub(crate) const BLOCK: usize = 64;
const LANES: usize = 8;

/// The maximum of each block, and of all.
#[derive(Debug, Default)]
pub(crate) struct Peaks {
    /// One per block of [`BLOCK`] logits; the last block may be shorter.
    pub(crate) blocks: Vec<f32>,
    /// The largest logit.
    pub(crate) max: f32,
    sorted: Vec<f32>,
}

impl Peaks {
    /// Looks at all logits. They may be minus infinity (a banned token) but not NaN.
    pub(crate) fn find(&mut self, logits: &[f32]) {
        self.blocks.clear();
        self.blocks.extend(logits.chunks(BLOCK).map(block_max));
        self.max = self.blocks.iter().copied().fold(f32::NEG_INFINITY, larger);
    }

    /// The lowest id among the largest logits.
    pub(crate) fn argmax(&self, logits: &[f32]) -> u32 {
        let block = self.blocks.iter().position(|&b| b == self.max).unwrap_or(0);
        let start = block * BLOCK;
        let inside = logits[start..].iter().position(|&l| l == self.max).unwrap_or(0);
        (start + inside) as u32
    }

    /// A value that at least `count` logits reach: the `count`-th largest block maximum. Minus infinity where there
    /// are fewer blocks.
    pub(crate) fn reached_by(&mut self, count: usize) -> f32 {
        if count == 0 || count > self.blocks.len() {
            return f32::NEG_INFINITY;
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.blocks);
        *self.sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1
    }
}

/// Whether all logits are finite numbers.
pub(crate) fn all_finite(logits: &[f32]) -> bool {
    // Zero times a finite number is a zero; times infinity or NaN it is NaN, which every later sum keeps.
    let mut lanes = [0.0f32; LANES];
    let chunks = logits.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * 0.0;
        }
    }
    lanes.iter().sum::<f32>() == 0.0 && rest.iter().all(|value| value.is_finite())
}

fn block_max(block: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Written so that it becomes one machine instruction.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_id_wins_among_equals() {
        let mut peaks = Peaks::default();
        for length in [1, 7, 64, 65, 200] {
            for first in 0..length {
                let mut logits = vec![-1.0f32; length];
                logits[first] = 0.0;
                logits[length - 1] = if first == length - 1 { 0.0 } else { -0.0 };
                peaks.find(&logits);
                assert_eq!(peaks.argmax(&logits) as usize, first, "length {length}");
                assert_eq!(peaks.max, 0.0);
            }
        }
    }

    #[test]
    fn at_least_that_many_logits_reach_the_bound() {
        let logits: Vec<f32> = (0..1000u32).map(|i| (i * 7919 % 1009) as f32).collect();
        let mut peaks = Peaks::default();
        peaks.find(&logits);
        for count in 1..=peaks.blocks.len() {
            let bound = peaks.reached_by(count);
            assert!(logits.iter().filter(|&&l| l >= bound).count() >= count);
        }
        assert_eq!(peaks.reached_by(17), f32::NEG_INFINITY);
        assert_eq!(peaks.reached_by(0), f32::NEG_INFINITY);
    }

    #[test]
    fn one_bad_value_anywhere_is_noticed() {
        for length in [1, 8, 17, 100] {
            let mut logits = vec![f32::MAX; length];
            assert!(all_finite(&logits));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in 0..length {
                    logits[at] = bad;
                    assert!(!all_finite(&logits), "{bad} at {at} of {length}");
                    logits[at] = -3.0;
                }
            }
        }
    }
}
