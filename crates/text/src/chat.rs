//! Chat templates: Jinja as model files carry it and `transformers` runs it, bounded in steps, depth and memory.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use crate::error::one_line;
use crate::{Error, Message};

/// Steps a template may take. One step also pays for 64 bytes that the template makes (minijinja's rate), so this bounds
/// its memory as well: to 32 MB. Real templates need some thousand.
const FUEL: u64 = 500_000;
/// More for every message.
const FUEL_PER_MESSAGE: u64 = 1_000;
/// More for every byte of the messages and tools, of which honest templates make a few copies.
const FUEL_PER_BYTE: u64 = 1;
/// Bytes that one `tojson` may write.
const JSON_BYTES_MAX: usize = 32 << 20;
/// Bytes of a template; the largest in use have some 20 thousand.
const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of macros and includes.
const DEPTH_MAX: usize = 64;

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
        if source.len() > SOURCE_BYTES_MAX {
            let problem = format!("{} bytes are more than a template can need; give another template", source.len());
            return Err(Error::Template { problem });
        }
        let mut environment = Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        environment.set_recursion_limit(DEPTH_MAX);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned("chat", without_generation_marks(source)).map_err(|error| describe(&error))?;
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
        let said: usize = messages.iter().map(Message::bytes).sum();
        let bytes = (said + tools.map_or(0, |tools| tools.to_string().len())) as u64;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + FUEL_PER_BYTE * bytes));
        let template = environment.get_template("chat").map_err(|error| describe(&error))?;
        let context = minijinja::context! {
            messages => Value::from(minijinja::value::Serde(messages)),
            tools => Value::from(minijinja::value::Serde(tools)),
            documents => Value::from(()),
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            strftime_now => clock,
        };
        template.render(context).map_err(|error| describe(&error))
    }
}

/// `{% generation %}` marks text for training; here it is a block that is always there.
fn without_generation_marks(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}").filter(|&length| length >= 2) else { break };
        let tag = &rest[start + 2..start + length];
        plain.push_str(&rest[..start + 2]);
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => plain.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => plain.push_str(&tag.replace("endgeneration", "endif")),
            _ => plain.push_str(tag),
        }
        plain.push_str("%}");
        rest = &rest[start + length + 2..];
    }
    plain.push_str(rest);
    plain
}

fn describe(error: &minijinja::Error) -> Error {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it goes on without end or fills the memory".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => one_line(detail),
        (kind, Some(detail)) => one_line(format!("{kind}: {detail}")),
        (kind, None) => kind.to_string(),
    };
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    Error::Template { problem: format!("{line}{what}; change the messages or give another template") }
}

fn raise_exception(message: &str) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it: a space after commas and colons, no escapes that
/// JSON does not ask for.
#[allow(clippy::needless_pass_by_value)] // the shape that minijinja calls
fn to_json(value: &Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let refuse =
        |what: &str| minijinja::Error::new(ErrorKind::InvalidOperation, format!("tojson does not know {what}"));
    if ensure_ascii == Some(true) {
        return Err(refuse("ensure_ascii=true"));
    }
    let (item, key) = match separators.as_deref() {
        None => (", ", ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err(refuse("separators that are not two")),
    };
    let bad = |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut text = Bounded(Vec::new());
    if let Some(width) = indent {
        let width = vec![b' '; width.min(16)];
        let formatter = serde_json::ser::PrettyFormatter::with_indent(&width);
        write_json(value, sort_keys == Some(true), serde_json::Serializer::with_formatter(&mut text, formatter))
            .map_err(bad)?;
    } else {
        let formatter = PythonJson { item, key };
        write_json(value, sort_keys == Some(true), serde_json::Serializer::with_formatter(&mut text, formatter))
            .map_err(bad)?;
    }
    Ok(Value::from_safe_string(String::from_utf8_lossy(&text.0).into_owned()))
}

fn write_json<W: std::io::Write, F: serde_json::ser::Formatter>(
    value: &Value,
    sort_keys: bool,
    mut serializer: serde_json::Serializer<W, F>,
) -> Result<(), serde_json::Error> {
    if !sort_keys {
        return value.serialize(&mut serializer);
    }
    // Through bounded text: a value can be a short name for a list without end.
    let mut text = Bounded(Vec::new());
    serde_json::to_writer(&mut text, value)?;
    let mut tree: serde_json::Value = serde_json::from_slice(&text.0)?;
    tree.sort_all_objects();
    tree.serialize(&mut serializer)
}

/// Refuses to grow beyond what `tojson` may write.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > JSON_BYTES_MAX {
            return Err(std::io::Error::other("tojson makes more than 32 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct PythonJson<'a> {
    item: &'a str,
    key: &'a str,
}

impl serde_json::ser::Formatter for PythonJson<'_> {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item.as_bytes()) }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item.as_bytes()) }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(self.key.as_bytes())
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
