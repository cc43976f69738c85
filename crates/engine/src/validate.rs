//! Checks a request before anything is done for it.

use std::fmt::Display;

use crate::request::{Request, SamplingParams};

const STOP_STRINGS_MAX: usize = 4;
const LOGPROBS_MAX: usize = 20;
const BIAS_MAX: f32 = 100.0;

/// Why a request was not taken. Each message is one line that says what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// There is nothing to continue.
    #[error("the prompt has no tokens: send at least one")]
    PromptEmpty,
    /// No room for the prompt and one token more.
    #[error(
        "the prompt has {tokens} tokens, but the context of {context} holds at most {} and one new token: shorten the prompt or choose a larger context",
        context.saturating_sub(1)
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Longest sequence of the backend, in tokens.
        context: usize,
    },
    /// An id that the model does not have.
    #[error("{what} {id} is not in the vocabulary (0..{vocabulary}): was it made with another model's tokenizer?")]
    UnknownToken {
        /// Where the id stands.
        what: &'static str,
        /// The id.
        id: u32,
        /// Number of logits of the model.
        vocabulary: usize,
    },
    /// A parameter outside its range.
    #[error("{name} is {value}: it must be {allowed}")]
    Parameter {
        /// The field's name.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Too many requests are waiting already.
    #[error("{waiting} requests are waiting already, the most this engine queues: try again later")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
    },
    /// It does not want to wait, and cannot start at once.
    #[error(
        "nothing is free at the moment and a request of the flex tier does not wait: try again later, or without it"
    )]
    NoRoom,
}

/// Checks everything that does not depend on other requests. `vocabulary` and `context` are counts of tokens.
pub(crate) fn check(request: &Request, vocabulary: usize, context: usize) -> Result<(), SubmitError> {
    if request.prompt.is_empty() {
        return Err(SubmitError::PromptEmpty);
    }
    if request.prompt.len() >= context {
        return Err(SubmitError::PromptTooLong { tokens: request.prompt.len(), context });
    }
    known("prompt token", &request.prompt, vocabulary)?;
    known("stop token", &request.stop_token_ids, vocabulary)?;
    require(request.max_tokens >= 1, "max_tokens", request.max_tokens, "at least 1")?;
    require(request.min_tokens <= request.max_tokens, "min_tokens", request.min_tokens, "at most max_tokens")?;
    require(request.stop.len() <= STOP_STRINGS_MAX, "stop", request.stop.len(), "at most 4 strings")?;
    require(request.stop.iter().all(|s| !s.is_empty()), "stop", "an empty string", "a list of non-empty strings")?;
    if let Some(top) = request.logprobs {
        require(top <= LOGPROBS_MAX, "logprobs", top, "0 to 20")?;
    }
    check_sampling(&request.sampling, vocabulary)
}

fn check_sampling(p: &SamplingParams, vocabulary: usize) -> Result<(), SubmitError> {
    // A NaN is in no range, so each range also asks for a number.
    require((0.0..=2.0).contains(&p.temperature), "temperature", p.temperature, "0 to 2")?;
    require(p.top_p > 0.0 && p.top_p <= 1.0, "top_p", p.top_p, "above 0 and at most 1")?;
    require((0.0..=1.0).contains(&p.min_p), "min_p", p.min_p, "0 to 1")?;
    require((-2.0..=2.0).contains(&p.frequency_penalty), "frequency_penalty", p.frequency_penalty, "-2 to 2")?;
    require((-2.0..=2.0).contains(&p.presence_penalty), "presence_penalty", p.presence_penalty, "-2 to 2")?;
    let repetition = p.repetition_penalty;
    require((0.01..=100.0).contains(&repetition), "repetition_penalty", repetition, "0.01 to 100 (1 is none)")?;
    let ids: Vec<u32> = p.logit_bias.iter().map(|&(id, _)| id).collect();
    known("logit_bias token", &ids, vocabulary)?;
    for &(_, bias) in &p.logit_bias {
        require((-BIAS_MAX..=BIAS_MAX).contains(&bias), "logit_bias", bias, "-100 to 100")?;
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    if let Some([twice, _]) = sorted.array_windows().find(|[a, b]| a == b) {
        return Err(parameter("logit_bias", format!("given twice for token {twice}"), "given once per token"));
    }
    Ok(())
}

fn known(what: &'static str, ids: &[u32], vocabulary: usize) -> Result<(), SubmitError> {
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(&id) => Err(SubmitError::UnknownToken { what, id, vocabulary }),
        None => Ok(()),
    }
}

fn require(holds: bool, name: &'static str, value: impl Display, allowed: &'static str) -> Result<(), SubmitError> {
    if holds { Ok(()) } else { Err(parameter(name, value.to_string(), allowed)) }
}

fn parameter(name: &'static str, value: String, allowed: &'static str) -> SubmitError {
    SubmitError::Parameter { name, value, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(change: impl Fn(&mut Request)) -> String {
        let mut request = Request::new(vec![1, 2, 3], 4);
        check(&request, 10, 8).expect("the unchanged request is valid");
        change(&mut request);
        let message = check(&request, 10, 8).expect_err("the changed request is not").to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn the_bounds_themselves_are_valid() {
        let mut request = Request::new(vec![9; 7], 1);
        request.sampling = SamplingParams {
            temperature: 2.0,
            top_k: u32::MAX,
            top_p: f32::MIN_POSITIVE,
            min_p: 1.0,
            frequency_penalty: -2.0,
            presence_penalty: 2.0,
            repetition_penalty: 0.01,
            logit_bias: vec![(9, -100.0), (0, 100.0)],
        };
        request.logprobs = Some(20);
        request.stop = vec!["x".into(); 4];
        request.min_tokens = 1;
        assert_eq!(check(&request, 10, 8), Ok(()));
    }

    #[test]
    fn a_prompt_must_fit_with_one_token_more() {
        let message = error_of(|r| r.prompt = vec![1; 8]);
        assert!(message.contains("8 tokens") && message.contains("at most 7"), "{message}");
        assert!(error_of(|r| r.prompt.clear()).contains("at least one"));
        assert!(error_of(|r| r.prompt[1] = 10).contains("prompt token 10 is not in the vocabulary (0..10)"));
    }

    #[test]
    fn every_parameter_outside_its_range_is_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.01, -0.01] {
            assert!(error_of(|r| r.sampling.temperature = bad).starts_with("temperature is"), "{bad}");
        }
        for bad in [f32::NAN, 0.0, 1.01] {
            assert!(error_of(|r| r.sampling.top_p = bad).starts_with("top_p is"));
        }
        for bad in [f32::NAN, -0.1, 1.01] {
            assert!(error_of(|r| r.sampling.min_p = bad).starts_with("min_p is"));
        }
        for bad in [f32::NAN, -2.1, 2.1] {
            assert!(error_of(|r| r.sampling.frequency_penalty = bad).starts_with("frequency_penalty is"));
            assert!(error_of(|r| r.sampling.presence_penalty = bad).starts_with("presence_penalty is"));
        }
        for bad in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
            assert!(error_of(|r| r.sampling.repetition_penalty = bad).starts_with("repetition_penalty is"));
        }
        assert!(error_of(|r| r.sampling.logit_bias = vec![(10, 0.0)]).starts_with("logit_bias token 10"));
        assert!(error_of(|r| r.sampling.logit_bias = vec![(1, f32::NAN)]).starts_with("logit_bias is NaN"));
        assert!(error_of(|r| r.sampling.logit_bias = vec![(1, 0.0), (1, 1.0)]).contains("twice for token 1"));
        assert!(error_of(|r| r.max_tokens = 0).starts_with("max_tokens is 0"));
        assert!(error_of(|r| r.min_tokens = 5).starts_with("min_tokens is 5"));
        assert!(error_of(|r| r.stop = vec!["a".into(); 5]).starts_with("stop is 5"));
        assert!(error_of(|r| r.stop = vec![String::new()]).starts_with("stop is an empty string"));
        assert!(error_of(|r| r.stop_token_ids = vec![10]).starts_with("stop token 10"));
        assert!(error_of(|r| r.logprobs = Some(21)).starts_with("logprobs is 21"));
    }
}
