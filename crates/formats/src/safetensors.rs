//! safetensors: a JSON header, then the data; and the index of a model in several files.

use crate::tensor::tensor_bytes;
use crate::{Error, Tensor};
use lockstep_arith::source::SourceType;
use serde_json::Value;
use std::collections::BTreeMap;

/// A header that a 100 GB model stays far below.
const HEADER_MAX: u64 = 100 << 20;

/// Reads a file: every offset and length is checked against the bytes. `names` keeps the tensors' names alive.
pub fn parse<'a>(bytes: &'a [u8], names: &'a Header) -> Result<Vec<Tensor<'a>>, Error> {
    let data = &bytes[names.data_start..];
    names.tensors.iter().map(|(name, entry)| entry.locate(name, data)).collect()
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
    shape: Vec<u64>,
    start: usize,
    end: usize,
}

impl Header {
    /// Reads the header of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = |needed: u64| Error::Truncated {
            what: "safetensors header".into(),
            needed,
            left: bytes.len().saturating_sub(8) as u64,
        };
        let length = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(truncated(8))?;
        let end = length.checked_add(8).filter(|&end| end <= bytes.len() as u64 && length <= HEADER_MAX);
        let data_start = end.ok_or(truncated(length))? as usize;
        let json: Value = serde_json::from_slice(&bytes[8..data_start])
            .map_err(|error| Error::damaged("safetensors header", error.to_string()))?;
        let object = json.as_object().ok_or_else(|| Error::damaged("safetensors header", "not a JSON object"))?;
        let entries = object.iter().filter(|(name, _)| *name != "__metadata__");
        let tensors: BTreeMap<_, _> = entries
            .map(|(name, value)| Ok((name.clone(), Entry::parse(name, value)?)))
            .collect::<Result<_, Error>>()?;
        Self { tensors, data_start }.without_overlaps()
    }

    fn without_overlaps(self) -> Result<Self, Error> {
        let mut spans: Vec<_> = self.tensors.iter().map(|(name, entry)| (entry.start, entry.end, name)).collect();
        spans.sort();
        match spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            Some(pair) => Err(Error::damaged(format!("tensor {}", pair[1].2), format!("overlaps {}", pair[0].2))),
            None => Ok(self),
        }
    }
}

impl Entry {
    fn parse(name: &str, value: &Value) -> Result<Self, Error> {
        let bad = |problem: &str| Error::damaged(format!("tensor {name}"), problem);
        let ty = match value["dtype"].as_str().ok_or_else(|| bad("no dtype"))? {
            "F32" => SourceType::F32,
            "F16" => SourceType::F16,
            "BF16" => SourceType::Bf16,
            other => {
                return Err(Error::TensorType {
                    tensor: name.to_owned(),
                    found: other.to_owned(),
                    supported: "F32, F16, BF16".into(),
                });
            }
        };
        let numbers = |value: &Value| value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
        let shape: Vec<u64> = numbers(&value["shape"]).ok_or_else(|| bad("no shape"))?;
        let offsets: Vec<u64> = numbers(&value["data_offsets"]).ok_or_else(|| bad("no data_offsets"))?;
        match offsets[..] {
            [start, end] if start <= end && usize::try_from(end).is_ok() => {
                Ok(Self { ty, shape, start: start as usize, end: end as usize })
            }
            _ => Err(bad("data_offsets are not a start and an end")),
        }
    }

    fn locate<'a>(&self, name: &'a str, data: &'a [u8]) -> Result<Tensor<'a>, Error> {
        let needed = tensor_bytes(name, self.ty, &self.shape)?;
        if self.end - self.start != needed {
            let problem = format!("{} bytes, but its shape needs {needed}", self.end - self.start);
            return Err(Error::damaged(format!("tensor {name}"), problem));
        }
        let data = data.get(self.start..self.end).ok_or_else(|| Error::Truncated {
            what: format!("tensor {name}"),
            needed: self.end as u64,
            left: data.len() as u64,
        })?;
        Ok(Tensor { name, ty: self.ty, shape: self.shape.iter().map(|&n| n as usize).collect(), data })
    }
}

/// The files that `model.safetensors.index.json` names, each once, in order of name.
pub fn index_files(json: &[u8]) -> Result<Vec<String>, Error> {
    let what = "model.safetensors.index.json";
    let json: Value = serde_json::from_slice(json).map_err(|error| Error::damaged(what, error.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| Error::damaged(what, "no weight_map"))?;
    let mut files = std::collections::BTreeSet::new();
    for (tensor, file) in map {
        let file =
            file.as_str().filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':']));
        let file = file.ok_or_else(|| Error::damaged(what, format!("the file of {tensor} is not a plain name")))?;
        files.insert(file.to_owned());
    }
    Ok(files.into_iter().collect())
}
