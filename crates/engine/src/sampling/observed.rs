//! Log-probabilities of tokens that were not drawn, for whoever observes logits.

use lockstep_kernels::Kernels;

use super::logprobs::logprobs;
use super::peaks::Peaks;
use crate::event::TokenLogprobs;

/// Of `token` and of the `top` most likely tokens, by the model's own distribution, as a request reports them; minus
/// infinity where the token has no logit, and everywhere where a logit is not a finite number.
pub fn token_logprobs(logits: &[f32], token: u32, top: usize) -> TokenLogprobs {
    if logits.is_empty() || logits.iter().any(|logit| !logit.is_finite()) {
        return TokenLogprobs { chosen: f64::NEG_INFINITY, top: Vec::new() };
    }
    let mut peaks = Peaks::default();
    peaks.find(logits);
    logprobs(Kernels::detect(), logits, &mut peaks, token, top)
}
