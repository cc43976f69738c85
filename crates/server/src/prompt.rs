//! From messages and texts to the tokens of a prompt.

use lockstep_text as text;
use lockstep_text::{EncodeOptions, Message};
use serde_json::Value;

use crate::app::App;
use crate::error::ApiError;
use crate::types::chat::{ChatMessage, Content, Part, Role, ToolCall};
use crate::types::sampling::at_most;

/// The tokens after which the answer to a chat is due. Takes the processor: not for the runtime's threads.
pub(crate) fn chat_tokens(app: &App, messages: Vec<ChatMessage>, tools: Option<&Value>) -> Result<Vec<u32>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty: send at least one"));
    }
    at_most("messages", messages.len(), app.options.limits.messages)?;
    let read = messages.into_iter().enumerate().map(|(index, message)| read_message(index, message));
    let messages = read.collect::<Result<Vec<_>, _>>()?;
    app.require_short("messages", messages.iter().map(|message| message.text().len()).sum())?;
    let none = Value::Array(Vec::new());
    let messages = app.tool_format.messages(messages, tools.unwrap_or(&none));
    let tools = tools.filter(|_| app.tool_format.is_native());
    let Some(template) = &app.model.template else {
        let message = "this model has no chat template: use /v1/completions";
        return Err(ApiError::unsupported("messages", message));
    };
    let tokens = template.prompt_tokens(&app.model.tokenizer, &messages, tools, &app.model.date);
    tokens.map_err(|error| ApiError::invalid("messages", error.to_string()))
}

fn read_message(index: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let content = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => join(index, parts)?,
    };
    let calls = message.tool_calls.unwrap_or_default();
    let of_call = |call: &ToolCall| text::ToolCall::new(&call.id, &call.function.name, &call.function.arguments);
    Ok(Message {
        role: role.to_owned(),
        // Calls alone have no text; templates ask.
        content: (!content.is_empty() || calls.is_empty()).then_some(content),
        name: message.name,
        tool_calls: calls.iter().map(of_call).collect(),
        tool_call_id: message.tool_call_id,
    })
}

fn join(message: usize, parts: Vec<Part>) -> Result<String, ApiError> {
    let mut joined = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let param = format!("messages[{message}].content[{index}]");
        match (part.kind.as_str(), part.text) {
            ("text" | "input_text" | "output_text", Some(text)) => joined.push_str(&text),
            ("text" | "input_text" | "output_text", None) => {
                return Err(ApiError::invalid(&param, "a part of type text needs a text"));
            }
            (kind, _) => {
                let message = format!("parts of type {kind:.40?} are not read: this model takes text");
                return Err(ApiError::unsupported(&param, message));
            }
        }
    }
    Ok(joined)
}

/// A text as it is: begin token where the vocabulary asks for it, nothing in it is special.
pub(crate) fn text_tokens(app: &App, text: &str) -> Vec<u32> {
    app.model.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: false })
}
