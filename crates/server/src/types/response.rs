//! `POST responses`, stateless.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{XGroq, XLockstep};
use super::chat::{Content, Role, ToolChoiceField};
use super::chat_answer::TokenLogprob;

/// Fields of a request besides [`super::sampling::SamplingFields`]. Null is the same as absent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ResponseFields {
    /// One of the names of `/v1/models`.
    pub(crate) model: String,
    /// A text, or the conversation so far.
    pub(crate) input: Input,
    /// What comes before the conversation.
    pub(crate) instructions: Option<String>,
    /// Most tokens of the answer. Default: what the context leaves.
    #[schema(minimum = 1)]
    pub(crate) max_output_tokens: Option<u32>,
    /// Functions that the model may call: `[{"type": "function", "name", "description", "parameters", "strict"}]`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) tools: Option<Vec<Map<String, Value>>>,
    /// `none`, `auto`, `required`, or `{"type": "function", "name"}`.
    pub(crate) tool_choice: Option<ToolChoiceField>,
    /// Whether one answer may have several calls, 16 at most; else it has one at most. Default true.
    pub(crate) parallel_tool_calls: Option<bool>,
    /// What the answer must look like.
    pub(crate) text: Option<TextField>,
    /// Tell this many likely tokens at each place, where `include` has `message.output_text.logprobs`.
    #[schema(minimum = 0, maximum = 20)]
    pub(crate) top_logprobs: Option<u32>,
    /// What else to tell: `message.output_text.logprobs` is known.
    pub(crate) include: Option<Vec<String>>,
    /// Not supported: nothing is kept.
    pub(crate) previous_response_id: Option<String>,
    /// Not supported: nothing is kept.
    pub(crate) store: Option<bool>,
    /// Not supported.
    pub(crate) background: Option<bool>,
    /// Given back as it is.
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// A text, or a conversation.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a string or an array of items")]
pub(crate) enum Input {
    Text(String),
    Items(Vec<InputItem>),
}

/// A message, a call that was made, or its result.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct InputItem {
    /// `message` (also where absent), `function_call` or `function_call_output`.
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) role: Option<Role>,
    #[serde(default)]
    pub(crate) content: Option<Content>,
    #[serde(default)]
    pub(crate) call_id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Option<String>,
    #[serde(default)]
    pub(crate) output: Option<Content>,
}

/// What the answer must look like.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(crate) struct TextField {
    pub(crate) format: Option<TextFormat>,
}

/// `text`, `json_object`, or `json_schema` with a schema.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct TextFormat {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

/// An answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResponseObject {
    pub(crate) id: String,
    /// `response`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    /// `in_progress`, `completed`, `incomplete` or `failed`.
    pub(crate) status: &'static str,
    pub(crate) background: bool,
    #[schema(value_type = Option<Object>)]
    pub(crate) error: Option<Value>,
    pub(crate) incomplete_details: Option<IncompleteDetails>,
    pub(crate) instructions: Option<String>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) model: String,
    pub(crate) output: Vec<OutputItem>,
    pub(crate) parallel_tool_calls: bool,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) store: bool,
    pub(crate) temperature: f32,
    pub(crate) text: TextField,
    pub(crate) tool_choice: ToolChoiceField,
    #[schema(value_type = Vec<Object>)]
    pub(crate) tools: Vec<Map<String, Value>>,
    pub(crate) top_p: f32,
    /// `disabled`
    pub(crate) truncation: &'static str,
    pub(crate) usage: Option<ResponseUsage>,
    #[schema(value_type = Object)]
    pub(crate) metadata: Map<String, Value>,
    pub(crate) service_tier: &'static str,
    /// Names weights, tokenizer, template, arithmetic and sampler.
    pub(crate) system_fingerprint: String,
    pub(crate) x_groq: XGroq,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_lockstep: Option<XLockstep>,
}

/// Why an answer is not whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct IncompleteDetails {
    /// `max_output_tokens`
    pub(crate) reason: &'static str,
}

/// Counts of tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResponseUsage {
    pub(crate) input_tokens: usize,
    pub(crate) input_tokens_details: InputTokensDetails,
    pub(crate) output_tokens: usize,
    pub(crate) output_tokens_details: OutputTokensDetails,
    pub(crate) total_tokens: usize,
}

/// Of the prompt's tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct InputTokensDetails {
    pub(crate) cached_tokens: usize,
}

/// Of the answer's tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputTokensDetails {
    pub(crate) reasoning_tokens: usize,
}

/// A message or a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutputItem {
    Message { id: String, status: &'static str, role: &'static str, content: Vec<OutputText> },
    FunctionCall { id: String, status: &'static str, call_id: String, name: String, arguments: String },
}

/// What a message says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputText {
    /// `output_text`
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    #[schema(value_type = Vec<Object>)]
    pub(crate) annotations: Vec<Value>,
    pub(crate) logprobs: Vec<TokenLogprob>,
}
