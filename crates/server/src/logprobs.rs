//! Log-probabilities as the API shows them.

use lockstep_engine::TokenLogprobs;
use lockstep_text::Tokenizer;

use crate::types::chat_answer::{TokenLogprob, TopLogprob};

/// What stands for minus infinity, which JSON has no number for.
const LEAST: f64 = -9999.0;

/// A number that JSON can hold.
pub(crate) fn finite(logprob: f64) -> f64 {
    if logprob.is_finite() { logprob.max(LEAST) } else { LEAST }
}

/// A token's text alone; bytes that are no text by themselves become U+FFFD.
pub(crate) fn text_of(tokenizer: &Tokenizer, id: u32) -> String {
    String::from_utf8_lossy(&tokenizer.token_bytes(id)).into_owned()
}

/// A token with those that were likely at its place.
pub(crate) fn of_token(tokenizer: &Tokenizer, id: u32, logprobs: &TokenLogprobs) -> TokenLogprob {
    let top = |&(id, logprob): &(u32, f64)| TopLogprob {
        token: text_of(tokenizer, id),
        logprob: finite(logprob),
        bytes: tokenizer.token_bytes(id),
    };
    TokenLogprob {
        token: text_of(tokenizer, id),
        logprob: finite(logprobs.chosen),
        bytes: tokenizer.token_bytes(id),
        top_logprobs: logprobs.top.iter().map(top).collect(),
    }
}
