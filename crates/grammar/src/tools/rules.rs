//! The grammar of an answer with calls, in llguidance's dialect of Lark.
//!
//! Text is free until a mark begins a call: the lexeme that ends with the mark is lazy, so that text cannot go past it.
//! From there on the name is one of those offered, the arguments fit its schema, and nothing but further calls follows.
//! An answer of another form than text is that form, or calls from its beginning on.

use std::fmt::Write as _;

use llguidance::regex_to_lark;
use serde_json::Value;

use super::format::{ARGS, CLOSE, OPEN, PYTHON_TAG, TOOL_CALLS};
use super::{Tool, ToolChoice, ToolFormat};
use crate::Error;
use crate::grammar::{Form, compact};
use crate::schema::normalize;

/// Calls in one answer, so that no model goes on calling for ever.
const CALLS_MAX: usize = 16;

/// What is known of the calls without a vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct CallRules {
    format: ToolFormat,
    /// Whether an answer may be without calls.
    optional: bool,
    /// Calls at most.
    calls: usize,
    /// Names, and schemas of the arguments.
    functions: Vec<(String, Value)>,
}

/// The rules, and what the schemas ask for that they do not hold.
pub(crate) fn call_rules(
    tools: &[Tool],
    choice: &ToolChoice,
    parallel: bool,
    format: ToolFormat,
) -> Result<(CallRules, Vec<String>), Error> {
    let wanted = |tool: &&Tool| !matches!(choice, ToolChoice::Function(name) if *name != tool.name);
    let mut left_out = Vec::new();
    let mut functions = Vec::new();
    for tool in tools.iter().filter(wanted) {
        let mut normalized = normalize(&[&tool.schema()], tool.strict).map_err(|error| in_tool(&tool.name, error))?;
        let Some(Value::Object(mut root)) = normalized.roots.pop() else {
            let problem = format!("{:?}: parameters must be a JSON schema of an object", tool.name);
            return Err(Error::Tools { problem });
        };
        if !root.contains_key("type") {
            root.insert("type".to_owned(), Value::from("object"));
        }
        root.insert("$defs".to_owned(), Value::Object(normalized.definitions));
        left_out.extend(normalized.left_out.into_iter().map(|line| format!("{}: {line}", tool.name)));
        functions.push((tool.name.clone(), compact(Value::Object(root))));
    }
    if functions.is_empty() {
        let problem = match choice {
            ToolChoice::Function(name) => format!("tool_choice names {name:.64?}, which is not among them: offer it"),
            _ => "there are none: offer one, or leave tool_choice out".to_owned(),
        };
        return Err(Error::Tools { problem });
    }
    // Llama's templates have one call in a message. Who names a function wants one call of it: a small model that may go
    // on calling does.
    let is_one = !parallel || format == ToolFormat::Llama || matches!(choice, ToolChoice::Function(_));
    let calls = if is_one { 1 } else { CALLS_MAX };
    Ok((CallRules { format, optional: *choice == ToolChoice::Auto, calls, functions }, left_out))
}

fn in_tool(name: &str, error: Error) -> Error {
    match error {
        Error::Schema { place, problem } => {
            Error::Tools { problem: format!("the parameters of {name:?}, at {place}: {problem}") }
        }
        other => other,
    }
}

/// Marks as the vocabulary writes them.
struct Marks<F: Fn(&str) -> Option<u32>>(F);

impl<F: Fn(&str) -> Option<u32>> Marks<F> {
    /// The mark in a rule: its token, or its text.
    fn rule(&self, mark: &str) -> String {
        self.token(mark).unwrap_or_else(|| quoted(mark))
    }

    fn token(&self, mark: &str) -> Option<String> {
        (self.0)(mark).map(|id| format!("<[{id}]>"))
    }
}

fn terminal(pattern: &str) -> String {
    format!("/{}/", regex_to_lark(pattern, ""))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl CallRules {
    /// `form` is what an answer without calls is; `mark` gives the token of a mark, where the vocabulary has one.
    pub(crate) fn lark(&self, form: &Form, mark: impl Fn(&str) -> Option<u32>) -> String {
        let marks = Marks(mark);
        let form = self.optional.then_some(form);
        // What begins the first call, and what follows this beginning.
        let (begin, rest) = match self.format {
            ToolFormat::Hermes | ToolFormat::Generic => {
                let (open, close) = (marks.rule(OPEN), marks.rule(CLOSE));
                let call = format!("ws? call ws? {close}");
                (OPEN, format!("{call} {}", self.further(&format!("ws? {open} {call}"))))
            }
            ToolFormat::Mistral => {
                (TOOL_CALLS, format!("ws? \"[\" ws? call {} ws? \"]\"", self.further("ws? \",\" ws? call")))
            }
            ToolFormat::MistralArgs => {
                (TOOL_CALLS, format!("call {}", self.further(&format!("{} call", marks.rule(TOOL_CALLS)))))
            }
            ToolFormat::Llama => return self.llama(form, &marks),
        };
        let first = marks.rule(begin);
        let start = match (form, marks.token(begin)) {
            (None, _) => format!("start: {first} rest\n"),
            (Some(Form::Json(schema)), _) => format!("start: form | {first} rest\nform: %json {schema}\n"),
            (Some(Form::Regex(pattern)), _) => format!("start: FORM | {first} rest\nFORM: {}\n", terminal(pattern)),
            (Some(Form::Text), Some(token)) => format!("start: TEXT? | TEXT? {token} rest\nTEXT: /(?s:.+)/\n"),
            (Some(Form::Text), None) => {
                let escaped = begin.replace('[', "\\[").replace(']', "\\]");
                format!("start: TEXT | opened rest\nTEXT: /(?s:.*)/\nopened[lazy]: /(?s:.*?){escaped}/\n")
            }
        };
        // White space behind a call is no promise of another one.
        let mut lark = format!("{start}rest: {rest} ws?\n{WS}");
        self.calls(&marks, &mut lark);
        lark
    }

    /// A rule for the calls behind the first one.
    fn further(&self, rule: &str) -> String {
        if self.calls > 1 { format!("({rule}){{0,{}}}", self.calls - 1) } else { String::new() }
    }

    /// A call is known by its first key; the mark before it is optional.
    fn llama<F: Fn(&str) -> Option<u32>>(&self, form: Option<&Form>, marks: &Marks<F>) -> String {
        let tag = marks.token(PYTHON_TAG);
        let mut lark = match form {
            None => "start: call ws?\n".to_owned(),
            Some(Form::Json(schema)) => format!("start: form | call ws?\nform: %json {schema}\n"),
            Some(Form::Regex(pattern)) => format!("start: FORM | call ws?\nFORM: {}\n", terminal(pattern)),
            Some(Form::Text) => "start: TEXT | opened call_rest ws?\nTEXT: /(?s:.*)/\n\
                opened[lazy]: /[ \\n]{0,2}\\{[ \\n]{0,2}\"name\"/\n"
                .to_owned(),
        };
        if let Some(tag) = tag {
            lark = lark.replacen('\n', &format!(" | {tag} ws? call ws?\n"), 1);
        }
        lark.push_str(WS);
        self.calls(marks, &mut lark);
        lark
    }

    /// The rules `call` and `call_rest`, which is what follows the key `name`.
    fn calls<F: Fn(&str) -> Option<u32>>(&self, marks: &Marks<F>, lark: &mut String) {
        let names: Vec<String> = (0..self.functions.len()).map(|index| format!("call_{index}")).collect();
        let any = names.join(" | ");
        if self.format == ToolFormat::MistralArgs {
            let _ = writeln!(lark, "call: {any}");
            for (index, (name, schema)) in self.functions.iter().enumerate() {
                let _ = writeln!(lark, "call_{index}: {} {} %json {schema}", quoted(name), marks.rule(ARGS));
            }
            return;
        }
        // Nemo's template ends a call with its id.
        let id = if self.format == ToolFormat::Mistral { r#" (ws? "," ws? "\"id\"" ws? ":" ws? ID)?"# } else { "" };
        let _ = writeln!(lark, r#"call: "{{" ws? "\"name\"" call_rest"#);
        let _ = writeln!(lark, r#"call_rest: ws? ":" ws? ({any}){id} ws? "}}""#);
        if !id.is_empty() {
            lark.push_str("ID: /\"[a-zA-Z0-9]{9}\"/\n");
        }
        let key = quoted(&quoted(self.format.arguments_key()));
        for (index, (name, schema)) in self.functions.iter().enumerate() {
            let name = quoted(&quoted(name));
            let _ = writeln!(lark, r#"call_{index}: {name} ws? "," ws? {key} ws? ":" ws? %json {schema}"#);
        }
    }
}

/// White space between the parts of a call.
const WS: &str = "ws: /[ \\n]{1,2}/\n";
