//! Makes small GGUF files, good and bad ones, for tests and as seeds of fuzzing.

use super::types::type_number;
use super::value::{ARRAY, BOOL, FLOAT, SIGNED, STRING, UNSIGNED, Value};
use lockstep_arith::source::SourceType;

/// A file in the making. Whatever is put in is written as it is: nothing is checked, so that broken files can be made.
#[derive(Clone, Debug)]
#[must_use]
pub struct Writer {
    version: u32,
    alignment: usize,
    keys: Vec<u8>,
    key_count: u64,
    entries: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new(3)
    }
}

impl Writer {
    /// An empty file of this version, with an alignment of 32 bytes.
    pub fn new(version: u32) -> Self {
        let (keys, entries, data) = (Vec::new(), Vec::new(), Vec::new());
        Self { version, alignment: 32, keys, key_count: 0, entries, tensor_count: 0, data }
    }

    /// Another alignment (at least 1), and the key that says so; to be called before any tensor is added.
    pub fn alignment(mut self, bytes: u32) -> Self {
        self.alignment = bytes as usize;
        self.raw("general.alignment", 4, &bytes.to_le_bytes())
    }

    /// A key with a value, in the widest type that GGUF has for it.
    pub fn value(self, key: &str, value: &Value<'_>) -> Self {
        match value {
            Value::Unsigned(number) => self.raw(key, UNSIGNED, &number.to_le_bytes()),
            Value::Signed(number) => self.raw(key, SIGNED, &number.to_le_bytes()),
            Value::Float(number) => self.raw(key, FLOAT, &number.to_le_bytes()),
            Value::Bool(flag) => self.raw(key, BOOL, &[u8::from(*flag)]),
            Value::String(text) => self.raw(key, STRING, &lengthed(text)),
            Value::Array(array) => self.array(key, array.kind, array.length as u64, array.bytes),
        }
    }

    /// A key with a list of texts.
    pub fn strings(self, key: &str, texts: &[&str]) -> Self {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| lengthed(text)).collect();
        self.array(key, STRING, texts.len() as u64, &bytes)
    }

    /// A key with a list of `f32`.
    pub fn floats(self, key: &str, numbers: &[f32]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.array(key, 6, numbers.len() as u64, &bytes)
    }

    /// A key with a list of `i32`.
    pub fn integers(self, key: &str, numbers: &[i32]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.array(key, 5, numbers.len() as u64, &bytes)
    }

    /// A key with a list: the number of its elements' type, how many they are said to be, and their bytes.
    pub fn array(self, key: &str, kind: u32, count: u64, bytes: &[u8]) -> Self {
        let head = [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
        self.raw(key, ARRAY, &[&head, bytes].concat())
    }

    /// A key with the number of a type and the bytes of a value.
    pub fn raw(mut self, key: &str, kind: u32, bytes: &[u8]) -> Self {
        self.keys.extend(lengthed(key));
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(bytes);
        self.key_count += 1;
        self
    }

    /// A tensor (outermost extent first) and its bytes, behind the data that is there.
    pub fn tensor(mut self, name: &str, ty: SourceType, shape: &[usize], data: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(self.alignment), 0);
        let offset = self.data.len() as u64;
        self.data.extend(data);
        let extents: Vec<u64> = shape.iter().rev().map(|&n| n as u64).collect();
        self.raw_tensor(name, type_number(ty), &extents, offset)
    }

    /// A tensor's entry alone: the number of its type, its extents (innermost first, as the file has them), its offset.
    pub fn raw_tensor(mut self, name: &str, type_number: u32, extents: &[u64], offset: u64) -> Self {
        self.entries.extend(lengthed(name));
        self.entries.extend((extents.len() as u32).to_le_bytes());
        self.entries.extend(extents.iter().flat_map(|n| n.to_le_bytes()));
        self.entries.extend(type_number.to_le_bytes());
        self.entries.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(self.keys);
        out.extend(self.entries);
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(self.data);
        out
    }
}

/// A text as GGUF has it: its length, then its bytes.
fn lengthed(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}
