//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, in the shapes of vLLM.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::chat::ChatMessage;

/// A text or a chat. Null is the same as absent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct TokenizeRequest {
    /// One of the names of `/v1/models`. Default: the served one.
    pub(crate) model: Option<String>,
    /// A text.
    pub(crate) prompt: Option<String>,
    /// Or a chat, whose tokens are those after which the answer is due.
    pub(crate) messages: Option<Vec<ChatMessage>>,
    /// Put the begin token in front of a text where the vocabulary asks for it. Default true.
    pub(crate) add_special_tokens: Option<bool>,
    /// Tell the tokens' texts too. Default false.
    pub(crate) return_token_strs: Option<bool>,
}

/// Tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokenizeResponse {
    pub(crate) count: usize,
    /// Longest sequence in tokens.
    pub(crate) max_model_len: usize,
    pub(crate) tokens: Vec<u32>,
    pub(crate) token_strs: Option<Vec<String>>,
}

/// Tokens to make text of.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    /// One of the names of `/v1/models`. Default: the served one.
    pub(crate) model: Option<String>,
    /// Token ids, in the order of the text.
    pub(crate) tokens: Vec<u32>,
}

/// The text of tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DetokenizeResponse {
    pub(crate) prompt: String,
}

/// Facts about the vocabulary.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokenizerInfo {
    pub(crate) tokenizer_class: &'static str,
    pub(crate) vocab_size: usize,
    /// Longest sequence in tokens.
    pub(crate) model_max_length: usize,
    pub(crate) bos_token: Option<String>,
    pub(crate) eos_token: Option<String>,
    pub(crate) pad_token: Option<String>,
    /// The template's Jinja source.
    pub(crate) chat_template: Option<String>,
}
