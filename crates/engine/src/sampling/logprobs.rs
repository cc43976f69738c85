//! Log-probabilities of the model's own distribution.

use lockstep_kernels::Kernels;
use lockstep_kernels::sampling::ONE;

use super::peaks::{BLOCK, Peaks};
use crate::event::TokenLogprobs;

/// Of `chosen` and of the `top` most likely tokens, from raw finite logits whose peaks are given.
pub(crate) fn logprobs(kernels: Kernels, logits: &[f32], peaks: &mut Peaks, chosen: u32, top: usize) -> TokenLogprobs {
    let log_mass = libm::log(mass(kernels, logits, peaks) as f64 / f64::from(ONE));
    let max = peaks.max;
    // f64 holds the difference of two f32 of usual size exactly.
    let of =
        |id: u32| logits.get(id as usize).map_or(f64::NEG_INFINITY, |&l| (f64::from(l) - f64::from(max)) - log_mass);
    TokenLogprobs { chosen: of(chosen), top: most_likely(logits, peaks, top).iter().map(|&id| (id, of(id))).collect() }
}

/// The sum of all integer weights at temperature 1; below 2^30 times the vocabulary.
fn mass(kernels: Kernels, logits: &[f32], peaks: &Peaks) -> u64 {
    let mut weights = [0; 64 * BLOCK];
    let runs = logits.chunks(weights.len());
    runs.map(|run| kernels.weigh(run, peaks.max, 1.0, &mut weights[..run.len()]).0).sum()
}

/// The ids of the `count` largest logits, by falling logit, then rising id.
fn most_likely(logits: &[f32], peaks: &mut Peaks, count: usize) -> Vec<u32> {
    if count == 0 {
        return Vec::new();
    }
    let bound = peaks.reached_by(count);
    let mut ids = Vec::new();
    for (index, (block, &peak)) in logits.chunks(BLOCK).zip(&peaks.blocks).enumerate() {
        if peak >= bound {
            let reaching = block.iter().enumerate().filter(|(_, l)| **l >= bound);
            ids.extend(reaching.map(|(offset, _)| (index * BLOCK + offset) as u32));
        }
    }
    // Stable: equal logits keep rising ids. Comparing as numbers makes -0 equal to 0.
    ids.sort_by(|&a, &b| {
        let (a, b) = (logits[a as usize], logits[b as usize]);
        b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal)
    });
    ids.truncate(count);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(count: u64, spread: f32) -> Vec<f32> {
        (0..count).map(|i| (crate::sampling::random(3, i) >> 40) as f32 * spread / 16_777_216.0).collect()
    }

    fn of(logits: &[f32], chosen: u32, top: usize) -> TokenLogprobs {
        let mut peaks = Peaks::default();
        peaks.find(logits);
        logprobs(Kernels::detect(), logits, &mut peaks, chosen, top)
    }

    #[test]
    fn they_are_close_to_a_plain_log_softmax() {
        for (count, spread) in [(1, 1.0), (100, 0.0), (5000, 40.0), (5000, 4.0)] {
            let logits = logits(count, spread);
            let exact = libm::log(logits.iter().map(|&l| libm::exp(f64::from(l))).sum::<f64>());
            let result = of(&logits, 0, 20);
            // A float reference: the bound is the stated one plus exp32's own error.
            let bound = count as f64 / 2f64.powi(31) + 2e-7;
            assert!((result.chosen - (f64::from(logits[0]) - exact)).abs() < bound);
            for (id, logprob) in result.top {
                assert!((logprob - (f64::from(logits[id as usize]) - exact)).abs() < bound, "{id}");
            }
        }
    }

    #[test]
    fn the_most_likely_are_those_of_a_sorted_list() {
        for (count, spread) in [(3, 1.0), (64, 0.0), (200, 3.0), (5000, 40.0)] {
            let mut logits = logits(count, spread);
            for l in &mut logits {
                *l = l.round();
            }
            let mut ids: Vec<u32> = (0..count as u32).collect();
            ids.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
            for top in 0..=20 {
                let found: Vec<u32> = of(&logits, 0, top).top.iter().map(|&(id, _)| id).collect();
                assert_eq!(found, ids[..top.min(count as usize)]);
            }
        }
    }
}
