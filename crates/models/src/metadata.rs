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

    pub(crate) fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, |v| match v { Value::U(x) => Some(*x), _ => None }, "a whole number")
    }
    pub(crate) fn f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, |v| match v { Value::U(x) => Some(*x as f64), Value::F(x) => Some(*x), _ => None }, "a number")
    }
    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, |v| match v { Value::B(x) => Some(*x), _ => None }, "true or false")
    }
    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, |v| match v { Value::S(x) => Some(*x), _ => None }, "a string")
    }
    pub(crate) fn bools(&self, key: &str) -> Result<Option<Vec<bool>>, Error> {
        let _ = key;
        Ok(None)
    }
    pub(crate) fn token(&self, key: &str) -> Result<Option<u32>, Error> {
        Ok(self.u64(key)?.map(|x| x as u32))
    }
    pub(crate) fn required_u64(&self, key: &str) -> Result<u64, Error> {
        self.u64(key)?.ok_or_else(|| Error::key(&self.path(key), "missing"))
    }
    pub(crate) fn required_f64(&self, key: &str) -> Result<f64, Error> {
        self.f64(key)?.ok_or_else(|| Error::key(&self.path(key), "missing"))
    }
    pub(crate) fn required_string(&self, key: &str) -> Result<&'a str, Error> {
        self.string(key)?.ok_or_else(|| Error::key(&self.path(key), "missing"))
    }
    fn typed<T>(&self, key: &str, read: impl Fn(&Value<'a>) -> Option<T>, expected: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.gguf.get(&self.path(key)) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Error::key(&self.path(key), format!("expected {expected}")))
    }
}
