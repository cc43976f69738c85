use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::Error;
use crate::schema::normalize;
use crate::tools::{CallRules, Tool, ToolChoice, ToolFormat, call_rules};

/// What an answer must look like. It knows no vocabulary; [`crate::Vocabulary::matcher`] compiles it.
#[derive(Clone, Debug)]
pub struct Grammar {
    kind: Kind,
    left_out: Vec<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Json(Value),
    Regex(String),
    Calls(CallRules),
}

impl Grammar {
    /// Any JSON object.
    pub fn json_object() -> Self {
        Self { kind: Kind::Json(compact(json!({"type": "object"}))), left_out: Vec::new() }
    }

    /// JSON that fits a schema. Where it is `strict`, a keyword that cannot be held is an error; else it is left out
    /// and named by [`Grammar::left_out`].
    pub fn json_schema(schema: &Value, strict: bool) -> Result<Self, Error> {
        let mut normalized = normalize(&[schema], strict)?;
        let schema = match normalized.roots.pop() {
            Some(Value::Object(mut root)) => {
                root.insert("$defs".to_owned(), Value::Object(normalized.definitions));
                Value::Object(root)
            }
            Some(Value::Bool(true)) => json!({}),
            _ => {
                let problem = "nothing fits it: leave the schema out, or give one".to_owned();
                return Err(Error::Schema { place: "#".to_owned(), problem });
            }
        };
        Ok(Self { kind: Kind::Json(compact(schema)), left_out: normalized.left_out })
    }

    /// Text that a regular expression matches as a whole: no look-around, no back references.
    pub fn regex(pattern: &str) -> Result<Self, Error> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let problem = format!("{} bytes, at most {PATTERN_BYTES_MAX}", pattern.len());
            return Err(Error::TooLarge { what: "the regular expression", problem });
        }
        Ok(Self { kind: Kind::Regex(pattern.to_owned()), left_out: Vec::new() })
    }

    /// Text, calls of tools, or both, as `choice` says; several calls only where `parallel`.
    pub fn tools(tools: &[Tool], choice: &ToolChoice, parallel: bool, format: ToolFormat) -> Result<Self, Error> {
        if *choice == ToolChoice::None {
            return Self::regex("(?s:.*)");
        }
        let (rules, left_out) = call_rules(tools, choice, parallel, format)?;
        Ok(Self { kind: Kind::Calls(rules), left_out })
    }

    /// What a schema asks for and this grammar does not hold; one line each.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    pub(crate) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Json(_) => "the JSON schema",
            Kind::Regex(_) => "the regular expression",
            Kind::Calls(_) => "the grammar of the tools",
        }
    }

    /// `mark` gives the token of a mark, where the vocabulary has one.
    pub(crate) fn source(&self, mark: impl Fn(&str) -> Option<u32>) -> TopLevelGrammar {
        match &self.kind {
            Kind::Json(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Kind::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
            Kind::Calls(rules) => TopLevelGrammar::from_lark(rules.lark(mark)),
        }
    }
}

/// Bytes of a regular expression.
const PATTERN_BYTES_MAX: usize = 16 << 10;

/// A space, or a line's end and what indents the next: once between two parts of a value, so that no model can go on
/// with white space for ever.
const WHITE_SPACE: &str = r"\x20|\x0A\x20{0,32}|\x0A\x09{1,8}";

/// A schema with our rule for white space.
pub(crate) fn compact(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-guidance".to_owned(), json!({"whitespace_pattern": WHITE_SPACE}));
    }
    schema
}
