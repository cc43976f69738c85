//! The table of tensors in a GGUF file, each checked against the data section.

use super::types::tensor_type;
use crate::cursor::Cursor;
use crate::tensor::{extent, refuse_overlaps, tensor_bytes};
use crate::{Error, Tensor};
use lockstep_arith::source::SourceType;
use std::collections::HashSet;

/// Dimensions of a tensor.
const DIMENSIONS_MAX: u32 = 4;
/// Far more than any model has: models of a trillion weights have a few thousand.
const TENSORS_MAX: u64 = 1 << 16;

/// A tensor's entry before its data is looked up.
struct Entry<'a> {
    name: &'a str,
    ty: SourceType,
    shape: Vec<usize>,
    offset: u64,
}

/// Reads `count` entries and finds their data, which begins at the next multiple of `alignment`.
pub(super) fn read_tensors<'a>(
    cursor: &mut Cursor<'a>,
    count: u64,
    alignment: u64,
    bytes: &'a [u8],
) -> Result<Vec<Tensor<'a>>, Error> {
    if count > TENSORS_MAX {
        return Err(Error::damaged("tensor count", format!("{count} tensors, expected at most {TENSORS_MAX}")));
    }
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..count {
        let entry = read_entry(cursor, index)?;
        if !seen.insert(entry.name) {
            return Err(Error::damaged(format_args!("tensor {}", entry.name), "occurs twice"));
        }
        if !entry.offset.is_multiple_of(alignment) {
            let problem = format!("offset {} is not a multiple of {alignment}", entry.offset);
            return Err(Error::damaged(format_args!("tensor {}", entry.name), problem));
        }
        entries.push(entry);
    }
    drop(seen);
    let start = (cursor.position() as u64).next_multiple_of(alignment).min(bytes.len() as u64);
    let data = &bytes[start as usize..];
    let mut spans = Vec::with_capacity(entries.len());
    let mut tensors = Vec::with_capacity(entries.len());
    for entry in entries {
        let (offset, tensor) = locate(entry, data)?;
        spans.push((offset, offset + tensor.data.len(), tensor.name));
        tensors.push(tensor);
    }
    refuse_overlaps(&mut spans)?;
    Ok(tensors)
}

fn read_entry<'a>(cursor: &mut Cursor<'a>, index: u64) -> Result<Entry<'a>, Error> {
    let name = cursor.string(format_args!("name of tensor {index}"))?;
    let what = format_args!("tensor {name}");
    let dimensions = cursor.u32(what)?;
    if dimensions == 0 || dimensions > DIMENSIONS_MAX {
        let problem = format!("{dimensions} dimensions, expected 1 to {DIMENSIONS_MAX}");
        return Err(Error::damaged(what, problem));
    }
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        shape.push(extent(name, cursor.u64(what)?)?);
    }
    shape.reverse();
    let ty = tensor_type(name, cursor.u32(what)?)?;
    Ok(Entry { name, ty, shape, offset: cursor.u64(what)? })
}

/// The offset in the data section, and the tensor.
fn locate<'a>(entry: Entry<'a>, data: &'a [u8]) -> Result<(usize, Tensor<'a>), Error> {
    let Entry { name, ty, shape, offset } = entry;
    let needed = tensor_bytes(name, ty, &shape)?;
    let start = usize::try_from(offset).ok().filter(|&start| start <= data.len());
    let rest = start.map_or(&data[..0], |start| &data[start..]);
    match (start, rest.get(..needed)) {
        (Some(start), Some(data)) => Ok((start, Tensor { name, ty, shape, data })),
        _ => Err(Error::truncated(format_args!("tensor {name}"), needed as u64, rest.len())),
    }
}
