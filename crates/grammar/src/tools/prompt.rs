//! Messages of a chat with tools, for templates that know tools and for those that do not.

use lockstep_text::{Message, ToolCall};
use serde_json::Value;

use super::ToolFormat;
use super::format::{CLOSE, OPEN};

const BEFORE: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided \
    with function signatures within <tools></tools> XML tags:\n<tools>";
const AFTER: &str = "\n</tools>\n\nFor each function call, return a json object with function name and arguments \
    within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": \
    <args-json-object>}\n</tool_call>";

impl ToolFormat {
    /// The messages as the template shall see them. `tools` is the request's list, to be given to the template too
    /// where [`Self::is_native`].
    ///
    /// A template that knows no tools gets them in the system message, calls as text of the answers, and results as
    /// messages of the user.
    pub fn messages(self, messages: Vec<Message>, tools: &Value) -> Vec<Message> {
        if self.is_native() {
            return messages.into_iter().map(with_text).collect();
        }
        let described = tools.as_array().is_some_and(|tools| !tools.is_empty()).then(|| describe(tools));
        let mut told: Vec<Message> = Vec::with_capacity(messages.len() + 1);
        let mut answers_calls = false;
        for message in messages {
            let is_result = message.role == "tool";
            let message = plain(message);
            match told.last_mut() {
                Some(last) if is_result && answers_calls => {
                    last.content = Some(format!("{}\n{}", last.text(), message.text()));
                }
                _ => told.push(message),
            }
            answers_calls = is_result;
        }
        if let Some(described) = described {
            match told.first_mut() {
                Some(first) if first.role == "system" => {
                    first.content = Some(format!("{}\n\n{described}", first.text()));
                }
                _ => told.insert(0, Message::new("system", &described)),
            }
        }
        told
    }
}

/// Templates that add texts fail on null, and those that ask for it take an empty text for none.
fn with_text(message: Message) -> Message {
    Message { content: Some(message.content.unwrap_or_default()), ..message }
}

fn describe(tools: &Value) -> String {
    let mut text = String::from(BEFORE);
    for tool in tools.as_array().into_iter().flatten() {
        text.push('\n');
        text.push_str(&tool.to_string());
    }
    text + AFTER
}

/// A message of text alone.
fn plain(message: Message) -> Message {
    if message.role == "tool" {
        return Message::new("user", &format!("<tool_response>\n{}\n</tool_response>", message.text()));
    }
    let mut text = message.content.unwrap_or_default();
    for call in &message.tool_calls {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&as_text(call));
    }
    Message { content: Some(text), tool_calls: Vec::new(), tool_call_id: None, ..message }
}

fn as_text(call: &ToolCall) -> String {
    let name = Value::from(call.function.name.as_str());
    format!("{OPEN}\n{{\"name\": {name}, \"arguments\": {}}}\n{CLOSE}", call.function.arguments)
}
