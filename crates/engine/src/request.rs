//! What a caller asks for.

use std::time::Duration;

use crate::constraint::Constraint;
use crate::digest::LogitsObserver;
use crate::text::TextStream;

/// Names a request for the life of an engine. Later requests have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// How the next token is drawn from the logits; see [`crate::sampling`] for the exact arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// 0 takes the most likely token; 1 is the model's own distribution. 0..=2.
    pub temperature: f32,
    /// Keep only this many of the most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the shortest list of most likely tokens that holds this share of the mass; above 0, up to 1.
    pub top_p: f32,
    /// Keep tokens at least this many times as likely as the most likely one; 0..=1.
    pub min_p: f32,
    /// Subtracted once for each time the token was generated; -2..=2.
    pub frequency_penalty: f32,
    /// Subtracted if the token was generated at all; -2..=2.
    pub presence_penalty: f32,
    /// Divides positive and multiplies other logits of tokens in the prompt or the answer; above 0, 1 is none.
    pub repetition_penalty: f32,
    /// Added to the logits of single tokens: (id, -100..=100), each id once.
    pub logit_bias: Vec<(u32, f32)>,
}

impl SamplingParams {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }
}

impl Default for SamplingParams {
    /// The model's own distribution, unfiltered.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
        }
    }
}

/// How a request stands to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceTier {
    /// Taken only where it can start at once; the first to give way where memory runs out.
    Flex,
    /// Waits for its turn.
    #[default]
    Default,
}

/// One prompt to be continued.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate, at least 1; what the context leaves where that is less.
    pub max_tokens: usize,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// Up to 4 texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Further tokens that end the answer.
    pub stop_token_ids: Vec<u32>,
    /// Go on after the model's own end tokens.
    pub ignore_eos: bool,
    /// End tokens (the model's and `stop_token_ids`) are not drawn before this many tokens.
    pub min_tokens: usize,
    /// Decides, with a token's position, its random number.
    pub seed: u64,
    /// Report each token's log-probability and those of this many most likely ones (0..=20).
    pub logprobs: Option<usize>,
    /// Guess ahead by looking up repeated text. Changes speed only: tokens and logits are the same.
    pub speculate: bool,
    /// Show the observer the logits of every prompt position too, not only of those that a token was drawn from.
    pub all_logits: bool,
    /// How it stands to other requests.
    pub tier: ServiceTier,
    /// Requests share cached prefixes only with those of the same scope. Changes speed only.
    pub cache_scope: u64,
    /// The reading of the engine's clock from which on the request is ended, between two steps.
    pub deadline: Option<Duration>,
}

/// What goes with a request and is dropped with its end.
#[derive(Default)]
pub struct Attached {
    /// Sees the request's logits.
    pub observer: Option<Box<dyn LogitsObserver + Send>>,
    /// Decides which tokens may come next.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Turns its tokens into text, where that is not done by the engine's own detokenizer.
    pub text: Option<Box<dyn TextStream + Send>>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (observer, constraint) = (self.observer.is_some(), self.constraint.is_some());
        let mut shown = f.debug_struct("Attached");
        shown.field("observer", &observer).field("constraint", &constraint).field("text", &self.text.is_some());
        shown.finish()
    }
}

impl Request {
    /// A greedy request without stop rules, speculation on.
    pub fn new(prompt: Vec<u32>, max_tokens: usize) -> Self {
        Self {
            prompt,
            max_tokens,
            sampling: SamplingParams::greedy(),
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            min_tokens: 0,
            seed: 0,
            logprobs: None,
            speculate: true,
            all_logits: false,
            tier: ServiceTier::Default,
            cache_scope: 0,
            deadline: None,
        }
    }
}
