//! `POST chat/completions`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

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
    /// Functions that the model may call.
    #[schema(value_type = Option<Vec<ToolDefinition>>)]
    pub(crate) tools: Option<Value>,
    /// `none`, `auto`, `required`, or a function. Default: `auto` where there are tools.
    pub(crate) tool_choice: Option<ToolChoiceField>,
    /// Whether one answer may have several calls, 16 at most; else it has one at most. Default true.
    pub(crate) parallel_tool_calls: Option<bool>,
    /// What the answer must look like: text, any JSON object, or JSON of a schema. Calls are answers too where they may
    /// be made.
    pub(crate) response_format: Option<ResponseFormat>,
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
    /// Who of several speaks.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// What an answer asked to be called.
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
    /// The call that a `tool` message answers.
    #[serde(default)]
    pub(crate) tool_call_id: Option<String>,
}

/// A call of a function.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    /// `function`
    #[serde(rename = "type", default = "function")]
    pub(crate) kind: String,
    pub(crate) function: FunctionCall,
}

fn function() -> String {
    "function".to_owned()
}

/// A function's name and its arguments, as JSON text.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct FunctionCall {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// A function that the model may call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ToolDefinition {
    /// `function`
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) function: FunctionDefinition,
}

/// What it is called by, and with what.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FunctionDefinition {
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// A JSON schema of the arguments.
    #[schema(value_type = Option<Object>)]
    pub(crate) parameters: Option<Value>,
    /// Whether what the schema asks for and cannot be held is an error.
    pub(crate) strict: Option<bool>,
}

/// Whether and what the model must call.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "none, auto, required or a function")]
pub(crate) enum ToolChoiceField {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// `{"type": "function", "function": {"name": ...}}`
    #[schema(value_type = Object)]
    Function(Map<String, Value>),
}

/// What an answer must look like.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// For `json_schema`.
    #[serde(default)]
    pub(crate) json_schema: Option<JsonSchema>,
}

/// A schema with a name.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct JsonSchema {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    /// Whether what the schema asks for and cannot be held is an error. Default false.
    #[serde(default)]
    pub(crate) strict: Option<bool>,
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
