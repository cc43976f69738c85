//! GGUF, versions 2 and 3, little-endian.

use crate::cursor::Cursor;
use crate::tensor::tensor_bytes;
use crate::{Error, Tensor};
use lockstep_arith::source::SourceType;
use std::collections::HashSet;

/// Arrays inside arrays inside arrays: no writer goes deeper.
const DEPTH_MAX: usize = 4;
/// Dimensions of a tensor.
const DIMENSIONS_MAX: u32 = 4;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// A list, read again from its bytes whenever it is iterated.
    Array(Array<'a>),
}

/// A list of values of one type, checked when the file was parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    kind: u32,
    length: usize,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        let kind = self.kind;
        // The bytes were walked once by `parse`, so reading them again does not fail.
        (0..self.length).map_while(move |_| value(&mut cursor, kind, "array", 0).ok())
    }
}

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
    /// Reads the header and checks every count, length and offset against the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(4, "GGUF magic")? != b"GGUF" {
            return Err(Error::Format("not a GGUF file: choose a .gguf file or a safetensors folder".into()));
        }
        let version = cursor.u32("GGUF version")?;
        if !(2..=3).contains(&version) {
            let kind =
                if version.swap_bytes() <= 3 { "big-endian GGUF".into() } else { format!("GGUF version {version}") };
            return Err(Error::Format(format!(
                "{kind} is not read: convert the model to little-endian GGUF version 3"
            )));
        }
        let tensor_count = cursor.u64("tensor count")?;
        let key_count = cursor.u64("metadata count")?;
        let metadata = read_metadata(&mut cursor, key_count)?;
        let mut gguf = Self { version, metadata, tensors: Vec::new() };
        if let Some(Value::Unsigned(parts @ 2..)) = gguf.get("split.count") {
            let message = format!("one part of a file split in {parts}: merge them first, or choose an unsplit file");
            return Err(Error::Format(message));
        }
        gguf.tensors = read_tensors(&mut cursor, tensor_count, gguf.alignment()?, bytes)?;
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

    fn alignment(&self) -> Result<u64, Error> {
        match self.get("general.alignment") {
            None => Ok(32),
            Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() && *alignment <= 1 << 20 => Ok(*alignment),
            Some(other) => Err(Error::damaged("general.alignment", format!("{other:?} is not a power of two"))),
        }
    }
}

fn read_metadata<'a>(cursor: &mut Cursor<'a>, count: u64) -> Result<Vec<(&'a str, Value<'a>)>, Error> {
    let (mut metadata, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..count {
        let key = cursor.string(&format!("metadata key {index}"))?;
        let kind = cursor.u32(key)?;
        if !seen.insert(key) {
            return Err(Error::damaged(format!("metadata key {key}"), "occurs twice"));
        }
        metadata.push((key, value(cursor, kind, key, 0)?));
    }
    Ok(metadata)
}

fn value<'a>(cursor: &mut Cursor<'a>, kind: u32, key: &str, depth: usize) -> Result<Value<'a>, Error> {
    Ok(match kind {
        0 => Value::Unsigned(u64::from(cursor.number::<1>(key)?[0])),
        1 => Value::Signed(i64::from(i8::from_le_bytes(cursor.number(key)?))),
        2 => Value::Unsigned(u64::from(u16::from_le_bytes(cursor.number(key)?))),
        3 => Value::Signed(i64::from(i16::from_le_bytes(cursor.number(key)?))),
        4 => Value::Unsigned(u64::from(cursor.u32(key)?)),
        5 => Value::Signed(i64::from(i32::from_le_bytes(cursor.number(key)?))),
        6 => Value::Float(f64::from(f32::from_le_bytes(cursor.number(key)?))),
        7 => match cursor.number::<1>(key)?[0] {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            other => return Err(Error::damaged(key, format!("{other} is neither true nor false"))),
        },
        8 => Value::String(cursor.string(key)?),
        9 => Value::Array(array(cursor, key, depth + 1)?),
        10 => Value::Unsigned(cursor.u64(key)?),
        11 => Value::Signed(i64::from_le_bytes(cursor.number(key)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.number(key)?)),
        other => return Err(Error::damaged(key, format!("value type {other} does not exist"))),
    })
}

fn array<'a>(cursor: &mut Cursor<'a>, key: &str, depth: usize) -> Result<Array<'a>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::damaged(key, "arrays are nested too deeply"));
    }
    let kind = cursor.u32(key)?;
    let count = cursor.u64(key)?;
    // Every element takes at least one byte, so the count is backed by the file before anything is walked.
    let left = cursor.left();
    let length = usize::try_from(count).ok().filter(|&n| n <= left);
    let length = length.ok_or(Error::Truncated { what: key.to_owned(), needed: count, left: left as u64 })?;
    let start = cursor.clone();
    for _ in 0..length {
        value(cursor, kind, key, depth)?;
    }
    let size = (cursor.position() - start.position()) as u64;
    let bytes = start.clone().take(size, key)?;
    Ok(Array { kind, length, bytes })
}

/// A tensor's header before its data is looked up.
struct Header<'a> {
    name: &'a str,
    ty: SourceType,
    shape: Vec<u64>,
    offset: u64,
}

fn read_tensors<'a>(
    cursor: &mut Cursor<'a>,
    count: u64,
    alignment: u64,
    bytes: &'a [u8],
) -> Result<Vec<Tensor<'a>>, Error> {
    let (mut headers, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..count {
        let header = read_header(cursor, index)?;
        if !seen.insert(header.name) {
            return Err(Error::damaged(format!("tensor {}", header.name), "occurs twice"));
        }
        if !header.offset.is_multiple_of(alignment) {
            return Err(Error::damaged(format!("tensor {}", header.name), "its offset is not aligned"));
        }
        headers.push(header);
    }
    let start = (cursor.position() as u64).next_multiple_of(alignment).min(bytes.len() as u64);
    let data = &bytes[start as usize..];
    headers.into_iter().map(|header| locate(header, data)).collect()
}

fn read_header<'a>(cursor: &mut Cursor<'a>, index: u64) -> Result<Header<'a>, Error> {
    let name = cursor.string(&format!("name of tensor {index}"))?;
    let what = format!("tensor {name}");
    let dimensions = cursor.u32(&what)?;
    if dimensions == 0 || dimensions > DIMENSIONS_MAX {
        return Err(Error::damaged(what, format!("{dimensions} dimensions, expected 1 to {DIMENSIONS_MAX}")));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(cursor.u64(&what)?);
    }
    shape.reverse();
    let ty = tensor_type(name, cursor.u32(&what)?)?;
    Ok(Header { name, ty, shape, offset: cursor.u64(&what)? })
}

fn locate<'a>(header: Header<'a>, data: &'a [u8]) -> Result<Tensor<'a>, Error> {
    let Header { name, ty, shape, offset } = header;
    let needed = tensor_bytes(name, ty, &shape)?;
    let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..));
    let left = rest.map_or(0, <[u8]>::len);
    let data = rest.and_then(|rest| rest.get(..needed)).ok_or_else(|| Error::Truncated {
        what: format!("tensor {name}"),
        needed: needed as u64,
        left: left as u64,
    })?;
    // Each extent is at most the byte count's weights, which fit a usize.
    Ok(Tensor { name, ty, shape: shape.into_iter().map(|n| n as usize).collect(), data })
}

/// GGUF's numbers of the types that are read.
const TYPES: [(u32, SourceType); 15] = [
    (0, SourceType::F32),
    (1, SourceType::F16),
    (2, SourceType::Q4_0),
    (3, SourceType::Q4_1),
    (6, SourceType::Q5_0),
    (7, SourceType::Q5_1),
    (8, SourceType::Q8_0),
    (10, SourceType::Q2_K),
    (11, SourceType::Q3_K),
    (12, SourceType::Q4_K),
    (13, SourceType::Q5_K),
    (14, SourceType::Q6_K),
    (20, SourceType::Iq4Nl),
    (30, SourceType::Bf16),
    (39, SourceType::Mxfp4),
];

fn tensor_type(tensor: &str, number: u32) -> Result<SourceType, Error> {
    TYPES.iter().find(|(known, _)| *known == number).map(|(_, ty)| *ty).ok_or_else(|| Error::TensorType {
        tensor: tensor.to_owned(),
        found: number.to_string(),
        supported: SourceType::ALL.map(SourceType::name).join(", "),
    })
}
