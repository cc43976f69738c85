//! Typed reads from a JSON object, with errors that name the key. `null` counts as absent.

use serde_json::Value;

use crate::Error;

/// An object inside config.json.
pub(crate) struct Keys<'a> {
    value: &'a Value,
    /// Names of the objects around it, each followed by a dot.
    prefix: String,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self { value, prefix: String::new() }
    }

    /// The key with the names of the objects around it.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it as `null`.
    pub(crate) fn states(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "a whole number", Value::as_u64)
    }

    pub(crate) fn f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", |value| value.as_str())
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Error> {
        let each = |value: &Value| value.as_str().map(str::to_owned);
        self.typed(key, "a list of strings", |value| value.as_array()?.iter().map(each).collect())
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<Keys<'a>>, Error> {
        let found = self.typed(key, "an object", |value| value.is_object().then_some(value))?;
        Ok(found.map(|value| Keys { value, prefix: format!("{}{key}.", self.prefix) }))
    }

    /// Token ids: one, or a list.
    pub(crate) fn tokens(&self, key: &str) -> Result<Option<Vec<u32>>, Error> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.typed(key, "a token id or a list of them", |value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            value => Some(vec![id(value)?]),
        })
    }

    pub(crate) fn required_u64(&self, key: &str) -> Result<u64, Error> {
        self.u64(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn required_f64(&self, key: &str) -> Result<f64, Error> {
        self.f64(key)?.ok_or_else(|| self.missing(key))
    }

    /// A count of token ids: 1 or more, and ids fit u32.
    pub(crate) fn required_size(&self, key: &str) -> Result<usize, Error> {
        match self.required_u64(key)? {
            size @ 1..=0xFFFF_FFFF => Ok(size as usize),
            size => Err(Error::key(&self.path(key), format!("{size}, expected 1 to 2^32 - 1"))),
        }
    }

    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::key(&self.path(key), "missing")
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if let Some(value) = read(value) {
            return Ok(Some(value));
        }
        let mut found = value.to_string();
        if found.len() > 40 {
            found = found.chars().take(40).chain("...".chars()).collect();
        }
        Err(Error::key(&self.path(key), format!("{found}, expected {expected}")))
    }
}
