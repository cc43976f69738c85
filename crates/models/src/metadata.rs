//! Typed reads from GGUF metadata under one prefix, with errors that name the key.

use lockstep_formats::{Gguf, Value};

use crate::Error;

/// The keys `PREFIX.*` of a file.
pub(crate) struct Metadata<'g, 'a> {
    gguf: &'g Gguf<'a>,
    prefix: &'static str,
}

impl<'g, 'a> Metadata<'g, 'a> {
    pub(crate) fn new(gguf: &'g Gguf<'a>, prefix: &'static str) -> Self {
        Self { gguf, prefix }
    }

    /// The whole key.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'g Value<'a>> {
        self.gguf.get(&self.path(key))
    }

    pub(crate) fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "a whole number", as_u64)
    }

    pub(crate) fn f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        })
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", as_bool)
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", as_str)
    }

    /// A list of true and false, or of numbers; `None` too where the value is not a list.
    pub(crate) fn bools(&self, key: &str) -> Result<Option<Vec<bool>>, Error> {
        let each = |value: Value<'a>| as_bool(&value).or_else(|| as_u64(&value).map(|number| number != 0));
        match self.get(key) {
            Some(Value::Array(_)) => self.list(key, "a list of true and false", each),
            _ => Ok(None),
        }
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Error> {
        self.list(key, "a list of strings", |value| as_str(&value).map(str::to_owned))
    }

    pub(crate) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.list(key, "a list of numbers", |value| match value {
            Value::Float(number) => Some(number as f32),
            _ => None,
        })
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Option<Vec<u64>>, Error> {
        self.list(key, "a list of whole numbers", |value| as_u64(&value))
    }

    /// A token id.
    pub(crate) fn token(&self, key: &str) -> Result<Option<u32>, Error> {
        self.typed(key, "a token id", |value| as_u64(value).and_then(|id| u32::try_from(id).ok()))
    }

    pub(crate) fn required_u64(&self, key: &str) -> Result<u64, Error> {
        self.u64(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn required_f64(&self, key: &str) -> Result<f64, Error> {
        self.f64(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn required_string(&self, key: &str) -> Result<&'a str, Error> {
        self.string(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::key(&self.path(key), "missing")
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl Fn(&Value<'a>) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || Error::key(&self.path(key), format!("{}, expected {expected}", kind(value)));
        read(value).map(Some).ok_or_else(wrong)
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        self.typed(key, expected, |value| match value {
            Value::Array(array) => array.iter().map(&read).collect(),
            _ => None,
        })
    }
}

fn as_u64(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Unsigned(number) => Some(*number),
        Value::Signed(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn as_bool(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        _ => None,
    }
}

fn as_str<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// What a value is, in words for a message; long texts are not repeated.
fn kind(value: &Value<'_>) -> String {
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) if text.len() <= 40 => format!("{text:?}"),
        Value::String(_) => "a long text".into(),
        Value::Array(array) => format!("a list of {}", array.len()),
    }
}
