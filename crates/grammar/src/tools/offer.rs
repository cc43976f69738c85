use serde_json::{Value, json};

use crate::Error;

/// Functions that a request may offer.
const TOOLS_MAX: usize = 128;
/// Characters of a function's name.
const NAME_MAX: usize = 64;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`; at most 64.
    pub name: String,
    /// The JSON schema of its arguments; None for a function without any.
    pub parameters: Option<Value>,
    /// Whether what the schema asks for and cannot be held is an error.
    pub strict: bool,
}

/// Whether and what the model must call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// No call: the answer is text.
    None,
    /// Text or calls.
    #[default]
    Auto,
    /// At least one call.
    Required,
    /// Calls of this function.
    Function(String),
}

impl Tool {
    /// Reads a request's `tools`: `[{"type": "function", "function": {"name", "description", "parameters", "strict"}}]`.
    pub fn list(tools: &Value) -> Result<Vec<Self>, Error> {
        let refuse = |problem: String| Err(Error::Tools { problem });
        let Some(items) = tools.as_array() else { return refuse("must be a list".to_owned()) };
        if items.len() > TOOLS_MAX {
            return refuse(format!("{} functions, at most {TOOLS_MAX}: offer fewer", items.len()));
        }
        let mut read: Vec<Self> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let tool =
                Self::read(item).map_err(|problem| Error::Tools { problem: format!("number {index}: {problem}") })?;
            if read.iter().any(|other| other.name == tool.name) {
                return refuse(format!("number {index}: there are two functions {:?}: rename one", tool.name));
            }
            read.push(tool);
        }
        Ok(read)
    }

    fn read(item: &Value) -> Result<Self, String> {
        if item.get("type").and_then(Value::as_str) != Some("function") {
            return Err("its type must be \"function\"".to_owned());
        }
        let function = item.get("function").filter(|function| function.is_object()).ok_or("function is missing")?;
        let name = function.get("name").and_then(Value::as_str).ok_or("function.name is missing")?;
        if !is_name(name) {
            return Err(format!("function.name must be 1 to {NAME_MAX} letters, digits, _ and -"));
        }
        let parameters = match function.get("parameters") {
            None | Some(Value::Null) => None,
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            Some(_) => return Err("function.parameters must be a JSON schema".to_owned()),
        };
        let strict = function.get("strict").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { name: name.to_owned(), parameters, strict })
    }

    /// The schema of the arguments, which are always an object.
    pub(crate) fn schema(&self) -> Value {
        match &self.parameters {
            None => json!({"type": "object", "properties": {}}),
            Some(Value::Object(schema)) if schema.is_empty() => json!({"type": "object", "properties": {}}),
            Some(schema) => schema.clone(),
        }
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fine)
}
