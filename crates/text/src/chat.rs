use crate::Error;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use std::fmt::Write as _;

/// Steps a template may take; real ones need some hundred a message.
const FUEL: u64 = 5_000_000;
/// Longest prompt in bytes.
const PROMPT_BYTES_MAX: usize = 64 << 20;
/// Deepest nesting of macros and includes.
const DEPTH_MAX: usize = 64;

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A compiled chat template: messages to prompt text.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a Jinja source; `bos` and `eos` are the texts of the begin and end tokens.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH_MAX);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned("chat", source.to_owned()).map_err(|error| describe(&error))?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The prompt of a chat. `date` is today as `YYYY-MM-DD`, for templates that call `strftime_now`.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        date: &str,
    ) -> Result<String, Error> {
        let today = date.to_owned();
        let clock = Value::from_function(move |format: String| format_date(&today, &format));
        let template = self.environment.get_template("chat").map_err(|error| describe(&error))?;
        let context = minijinja::context! {
            messages => Value::from(minijinja::value::Serde(messages)),
            tools => Value::from(minijinja::value::Serde(tools)),
            documents => Value::from(()),
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            strftime_now => clock,
        };
        let prompt = template.render(context).map_err(|error| describe(&error))?;
        if prompt.len() > PROMPT_BYTES_MAX {
            return Err(Error::Template {
                problem: "the prompt is longer than 64 MiB; send fewer messages".to_owned(),
            });
        }
        Ok(prompt)
    }
}

fn describe(error: &minijinja::Error) -> Error {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| detail.replace('\n', " "));
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let remedy = if error.kind() == ErrorKind::OutOfFuel { " (it loops without end)" } else { "" };
    Error::Template { problem: format!("{line}{what}{remedy}; change the messages or give another template") }
}

fn raise_exception(message: &str) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it: a space after commas and colons.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    // The other options of transformers' filter change nothing for what templates pass.
    for name in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(name)?;
    }
    options.assert_all_used()?;
    let bad = |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    let tree = serde_json::to_value(value).map_err(bad)?;
    let mut text = Vec::new();
    if let Some(width) = indent {
        let width = vec![b' '; width.min(16)];
        let formatter = serde_json::ser::PrettyFormatter::with_indent(&width);
        tree.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter)).map_err(bad)?;
    } else {
        tree.serialize(&mut serde_json::Serializer::with_formatter(&mut text, PythonJson)).map_err(bad)?;
    }
    Ok(Value::from_safe_string(String::from_utf8_lossy(&text).into_owned()))
}

struct PythonJson;

impl serde_json::ser::Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The date parts of C's strftime; the time of day is midnight, for the caller gives a date.
fn format_date(date: &str, format: &str) -> Result<String, minijinja::Error> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let refuse = |what: String| minijinja::Error::new(ErrorKind::InvalidOperation, what);
    let parts: Vec<&str> = date.split('-').collect();
    let month =
        parts.get(1).and_then(|month| month.parse::<usize>().ok()).and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let ([year, number, day], Some(month)) = (parts.as_slice(), month) else {
        return Err(refuse(format!("the date {date:?} is not YYYY-MM-DD")));
    };
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let part = match characters.next() {
            Some('Y') => year,
            Some('m') => number,
            Some('d') => day,
            Some('B') => month,
            Some('b') => &month[..3],
            Some('H' | 'M' | 'S') => "00",
            Some('%') => "%",
            other => return Err(refuse(format!("strftime_now does not know %{}", other.unwrap_or(' ')))),
        };
        let _ = write!(text, "{part}");
    }
    Ok(text)
}
