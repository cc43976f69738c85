//! Importing source weights into the contract's block formats (contract section 2), all in f64.

use crate::blocks::{self, SourceGroup};
use crate::matrix::{BlockMatrix, Format, GROUP};
use crate::source::SourceType;

/// Why a tensor cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// NaN or infinite.
    #[error("row {row} holds a weight that is not a finite number: the file is damaged, download it again")]
    NotFinite {
        /// The row, counted from 0.
        row: usize,
    },
    /// Above the format's range.
    #[error("row {row} holds a weight of magnitude {magnitude:e}, above the format's range: the file is damaged")]
    TooLarge {
        /// The row, counted from 0.
        row: usize,
        /// The largest group scale of the row.
        magnitude: f64,
    },
    /// The bytes are not what the shape needs.
    #[error("{actual} bytes, but the shape needs {expected}: the file is damaged, download it again")]
    Bytes {
        /// Bytes given.
        actual: usize,
        /// Bytes of the shape.
        expected: usize,
    },
}

/// How far the imported weights lie from the source's, in steps of the group (the source's own scale, or the
/// recoding's where the source is recoded).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// Weights compared.
    pub weights: u64,
    /// Sum of squared differences, in steps.
    pub squares: f64,
    /// Largest difference, in steps.
    pub largest: f64,
}

impl ImportReport {
    /// Root of the mean squared difference, in steps.
    pub fn rms(&self) -> f64 {
        if self.weights == 0 { 0.0 } else { (self.squares / self.weights as f64).sqrt() }
    }

    /// Adds the report of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.weights += other.weights;
        self.squares += other.squares;
        self.largest = self.largest.max(other.largest);
    }
}

/// The block format that a source type becomes; it depends on the type alone, so row ranges import independently.
pub fn target(ty: SourceType) -> Format {
    let affine = std::array::from_fn(|i| i as i8 - 8);
    match ty {
        SourceType::Q4_0 => Format::Lb4 { codebook: affine, has_offset: false },
        SourceType::Q4_1 | SourceType::Q4_K => Format::Lb4 { codebook: affine, has_offset: true },
        SourceType::Iq4Nl => Format::Lb4 { codebook: blocks::IQ4_NL, has_offset: false },
        SourceType::Mxfp4 => Format::Lb4 { codebook: blocks::MXFP4, has_offset: false },
        _ => Format::Lb8,
    }
}

/// The largest magnitude of a code, `c` of the contract.
fn code_limit(ty: SourceType) -> i64 {
    match ty {
        SourceType::Q4_0 | SourceType::Q4_1 | SourceType::Q4_K => 8,
        SourceType::Mxfp4 => 12,
        SourceType::Q5_0 => 16,
        _ => 127,
    }
}

/// One group on its way in: target codes (indices for LB4), step and offset; or weights still to be coded.
enum Incoming {
    Coded { codes: [i8; GROUP], step: f64, offset: f64 },
    Weights { weights: [f64; GROUP], step: f64 },
}

impl Incoming {
    fn magnitude(&self) -> f64 {
        match self {
            Self::Coded { step, offset, .. } => step.abs().max(offset.abs()),
            Self::Weights { step, .. } => *step,
        }
    }

    fn recoded(weights: [f64; GROUP]) -> Self {
        // `max` drops NaN, so a NaN is carried by the sum.
        let largest = weights.iter().fold(0.0f64, |max, w| max.max(w.abs()));
        let sum: f64 = weights.iter().sum();
        Self::Weights { weights, step: if sum.is_finite() { largest / 127.0 } else { f64::NAN } }
    }

    fn read(ty: SourceType, row: &[u8], cols: usize, group: usize) -> Self {
        let width = ty.block_bytes();
        if ty.block_weights() == 1 {
            let mut weights = [0.0; GROUP];
            let count = GROUP.min(cols - group * GROUP);
            let mut floats = [0.0f32; GROUP];
            blocks::dequantize(ty, &row[group * GROUP * width..][..count * width], &mut floats[..count]);
            weights.iter_mut().zip(floats).for_each(|(w, x)| *w = f64::from(x));
            return Self::recoded(weights);
        }
        let groups = ty.block_weights() / GROUP;
        let source = blocks::decode(ty, &row[group / groups * width..][..width], group % groups);
        Self::from_source(ty, &source, &row[group / groups * width..][..width])
    }

    fn from_source(ty: SourceType, source: &SourceGroup, block: &[u8]) -> Self {
        let (step, offset) = (source.scale[0], source.offset[0]);
        match ty {
            SourceType::Q4_0 => Self::Coded { codes: source.codes.map(|c| c + 8), step, offset },
            SourceType::Q4_1 | SourceType::Q4_K => {
                Self::Coded { codes: source.codes, step, offset: offset + 8.0 * step }
            }
            SourceType::Iq4Nl => Self::Coded { codes: indices(&block[2..]), step, offset },
            SourceType::Mxfp4 => Self::Coded { codes: indices(&block[1..]), step, offset },
            SourceType::Q8_0 if source.codes.contains(&-128) => Self::recoded(source.weights()),
            SourceType::Q8_0 | SourceType::Q5_0 => Self::Coded { codes: source.codes, step, offset },
            _ => Self::recoded(source.weights()),
        }
    }
}

fn indices(nibbles: &[u8]) -> [i8; GROUP] {
    std::array::from_fn(|k| (if k < 16 { nibbles[k] & 15 } else { nibbles[k - 16] >> 4 }) as i8)
}

/// Imports a matrix, or a range of its rows: `bytes` are those rows.
pub fn import(
    ty: SourceType,
    rows: usize,
    cols: usize,
    bytes: &[u8],
) -> Result<(BlockMatrix, ImportReport), ImportError> {
    let row_bytes = cols / ty.block_weights() * ty.block_bytes();
    let expected = row_bytes.saturating_mul(rows);
    if bytes.len() != expected || !cols.is_multiple_of(ty.block_weights()) || cols == 0 {
        return Err(ImportError::Bytes { actual: bytes.len(), expected });
    }
    let format = target(ty);
    let mut matrix = BlockMatrix { rows, cols, format, codes: vec![], scale: vec![], offset: vec![], exponent: vec![] };
    matrix.codes.reserve_exact(rows * matrix.groups() * GROUP);
    let mut report = ImportReport::default();
    for (row, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
        let groups: Vec<_> = (0..matrix.groups()).map(|group| Incoming::read(ty, bytes, cols, group)).collect();
        let exponent = row_exponent(ty, row, &groups)?;
        push_row(&mut matrix, exponent, &groups, &mut report);
    }
    Ok((matrix, report))
}

/// The smallest j for which every scale and offset of the row fits, and for which the row's sum stays below 2^53.
fn row_exponent(ty: SourceType, row: usize, groups: &[Incoming]) -> Result<i8, ImportError> {
    let (c, has_offset) = (code_limit(ty), matches!(target(ty), Format::Lb4 { has_offset: true, .. }));
    let limit = (((1i64 << 31) - 1) / (4064 * (c + i64::from(has_offset)))).min(32767) as f64;
    let mut magnitude = 0.0f64;
    for group in groups {
        if !group.magnitude().is_finite() {
            return Err(ImportError::NotFinite { row });
        }
        magnitude = magnitude.max(group.magnitude());
    }
    let mut j = -64;
    while magnitude > limit * blocks::two(j) {
        j += 1;
    }
    while row_bound(groups, j, c as f64) >= blocks::two(53) {
        j += 1;
    }
    if j > 40 { Err(ImportError::TooLarge { row, magnitude }) } else { Ok(j as i8) }
}

/// `B[n]`, the bound of the row's sum.
fn row_bound(groups: &[Incoming], j: i32, c: f64) -> f64 {
    let up = blocks::two(-j);
    let one = |group: &Incoming| match group {
        Incoming::Coded { step, offset, .. } => (step.abs() * up).ceil() * c + (offset.abs() * up).ceil(),
        Incoming::Weights { step, .. } => (step * up).ceil() * c,
    };
    4096.0 * 4064.0 * groups.iter().map(one).sum::<f64>()
}

fn push_row(matrix: &mut BlockMatrix, exponent: i8, groups: &[Incoming], report: &mut ImportReport) {
    let (s, up) = (blocks::two(i32::from(exponent)), blocks::two(-i32::from(exponent)));
    let has_offset = matches!(matrix.format, Format::Lb4 { has_offset: true, .. });
    for group in groups {
        match group {
            Incoming::Coded { codes, step, offset } => {
                let (d, o) = ((step * up).round_ties_even(), (offset * up).round_ties_even());
                matrix.codes.extend(codes);
                matrix.scale.push(d as i16);
                if has_offset {
                    matrix.offset.push(o as i16);
                }
                let book = |&c: &i8| match matrix.format {
                    Format::Lb4 { codebook, .. } => f64::from(codebook[c as usize]),
                    Format::Lb8 => f64::from(c),
                };
                let difference = |c: &i8| (d * s - step) * book(c) + (o * s - offset);
                note(report, *step, codes.iter().map(difference));
            }
            Incoming::Weights { weights, step } => {
                let d = (step * up).ceil();
                let code = |w: f64| if d == 0.0 { 0.0 } else { (w / (s * d)).round_ties_even().clamp(-127.0, 127.0) };
                matrix.codes.extend(weights.iter().map(|&w| code(w) as i8));
                matrix.scale.push(d as i16);
                note(report, *step, weights.iter().map(|&w| code(w) * (s * d) - w));
            }
        }
    }
    matrix.exponent.push(exponent);
}

fn note(report: &mut ImportReport, step: f64, differences: impl Iterator<Item = f64>) {
    report.weights += GROUP as u64;
    if step == 0.0 {
        return;
    }
    for difference in differences {
        let steps = (difference / step).abs();
        report.squares += steps * steps;
        report.largest = report.largest.max(steps);
    }
}
