//! Packed weights: one file that is memory-mapped, written to a temporary name and renamed.
//!
//! Layout: magic, the number of weights, then for each weight a fixed record (kind, geometry, offset, length), then
//! the data, each part at a multiple of 64 bytes.
#![allow(unsafe_code)] // one memory map

use crate::Error;
use lockstep_arith::import::import;
use lockstep_arith::matrix::Format;
use lockstep_kernels::packed::{PackedLayout, PackedMatrix, pack};
use lockstep_models::{BoundWeight, Model, weights::dequantize};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Changes whenever the layout of packed bytes does.
const MAGIC: &[u8; 8] = b"LSPACK01";
const RECORD: usize = 64;

/// A weight as the host reads it.
#[derive(Clone, Debug)]
enum Weight {
    Vector(Vec<f32>),
    Matrix { layout: PackedLayout, start: usize, length: usize },
}

/// All weights of a model, mapped.
#[derive(Debug)]
pub struct PackedWeights {
    map: memmap2::Mmap,
    weights: Vec<Weight>,
}

impl PackedWeights {
    /// Opens `path` if it holds this model's packed weights, else packs them into it. `progress` is called with
    /// (weights done, weights in all) while packing.
    pub fn open_or_pack(
        path: &Path,
        model: &Model<'_>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, Error> {
        if let Ok(weights) = Self::open(path, model) {
            return Ok(weights);
        }
        write_packed(path, model, progress)?;
        Self::open(path, model)
    }

    fn open(path: &Path, model: &Model<'_>) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::file(path, &error))?;
        // SAFETY: the file is private to the cache and replaced only by rename, so the mapped bytes do not change.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|error| Error::file(path, &error))?;
        let damaged = || Error::Cache { path: path.display().to_string() };
        let header = map.get(..16).filter(|header| &header[..8] == MAGIC).ok_or_else(damaged)?;
        let count = u64_at(header, 8) as usize;
        if count != model.graph.weights.len() || map.len() < 16 + count * RECORD {
            return Err(damaged());
        }
        let weights = (0..count)
            .map(|index| read_record(&map, &map[16 + index * RECORD..][..RECORD], &model.graph.weights[index].shape))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(damaged)?;
        Ok(Self { map, weights })
    }

    /// The matrix of a weight.
    pub(crate) fn matrix(&self, index: usize) -> Option<PackedMatrix<'_>> {
        match &self.weights[index] {
            Weight::Matrix { layout, start, length } => PackedMatrix::new(*layout, &self.map[*start..*start + *length]),
            Weight::Vector(_) => None,
        }
    }

    /// The vector of a weight; empty for a matrix.
    pub(crate) fn vector(&self, index: usize) -> &[f32] {
        match &self.weights[index] {
            Weight::Vector(values) => values,
            Weight::Matrix { .. } => &[],
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn read_record(map: &[u8], record: &[u8], shape: &[usize]) -> Option<Weight> {
    let (start, length) = (u64_at(record, 24) as usize, u64_at(record, 32) as usize);
    let data = map.get(start..start.checked_add(length)?)?;
    let (rows, cols) = (u64_at(record, 8) as usize, u64_at(record, 16) as usize);
    if record[0] == 0 {
        let values = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>();
        return (shape == [values.len()]).then_some(Weight::Vector(values));
    }
    let codebook = std::array::from_fn(|i| record[40 + i] as i8);
    let format = match record[0] {
        1 => Format::Lb4 { codebook, has_offset: false },
        2 => Format::Lb4 { codebook, has_offset: true },
        _ => Format::Lb8,
    };
    let layout = PackedLayout { rows, cols, format };
    (shape == [rows, cols] && layout.bytes() == Some(length)).then_some(Weight::Matrix { layout, start, length })
}

/// One weight, packed: its record without the offset, and its bytes.
fn pack_weight(weight: &BoundWeight<'_>) -> Result<([u8; RECORD], Vec<u8>), Error> {
    let mut record = [0u8; RECORD];
    let [rows, cols] = weight.tensor.shape[..] else {
        let values = dequantize(weight)?;
        record[8..16].copy_from_slice(&(values.len() as u64).to_le_bytes());
        return Ok((record, values.iter().flat_map(|x| x.to_le_bytes()).collect()));
    };
    let tensor = &weight.tensor;
    let (matrix, _) = import(tensor.ty, rows, cols, tensor.data)
        .map_err(|source| Error::Import { tensor: tensor.name.to_string(), source })?;
    let mut bytes = Vec::new();
    let layout = pack(&matrix, &mut bytes);
    match layout.format {
        Format::Lb4 { codebook, has_offset } => {
            record[0] = 1 + u8::from(has_offset);
            record[40..56].copy_from_slice(&codebook.map(|c| c as u8));
        }
        Format::Lb8 => record[0] = 3,
    }
    record[8..16].copy_from_slice(&(rows as u64).to_le_bytes());
    record[16..24].copy_from_slice(&(cols as u64).to_le_bytes());
    Ok((record, bytes))
}

/// A weight's record and bytes, once a worker has made them.
type Packed = Mutex<Option<Result<([u8; RECORD], Vec<u8>), Error>>>;

fn write_packed(path: &Path, model: &Model<'_>, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<(), Error> {
    let count = model.weights.len();
    let results: Vec<Packed> = (0..count).map(|_| Mutex::new(None)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(weight) = model.weights.get(index) else { return };
            let packed = pack_weight(weight);
            *results[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(packed);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, count);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let packed: Vec<_> = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        .collect::<Result<_, _>>()?;
    write_file(path, &packed).map_err(|error| Error::file(path, &error))
}

fn write_file(path: &Path, packed: &[([u8; RECORD], Vec<u8>)]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = write_to(&temporary, packed).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_to(path: &Path, packed: &[([u8; RECORD], Vec<u8>)]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(MAGIC)?;
    out.write_all(&(packed.len() as u64).to_le_bytes())?;
    let mut at = (16 + packed.len() * RECORD).next_multiple_of(64);
    for (record, bytes) in packed {
        let mut record = *record;
        record[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        record[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.write_all(&record)?;
        at = (at + bytes.len()).next_multiple_of(64);
    }
    let mut written = 16 + packed.len() * RECORD;
    for (_, bytes) in packed {
        out.write_all(&[0; 64][..written.next_multiple_of(64) - written])?;
        out.write_all(bytes)?;
        written = written.next_multiple_of(64) + bytes.len();
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}
