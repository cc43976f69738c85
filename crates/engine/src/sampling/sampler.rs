//! One request's way from logits to tokens.

use std::collections::BTreeMap;

use lockstep_kernels::Kernels;
use lockstep_kernels::sampling::{EXPONENT_MIN, ONE, exponent};

use super::logprobs::logprobs;
use super::peaks::{Peaks, all_finite};
use super::random::random;
use super::weights::{Prefix, Weights};
use crate::constraint::{allows, ban_others};
use crate::event::TokenLogprobs;
use crate::request::SamplingParams;

/// Below it a temperature is 0: its reciprocal times a difference of logits could leave the range of f32.
const TEMPERATURE_MIN: f32 = 1e-6;

/// Buffers shared by all requests of an engine, and the kernels that fill them.
#[derive(Debug)]
pub(crate) struct Scratch {
    kernels: Kernels,
    adjusted: Vec<f32>,
    peaks: Peaks,
    weights: Weights,
}

impl Scratch {
    pub(crate) fn new(kernels: Kernels) -> Self {
        Self { kernels, adjusted: Vec::new(), peaks: Peaks::default(), weights: Weights::default() }
    }
}

/// Where a token is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    /// The token's position, counted from the prompt's start.
    pub(crate) position: usize,
    /// Tokens generated before it.
    pub(crate) tokens: usize,
    /// What the constraint allows, where it does not allow everything.
    pub(crate) allowed: Option<&'a [u32]>,
}

/// What decides a request's tokens beside the logits.
#[derive(Debug)]
pub(crate) struct Sampler {
    params: SamplingParams,
    seed: u64,
    /// Tokens that are not drawn while the answer is shorter than `min_tokens`.
    ends: Vec<u32>,
    min_tokens: usize,
    /// How often each token of prompt or answer was generated; empty where no penalty asks for it.
    generated: BTreeMap<u32, u32>,
}

impl Sampler {
    pub(crate) fn new(params: SamplingParams, seed: u64, ends: Vec<u32>, min_tokens: usize, prompt: &[u32]) -> Self {
        let repetition = params.repetition_penalty != 1.0;
        let generated = if repetition { prompt.iter().map(|&id| (id, 0)).collect() } else { BTreeMap::new() };
        Self { params, seed, ends, min_tokens, generated }
    }

    /// Takes note that `id` is now part of the answer.
    pub(crate) fn accept(&mut self, id: u32) {
        let p = &self.params;
        if p.repetition_penalty != 1.0 || p.frequency_penalty != 0.0 || p.presence_penalty != 0.0 {
            *self.generated.entry(id).or_insert(0) += 1;
        }
    }

    /// The token that the logits give at this place, or why there is none.
    pub(crate) fn choose(
        &self,
        logits: &[f32],
        place: &Answered<'_>,
        top_logprobs: Option<usize>,
        scratch: &mut Scratch,
    ) -> Result<(u32, Option<TokenLogprobs>), &'static str> {
        if logits.is_empty() || !all_finite(logits) {
            return Err("the model gave a logit that is not a finite number");
        }
        let id = match self.end_within(place) {
            Some((end, allowed)) => {
                let free = self.draw(logits, &Answered { allowed: None, ..*place }, scratch);
                if allows(allowed, free) { free } else { end }
            }
            None => self.draw(logits, place, scratch),
        };
        if place.allowed.is_some_and(|allowed| !allows(allowed, id)) {
            return Err("the request's constraint allows no token to come next");
        }
        let report = top_logprobs.map(|top| {
            scratch.peaks.find(logits);
            logprobs(scratch.kernels, logits, &mut scratch.peaks, id, top)
        });
        Ok((id, report))
    }

    /// Where a constrained answer may end: with which token, and what else is allowed.
    fn end_within<'a>(&self, place: &Answered<'a>) -> Option<(u32, &'a [u32])> {
        let allowed = place.allowed.filter(|_| place.tokens >= self.min_tokens)?;
        let end = self.ends.iter().copied().find(|&id| allows(allowed, id))?;
        Some((end, allowed))
    }

    fn draw(&self, raw: &[f32], place: &Answered<'_>, scratch: &mut Scratch) -> u32 {
        let Scratch { kernels, adjusted, peaks, weights } = scratch;
        let ends: &[u32] = if place.tokens < self.min_tokens { &self.ends } else { &[] };
        let banned = !ends.is_empty() || place.allowed.is_some();
        let changes = banned || !(self.params.logit_bias.is_empty() && self.generated.is_empty());
        let mut logits = raw;
        if changes {
            self.adjust(raw, ends, place.allowed, adjusted);
            logits = adjusted;
        }
        peaks.find(logits);
        if place.allowed.is_some() && !ends.is_empty() && peaks.max == f32::NEG_INFINITY {
            self.adjust(raw, &[], place.allowed, adjusted);
            logits = adjusted;
            peaks.find(logits);
        }
        if self.params.temperature < TEMPERATURE_MIN {
            return peaks.argmax(logits);
        }
        let inverse = 1.0 / self.params.temperature;
        let cutoff = self.cutoff(peaks, inverse);
        weights.fill(*kernels, logits, peaks, inverse, cutoff);
        let mass = self.kept_mass(weights);
        let point = (u128::from(random(self.seed, place.position as u64)) * u128::from(mass)) >> 64;
        // Nothing has a weight only where every logit is banned.
        weights.at(point as u64).unwrap_or_else(|| peaks.argmax(logits))
    }

    /// Steps 1 to 5 of the module's description.
    fn adjust(&self, raw: &[f32], ends: &[u32], allowed: Option<&[u32]>, logits: &mut Vec<f32>) {
        let p = &self.params;
        logits.clear();
        logits.extend_from_slice(raw);
        for &(id, bias) in &p.logit_bias {
            logits[id as usize] += bias;
        }
        for (&id, &count) in &self.generated {
            let logit = &mut logits[id as usize];
            if p.repetition_penalty != 1.0 {
                *logit = if *logit > 0.0 { *logit / p.repetition_penalty } else { *logit * p.repetition_penalty };
            }
            if count > 0 {
                *logit -= p.frequency_penalty * count as f32;
                *logit -= p.presence_penalty;
            }
        }
        for &id in ends {
            logits[id as usize] = f32::NEG_INFINITY;
        }
        if let Some(allowed) = allowed {
            ban_others(logits, allowed);
        }
    }

    /// An exponent below which no token can pass the filters, so that its weight need not be known.
    fn cutoff(&self, peaks: &mut Peaks, inverse: f32) -> f32 {
        let p = &self.params;
        let mut cutoff = EXPONENT_MIN;
        if p.top_k > 0 {
            // At least k tokens weigh what this exponent gives or more. Two below it a weight is smaller by a factor of
            // 7, so smaller or 0 after rounding too: such a token comes after those k.
            cutoff = cutoff.max(exponent(peaks.reached_by(p.top_k as usize), peaks.max, inverse) - 2.0);
        }
        // Top-p needs the sum of all that top-k leaves; without it, min-p alone bounds the exponent. The margin is far
        // above the errors of both functions, and the least weight it is used for far above the rounding.
        if p.top_p >= 1.0 && p.min_p >= 1e-6 {
            cutoff = cutoff.max(libm::log(f64::from(p.min_p)) as f32 - 0.01);
        }
        cutoff
    }

    /// The summed weight of the tokens that pass the filters.
    fn kept_mass(&self, weights: &mut Weights) -> u64 {
        let p = &self.params;
        let mut kept = if p.top_k > 0 { weights.first(p.top_k as usize) } else { weights.all() };
        if p.top_p < 1.0 {
            let needed = u128::from(share(p.top_p).max(1)) * u128::from(kept.sum);
            kept = shorter(kept, weights.reaching(needed));
        }
        if p.min_p > 0.0 {
            let least = (share(p.min_p) * u64::from(ONE)).div_ceil(1 << 32);
            kept = shorter(kept, weights.at_least(least as u32));
        }
        kept.sum
    }
}

/// A share of at most 1 with 32 fraction bits.
fn share(x: f32) -> u64 {
    (f64::from(x) * 4_294_967_296.0).round_ties_even() as u64
}

fn shorter(a: Prefix, b: Prefix) -> Prefix {
    if b.count < a.count { b } else { a }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lockstep_arith::sampling::{Candidates, greedy};

    use super::*;

    fn place(position: usize, tokens: usize) -> Answered<'static> {
        Answered { position, tokens, allowed: None }
    }

    /// The module's description, word by word, over the contract's own candidates.
    fn plain(sampler: &Sampler, raw: &[f32], position: usize, answered: usize) -> u32 {
        let p = &sampler.params;
        let mut logits = Vec::new();
        sampler.adjust(raw, if answered < sampler.min_tokens { &sampler.ends } else { &[] }, None, &mut logits);
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Forty temperatures below the maximum a weight is 0, so a banned token (minus infinity) may stand there.
        for l in &mut logits {
            *l = l.max(max - 40.0 * p.temperature.max(1e-6));
        }
        if p.temperature < TEMPERATURE_MIN {
            return greedy(&logits).unwrap();
        }
        let mut candidates = Candidates::new(&logits, p.temperature).unwrap();
        if p.top_k > 0 {
            candidates.truncate(p.top_k as usize);
        }
        if p.top_p < 1.0 {
            let needed = (u128::from(share(p.top_p)) * u128::from(candidates.total())).div_ceil(1 << 32);
            candidates.truncate(candidates.count_reaching(needed as u64).max(1));
        }
        let least = (u128::from(share(p.min_p)) << 30).div_ceil(1 << 32);
        candidates.truncate(candidates.count_at_least(least as u64));
        candidates.draw(random(sampler.seed, position as u64)).unwrap()
    }

    fn logits(seed: u64, count: u64) -> Vec<f32> {
        let scale = [0.0, 0.5, 4.0, 30.0][(seed % 4) as usize];
        // Few distinct values in some, so that ties cross every cut.
        let coarse = seed.is_multiple_of(3);
        (0..count)
            .map(|i| ((random(seed, i) >> 40) as f32 / 16_777_216.0 - 0.5) * scale)
            .map(|l| if coarse { (l * 2.0).round() / 2.0 } else { l })
            .collect()
    }

    fn sampler(seed: u64) -> Sampler {
        let pick = |at: u64, list: &[f32]| list[(random(seed, 500 + at) % list.len() as u64) as usize];
        let params = SamplingParams {
            temperature: pick(0, &[0.0, 1e-6, 0.1, 0.7, 1.0, 2.0]),
            top_k: pick(1, &[0.0, 0.0, 1.0, 2.0, 5.0, 40.0, 5000.0]) as u32,
            top_p: pick(2, &[1.0, 1.0, 1e-9, 0.1, 0.5, 0.95]),
            min_p: pick(3, &[0.0, 0.0, 1e-9, 1e-6, 0.05, 1.0]),
            frequency_penalty: pick(4, &[0.0, 0.0, 0.3, -0.5]),
            presence_penalty: pick(5, &[0.0, 0.0, 0.7, -0.2]),
            repetition_penalty: pick(6, &[1.0, 1.0, 1.3, 0.8]),
            logit_bias: if pick(7, &[0.0, 1.0]) > 0.0 { vec![(0, -100.0), (2, 1.5)] } else { Vec::new() },
        };
        let mut sampler = Sampler::new(params, seed, vec![1, 2], 2, &[0, 1, 1]);
        for id in [1, 2, 2] {
            sampler.accept(id);
        }
        sampler
    }

    #[test]
    fn tokens_equal_those_of_the_plain_description() {
        let mut scratches: Vec<Scratch> = Kernels::all().into_iter().map(Scratch::new).collect();
        for seed in 0..3000 {
            let sampler = sampler(seed);
            // Some have more blocks than are weighed at once.
            let more = if seed % 100 == 0 { 9000 } else { 0 };
            let logits = logits(seed, 3 + more + random(seed, 999) % 400);
            for answered in [0, 2] {
                let position = seed as usize % 17;
                let expected = plain(&sampler, &logits, position, answered);
                for scratch in &mut scratches {
                    let (id, _) = sampler.choose(&logits, &place(position, answered), None, scratch).unwrap();
                    assert_eq!(id, expected, "seed {seed}, {}: {:?}", scratch.kernels.name(), sampler.params);
                }
            }
        }
    }

    #[test]
    fn a_draw_follows_the_distribution() {
        let mut sampler = Sampler::new(SamplingParams::default(), 11, Vec::new(), 0, &[]);
        let logits = [0.0, libm::logf(2.0), libm::logf(5.0)];
        let mut scratch = Scratch::new(Kernels::detect());
        let mut counts = [0i32; 3];
        for position in 0..8000 {
            counts[sampler.choose(&logits, &place(position, 0), None, &mut scratch).unwrap().0 as usize] += 1;
        }
        // Five standard deviations around 1000, 2000 and 5000.
        assert!((counts[0] - 1000).abs() < 148 && (counts[1] - 2000).abs() < 194 && (counts[2] - 5000).abs() < 217);
        sampler.params.top_k = 1;
        assert!((0..100).all(|p| sampler.choose(&logits, &place(p, 0), None, &mut scratch).unwrap().0 == 2));
    }

    #[test]
    fn penalties_round_in_the_stated_order() {
        let params = SamplingParams {
            frequency_penalty: 0.1,
            presence_penalty: 0.3,
            repetition_penalty: 1.7,
            logit_bias: vec![(0, 0.7)],
            ..SamplingParams::greedy()
        };
        let mut sampler = Sampler::new(params, 0, vec![3], 1, &[1]);
        for _ in 0..3 {
            sampler.accept(0);
        }
        let mut logits = Vec::new();
        sampler.adjust(&[1.1, -1.1, 5.0, 6.0], &[3], None, &mut logits);
        let expected = (((1.1f32 + 0.7) / 1.7) - 0.1f32 * 3.0) - 0.3;
        assert_eq!(logits, [expected, -1.1 * 1.7, 5.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn logits_that_are_no_numbers_give_no_token() {
        let sampler = Sampler::new(SamplingParams::default(), 0, Vec::new(), 0, &[]);
        let mut scratch = Scratch::new(Kernels::detect());
        assert!(sampler.choose(&[], &place(0, 0), None, &mut scratch).is_err());
        assert!(sampler.choose(&[0.0, f32::NAN], &place(0, 0), None, &mut scratch).is_err());
        // Banning everything leaves the lowest id instead of a panic.
        let banned = Sampler::new(SamplingParams::default(), 0, vec![0, 1], 1, &[]);
        assert_eq!(banned.choose(&[0.0, 1.0], &place(0, 0), None, &mut scratch).unwrap().0, 0);
    }

    #[test]
    fn a_constraint_comes_before_everything_else() {
        let mut scratch = Scratch::new(Kernels::detect());
        let mut choose = |params: SamplingParams, ends: &[u32], allowed: u32| {
            let sampler = Sampler::new(params, 7, ends.to_vec(), 1, &[]);
            let place = Answered { position: 3, tokens: 0, allowed: Some(&[allowed]) };
            sampler.choose(&[1.0, 4.0, 3.0, 2.0], &place, None, &mut scratch).map(|(id, _)| id)
        };
        assert_eq!(choose(SamplingParams::greedy(), &[], 0b1101), Ok(2));
        let first = SamplingParams { top_k: 1, ..SamplingParams::default() };
        assert_eq!(choose(first, &[], 0b1001), Ok(3), "the first of those allowed");
        assert_eq!(choose(SamplingParams::greedy(), &[2], 0b1101), Ok(3), "ends are banned too");
        assert_eq!(choose(SamplingParams::greedy(), &[0, 2], 0b101), Ok(2), "unless nothing else is left");
        assert_eq!(choose(SamplingParams::default(), &[0], 0b1), Ok(0));
        assert!(choose(SamplingParams::default(), &[0], 0).is_err());
        assert!(choose(SamplingParams::greedy(), &[], 1 << 9).is_err(), "beyond the vocabulary");
    }

    #[test]
    fn what_is_outside_of_a_form_that_may_end_ends_it() {
        let mut scratch = Scratch::new(Kernels::detect());
        let mut outside = 0;
        for seed in 0..400 {
            let params = sampler(seed).params;
            let sampler = |min_tokens| Sampler::new(params.clone(), seed, vec![1, 2], min_tokens, &[]);
            let logits = logits(seed, 32);
            let mut choose = |sampler: Sampler, allowed: Option<&[u32]>| {
                let place = Answered { position: 3, tokens: 1, allowed };
                sampler.choose(&logits, &place, None, &mut scratch).unwrap().0
            };
            let free = choose(sampler(0), None);
            // The end token 2 is allowed, 1 is not.
            let allowed = [0xF0F0_F0F4];
            let held = choose(sampler(1), Some(&allowed));
            assert_eq!(held, if allows(&allowed, free) { free } else { 2 }, "seed {seed}");
            outside += usize::from(held != free);
            // Where it may not end, the best or a drawn one of what is allowed.
            for (sampler, allowed) in [(sampler(1), [0xF0F0_F0F0]), (sampler(2), allowed)] {
                let id = choose(sampler, Some(&allowed));
                assert!(allows(&allowed, id) && id != 2, "seed {seed}: {id}");
            }
        }
        assert!((100..300).contains(&outside), "{outside}");
    }

    #[test]
    fn logprobs_are_the_models_own() {
        let biased = SamplingParams { logit_bias: vec![(0, 50.0)], ..SamplingParams::greedy() };
        let sampler = Sampler::new(biased, 0, Vec::new(), 0, &[]);
        let (id, report) =
            sampler.choose(&[0.0, 0.0], &place(0, 0), Some(2), &mut Scratch::new(Kernels::detect())).unwrap();
        let half = -std::f64::consts::LN_2;
        assert_eq!((id, report), (0, Some(TokenLogprobs { chosen: half, top: vec![(0, half), (1, half)] })));
    }
}
