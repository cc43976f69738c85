//! safetensors: the header's length, a JSON header, then the data; and the index of a model in several files.
//!
//! Source: the format section of safetensors' README. Start reading at [`Header::parse`].

pub use crate::index::index_files;

use crate::error::shown;
use crate::tensor::{extent, refuse_overlaps, tensor_bytes};
use crate::{Error, Tensor};
use lockstep_arith::source::SourceType;
use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The format's own bound; the header of a 100 GB model stays far below.
const HEADER_MAX: u64 = 100_000_000;
/// Dimensions of a tensor.
const DIMENSIONS_MAX: usize = 8;

/// The tensors of a file, in order of name. `header` is that of the same bytes, and keeps the tensors' names alive.
pub fn parse<'a>(bytes: &'a [u8], header: &'a Header) -> Result<Vec<Tensor<'a>>, Error> {
    let data = bytes.get(header.data_start..).unwrap_or_default();
    header.tensors.iter().map(|(name, entry)| entry.locate(name, data)).collect()
}

/// The parsed header of one file.
#[derive(Clone, Debug)]
pub struct Header {
    tensors: BTreeMap<String, Entry>,
    data_start: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    ty: SourceType,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

impl Header {
    /// Reads the header of a file, and checks that its tensors fill the data behind it without gap or overlap.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "safetensors header";
        let truncated = |needed| Error::truncated(WHAT, needed, bytes.len().saturating_sub(8));
        let length = bytes.first_chunk().ok_or_else(|| truncated(8)).map(|bytes| u64::from_le_bytes(*bytes))?;
        if length > HEADER_MAX {
            let problem = "is not a safetensors file: choose a .gguf file or a safetensors folder";
            return Err(Error::Format(format!("a header of {length} bytes {problem}")));
        }
        let data_start = 8 + length as usize;
        let json = bytes.get(8..data_start).ok_or_else(|| truncated(length))?;
        let mut refused = None;
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let tensors = deserializer.deserialize_map(HeaderVisitor { refused: &mut refused });
        let tensors = tensors.and_then(|tensors| deserializer.end().map(|()| tensors));
        let tensors = tensors.map_err(|error| refused.unwrap_or_else(|| Error::damaged(WHAT, error)))?;
        let header = Self { tensors, data_start };
        header.check_spans(bytes.len() - data_start)?;
        Ok(header)
    }

    fn check_spans(&self, data_bytes: usize) -> Result<(), Error> {
        let spans = self.tensors.iter().map(|(name, entry)| (entry.start, entry.end, name.as_str()));
        let mut spans: Vec<_> = spans.collect();
        refuse_overlaps(&mut spans)?;
        let mut filled = 0;
        for (start, end, name) in spans {
            if start != filled {
                let problem = format!("begins at byte {start} of the data, expected {filled}");
                return Err(Error::damaged(format_args!("tensor {name}"), problem));
            }
            if end > data_bytes {
                return Err(Error::truncated(format_args!("tensor {name}"), (end - start) as u64, data_bytes - start));
            }
            filled = end;
        }
        if filled == data_bytes {
            return Ok(());
        }
        Err(Error::damaged("safetensors data", format!("{data_bytes} bytes, but the tensors take {filled}")))
    }
}

/// Reads the header's map straight into entries: a tree of JSON values would take many times the file's bytes.
struct HeaderVisitor<'r> {
    /// What this reader, not the JSON parser, had to refuse.
    refused: &'r mut Option<Error>,
}

impl<'de> Visitor<'de> for HeaderVisitor<'_> {
    type Value = BTreeMap<String, Entry>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw: RawEntry<'de> =
                map.next_value().map_err(|error| A::Error::custom(format_args!("tensor {}: {error}", shown(&name))))?;
            let again = tensors.contains_key(&name);
            let twice = || Error::damaged(format_args!("tensor {name}"), "occurs twice");
            let entry = if again { Err(twice()) } else { Entry::check(&name, &raw) };
            match entry {
                Ok(entry) => tensors.insert(name, entry),
                Err(error) => {
                    *self.refused = Some(error);
                    return Err(A::Error::custom("refused"));
                }
            };
        }
        Ok(tensors)
    }
}

/// A tensor as the header states it.
#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Extents,
    data_offsets: [u64; 2],
}

/// A shape, of which no more than the allowed extents are ever stored.
struct Extents {
    extents: [u64; DIMENSIONS_MAX],
    count: usize,
}

impl<'de> Deserialize<'de> for Extents {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ExtentsVisitor)
    }
}

struct ExtentsVisitor;

impl<'de> Visitor<'de> for ExtentsVisitor {
    type Value = Extents;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {DIMENSIONS_MAX} extents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Extents, A::Error> {
        let mut shape = Extents { extents: [0; DIMENSIONS_MAX], count: 0 };
        while let Some(n) = sequence.next_element::<u64>()? {
            let slot = shape.extents.get_mut(shape.count);
            *slot.ok_or_else(|| A::Error::invalid_length(DIMENSIONS_MAX + 1, &self))? = n;
            shape.count += 1;
        }
        Ok(shape)
    }
}

impl Entry {
    fn check(name: &str, raw: &RawEntry<'_>) -> Result<Self, Error> {
        let ty = match &*raw.dtype {
            "F32" => SourceType::F32,
            "F16" => SourceType::F16,
            "BF16" => SourceType::Bf16,
            other => {
                let supported = "F32, F16, BF16".into();
                return Err(Error::TensorType { tensor: shown(name), found: shown(other), supported });
            }
        };
        let extents = raw.shape.extents[..raw.shape.count].iter();
        let shape = extents.map(|&n| extent(name, n)).collect::<Result<Vec<_>, _>>()?;
        let needed = tensor_bytes(name, ty, &shape)?;
        let [start, end] = raw.data_offsets;
        let (start_at, end_at) = (usize::try_from(start), usize::try_from(end));
        let (Ok(start), Ok(end), true) = (start_at, end_at, start <= end) else {
            let problem = format!("data_offsets {start} and {end} are not a start and an end");
            return Err(Error::damaged(format_args!("tensor {name}"), problem));
        };
        if end - start != needed {
            let problem = format!("{} bytes, but its shape needs {needed}", end - start);
            return Err(Error::damaged(format_args!("tensor {name}"), problem));
        }
        Ok(Self { ty, shape, start, end })
    }

    fn locate<'a>(&self, name: &'a str, data: &'a [u8]) -> Result<Tensor<'a>, Error> {
        let found = data.get(self.start..self.end);
        let left = data.len().saturating_sub(self.start);
        let truncated = || Error::truncated(format_args!("tensor {name}"), (self.end - self.start) as u64, left);
        Ok(Tensor { name, ty: self.ty, shape: self.shape.clone(), data: found.ok_or_else(truncated)? })
    }
}
