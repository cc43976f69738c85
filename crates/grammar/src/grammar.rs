use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::Error;
use crate::schema::normalize;
use crate::tools::{CallRules, Tool, ToolChoice, ToolFormat, call_rules};

/// What an answer must look like. It knows no vocabulary; [`crate::Vocabulary::matcher`] compiles it.
#[derive(Clone, Debug)]
pub struct Grammar {
    form: Form,
    calls: Option<CallRules>,
    left_out: Vec<String>,
}

/// What an answer without calls is.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Text,
    Json(Value),
    Regex(String),
}

impl Grammar {
    /// Any text.
    pub fn text() -> Self {
        Self::of(Form::Text)
    }

    /// Any JSON object.
    pub fn json_object() -> Self {
        Self::of(Form::Json(compact(json!({"type": "object"}))))
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
        Ok(Self { left_out: normalized.left_out, ..Self::of(Form::Json(compact(schema))) })
    }

    /// Text that a regular expression matches as a whole: no look-around, no back references.
    pub fn regex(pattern: &str) -> Result<Self, Error> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let problem = format!("{} bytes, at most {PATTERN_BYTES_MAX}", pattern.len());
            return Err(Error::TooLarge { what: "the regular expression", problem });
        }
        Ok(Self::of(Form::Regex(pattern.to_owned())))
    }

    fn of(form: Form) -> Self {
        Self { form, calls: None, left_out: Vec::new() }
    }

    /// The same, or calls of tools, as `choice` says; several calls only where `parallel`. Text may stand before calls,
    /// any other form may not.
    pub fn or_tools(
        mut self,
        tools: &[Tool],
        choice: &ToolChoice,
        parallel: bool,
        format: ToolFormat,
    ) -> Result<Self, Error> {
        if *choice != ToolChoice::None {
            let (rules, left_out) = call_rules(tools, choice, parallel, format)?;
            self.calls = Some(rules);
            self.left_out.extend(left_out);
        }
        Ok(self)
    }

    /// What a schema asks for and this grammar does not hold; one line each.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    pub(crate) fn what(&self) -> &'static str {
        match (&self.calls, &self.form) {
            (Some(_), _) => "the grammar of the tools",
            (None, Form::Json(_)) => "the JSON schema",
            (None, Form::Text | Form::Regex(_)) => "the regular expression",
        }
    }

    /// `mark` gives the token of a mark, where the vocabulary has one.
    pub(crate) fn source(&self, mark: impl Fn(&str) -> Option<u32>) -> TopLevelGrammar {
        match (&self.calls, &self.form) {
            (Some(rules), form) => TopLevelGrammar::from_lark(rules.lark(form, mark)),
            (None, Form::Text) => TopLevelGrammar::from_regex("(?s:.*)"),
            (None, Form::Json(schema)) => TopLevelGrammar::from_json_schema(schema.clone()),
            (None, Form::Regex(pattern)) => TopLevelGrammar::from_regex(pattern),
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
