use serde::Serialize;
use serde_json::Value;

/// One message of a chat, as templates see it: what is absent is not defined there, but content is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text; None where an answer is calls alone.
    pub content: Option<String>,
    /// What an answer asked to be called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a `tool` message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Who of several speaks, or which function answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A call of a function in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// Ties the function's result to it.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is called.
    pub function: FunctionCall,
}

/// A function's name and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionCall {
    /// Its name.
    pub name: String,
    /// An object, as templates expect it; text that is not JSON stays a string.
    pub arguments: Value,
}

impl Message {
    /// A message of text alone.
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_owned(), content: Some(content.to_owned()), ..Self::default() }
    }

    /// Its text; empty where there is none.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// About as many bytes as the client sent, which pay for the template's steps.
    pub(crate) fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        let call =
            |call: &ToolCall| call.id.len() + call.function.name.len() + call.function.arguments.to_string().len();
        let calls: usize = self.tool_calls.iter().map(call).sum();
        self.role.len() + length(&self.content) + length(&self.name) + length(&self.tool_call_id) + calls
    }
}

impl ToolCall {
    /// A call whose arguments are JSON text, as clients send them.
    pub fn new(id: &str, name: &str, arguments: &str) -> Self {
        let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()));
        Self { id: id.to_owned(), kind: "function", function: FunctionCall { name: name.to_owned(), arguments } }
    }
}
