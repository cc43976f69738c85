//! Log-probabilities of a prompt's own tokens, for completions that repeat their prompt.

use std::sync::{Arc, Mutex};

use lockstep_engine::sampling::token_logprobs;
use lockstep_engine::{LogitsObserver, TokenLogprobs};

/// Reads the logits of a prompt as the engine shows them.
#[derive(Debug)]
pub(crate) struct PromptLogprobs {
    prompt: Vec<u32>,
    top: usize,
    /// Of the prompt's second token and all after it.
    pub(crate) read: Vec<TokenLogprobs>,
}

impl PromptLogprobs {
    /// For a prompt, with so many of the most likely tokens.
    pub(crate) fn new(prompt: Vec<u32>, top: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { prompt, top, read: Vec::new() }))
    }
}

impl LogitsObserver for PromptLogprobs {
    fn observe(&mut self, position: usize, logits: &[f32]) {
        if let Some(&next) = self.prompt.get(position + 1) {
            self.read.push(token_logprobs(logits, next, self.top));
        }
    }
}
