//! GGUF, versions 2 and 3, little-endian: a header, metadata, a table of tensors, data.
//!
//! Source: the specification in ggml's `docs/gguf.md`. Start reading at [`Gguf::parse`].

mod tensors;
mod types;
mod value;
mod writer;

pub use value::{Array, Value};
pub use writer::Writer;

use crate::cursor::Cursor;
use crate::error::shown;
use crate::{Error, Tensor};
use std::collections::HashSet;

/// Far more than any file has: a few dozen are usual.
const KEYS_MAX: u64 = 1 << 16;
/// Where the data section and the tensors in it begin when the file does not say.
const ALIGNMENT: u64 = 32;
/// A wider alignment would only be a way to skip the file.
const ALIGNMENT_MAX: u64 = 1 << 20;

/// A parsed file: views of its bytes.
#[derive(Clone, Debug)]
pub struct Gguf<'a> {
    /// 2 or 3.
    pub version: u32,
    metadata: Vec<(&'a str, Value<'a>)>,
    /// The tensors, in file order.
    pub tensors: Vec<Tensor<'a>>,
}

impl<'a> Gguf<'a> {
    /// Reads everything but the weights, and checks every count, length and offset against the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(4, "GGUF magic")? != b"GGUF" {
            return Err(Error::Format("not a GGUF file: choose a .gguf file or a safetensors folder".into()));
        }
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.u64("tensor count")?;
        let key_count = cursor.u64("metadata count")?;
        let metadata = read_metadata(&mut cursor, key_count)?;
        let mut gguf = Self { version, metadata, tensors: Vec::new() };
        if let Some(parts @ 2..) = gguf.unsigned("split.count")? {
            let message = format!("one part of a file split in {parts}: merge them first, or choose an unsplit file");
            return Err(Error::Format(message));
        }
        gguf.tensors = tensors::read_tensors(&mut cursor, tensor_count, gguf.alignment()?, bytes)?;
        Ok(gguf)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.metadata.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All keys and values, in file order.
    pub fn metadata(&self) -> &[(&'a str, Value<'a>)] {
        &self.metadata
    }

    /// A whole number of at least 0, however the file stores it; `None` where the key is absent.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "a whole number of at least 0", |value| match value {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A float; `None` where the key is absent.
    pub fn float(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a float", |value| if let Value::Float(number) = value { Some(*number) } else { None })
    }

    /// True or false; `None` where the key is absent.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", |value| if let Value::Bool(flag) = value { Some(*flag) } else { None })
    }

    /// A text; `None` where the key is absent.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a text", |value| if let Value::String(text) = value { Some(*text) } else { None })
    }

    /// A list; `None` where the key is absent.
    pub fn array(&self, key: &str) -> Result<Option<Array<'a>>, Error> {
        self.typed(key, "a list", |value| if let Value::Array(array) = value { Some(array.clone()) } else { None })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || Error::ValueType { key: shown(key), found: value.described(), expected };
        read(value).map(Some).ok_or_else(wrong)
    }

    fn alignment(&self) -> Result<u64, Error> {
        const KEY: &str = "general.alignment";
        let alignment = self.unsigned(KEY)?.unwrap_or(ALIGNMENT);
        if alignment.is_power_of_two() && alignment <= ALIGNMENT_MAX {
            return Ok(alignment);
        }
        Err(Error::damaged(KEY, format!("{alignment}, expected a power of two up to {ALIGNMENT_MAX}")))
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, Error> {
    let version = cursor.u32("GGUF version")?;
    if (2..=3).contains(&version) {
        return Ok(version);
    }
    let big_endian = (1..=3).contains(&version.swap_bytes());
    let kind = if big_endian { "big-endian GGUF".into() } else { format!("GGUF version {version}") };
    Err(Error::Format(format!("{kind} is not read: convert the model to little-endian GGUF version 3")))
}

fn read_metadata<'a>(cursor: &mut Cursor<'a>, count: u64) -> Result<Vec<(&'a str, Value<'a>)>, Error> {
    if count > KEYS_MAX {
        return Err(Error::damaged("metadata count", format!("{count} keys, expected at most {KEYS_MAX}")));
    }
    let (mut metadata, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..count {
        let key = cursor.string(format_args!("metadata key {index}"))?;
        let what = format_args!("metadata key {key}");
        let kind = cursor.u32(what)?;
        if !seen.insert(key) {
            return Err(Error::damaged(what, "occurs twice"));
        }
        metadata.push((key, value::read_value(cursor, kind, &what, 0)?));
    }
    Ok(metadata)
}
