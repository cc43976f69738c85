//! `POST completions`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{FinishReason, UsageOrNull, XGroq, XLockstep};

/// Fields of a completion besides [`super::sampling::SamplingFields`]. Null is the same as absent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct CompletionFields {
    /// One of the names of `/v1/models`.
    pub(crate) model: String,
    /// What to continue: text or token ids, one or several.
    pub(crate) prompt: Prompt,
    /// Most tokens of an answer. Default 16. 0 is allowed with `echo`.
    #[schema(minimum = 0)]
    pub(crate) max_tokens: Option<u32>,
    /// Begin the answer with the prompt. Default false.
    pub(crate) echo: Option<bool>,
    /// Tell the log-probability of each token, and of this many most likely ones at its place.
    #[schema(minimum = 0, maximum = 5)]
    pub(crate) logprobs: Option<u32>,
    /// Only 1.
    #[schema(minimum = 1, maximum = 1)]
    pub(crate) best_of: Option<i64>,
    /// Text behind the answer: not supported.
    pub(crate) suffix: Option<String>,
}

/// One prompt or several.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a string, an array of strings, of token ids, or of arrays of token ids")]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

/// An answer, or a piece of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Completion {
    pub(crate) id: String,
    /// `text_completion`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<CompletionChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageOrNull>,
    pub(crate) service_tier: &'static str,
    /// Names weights, tokenizer, template, arithmetic and sampler.
    pub(crate) system_fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_groq: Option<XGroq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_lockstep: Option<XLockstep>,
}

/// The answer to one prompt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChoice {
    pub(crate) index: usize,
    pub(crate) text: String,
    pub(crate) logprobs: Option<CompletionLogprobs>,
    /// Null in pieces that are not the last.
    pub(crate) finish_reason: Option<FinishReason>,
}

/// Log-probabilities, one entry a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    pub(crate) tokens: Vec<String>,
    /// Null for the first token of an echoed prompt, which nothing predicts.
    pub(crate) token_logprobs: Vec<Option<f64>>,
    /// From token to log-probability; null where there is none.
    #[schema(value_type = Vec<Option<Object>>)]
    pub(crate) top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Where each token begins, in characters from the answer's start.
    pub(crate) text_offset: Vec<usize>,
}
