//! `POST chat/completions`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{FinishReason, Usage, XGroq, XLockstep};

/// Fields of a chat request besides [`super::sampling::SamplingFields`]. Null is the same as absent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ChatFields {
    /// One of the names of `/v1/models`.
    pub(crate) model: String,
    /// The conversation so far.
    #[schema(min_items = 1)]
    pub(crate) messages: Vec<ChatMessage>,
    /// Most tokens of the answer. Default: what the context leaves.
    #[schema(minimum = 1)]
    pub(crate) max_completion_tokens: Option<u32>,
    /// An older name of `max_completion_tokens`, which wins.
    #[schema(minimum = 1)]
    pub(crate) max_tokens: Option<u32>,
    /// Tell the log-probability of each token. Default false.
    pub(crate) logprobs: Option<bool>,
    /// And those of this many most likely tokens at its place.
    #[schema(minimum = 0, maximum = 20)]
    pub(crate) top_logprobs: Option<u32>,
    /// Taken note of; models without reasoning do not use it.
    pub(crate) reasoning_effort: Option<String>,
    /// `parsed`, `raw` or `hidden`; models without reasoning do not use it.
    pub(crate) reasoning_format: Option<String>,
}

/// A message of a chat.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// Who says it. `developer` is `system`.
    pub(crate) role: Role,
    /// What is said.
    #[serde(default)]
    pub(crate) content: Option<Content>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// A text, or parts of one.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a string or an array of text parts")]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message; only `text` is read.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Part {
    /// `text`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) text: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    pub(crate) id: String,
    /// `chat.completion`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<ChatChoice>,
    pub(crate) usage: Usage,
    pub(crate) service_tier: &'static str,
    /// Names weights, tokenizer, template, arithmetic and sampler.
    pub(crate) system_fingerprint: String,
    pub(crate) x_groq: XGroq,
    pub(crate) x_lockstep: XLockstep,
}

/// The one choice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatChoice {
    pub(crate) index: u32,
    pub(crate) message: AnswerMessage,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: FinishReason,
}

/// What the model says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AnswerMessage {
    /// `assistant`
    pub(crate) role: &'static str,
    pub(crate) content: Option<String>,
    pub(crate) refusal: Option<String>,
}

/// Log-probabilities by the model's own distribution, before penalties, bias and temperature.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    pub(crate) content: Vec<TokenLogprob>,
    pub(crate) refusal: Option<Vec<TokenLogprob>>,
}

/// A token of the answer with those that were likely at its place.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokenLogprob {
    pub(crate) token: String,
    pub(crate) logprob: f64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) top_logprobs: Vec<TopLogprob>,
}

/// A likely token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TopLogprob {
    pub(crate) token: String,
    pub(crate) logprob: f64,
    pub(crate) bytes: Vec<u8>,
}

/// A piece of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk<'a> {
    pub(crate) id: &'a str,
    /// `chat.completion.chunk`
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) system_fingerprint: &'a str,
    pub(crate) service_tier: &'static str,
    pub(crate) choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub(crate) usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_groq: Option<XGroq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_lockstep: Option<XLockstep>,
}

/// A piece of the one choice.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChunkChoice {
    pub(crate) index: u32,
    pub(crate) delta: Delta,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: Option<FinishReason>,
}

/// What a piece adds to the message.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
}
