//! One row on its way into the contract's format: read all groups, choose the row's power of two, write the integers.

use super::report::ImportReport;
use super::{ImportError, code_limit, target};
use crate::blocks::{self, SourceGroup, two};
use crate::matrix::{BlockMatrix, Format, GROUP};
use crate::source::SourceType;

/// Below this many columns the limit on D and O alone keeps a row's sum below 2^53.
const SHORT_ROW: usize = 32_768;

/// One group as it was read.
struct Incoming {
    /// Target codes (indices for LB4); unused where the group is recoded.
    codes: [i8; GROUP],
    /// d of the contract.
    step: f64,
    /// o of the contract; 0 where the target has none.
    offset: f64,
    /// Where the group is recoded: which of the row's `weights` it is, and the source's scales for the report.
    recoding: Option<(usize, [f64; 2])>,
}

/// Reads and writes rows of one shape, its buffers reused.
pub(super) struct RowImporter {
    ty: SourceType,
    cols: usize,
    /// `c` of the contract.
    code_limit: u32,
    /// The value of each LB4 index.
    codebook: Option<[i8; 16]>,
    has_offset: bool,
    groups: Vec<Incoming>,
    weights: Vec<[f64; GROUP]>,
}

/// Rounds to the nearest integer, ties to even, for magnitudes below 2^51: the sum's unit in the last place is 1.
/// (`round_ties_even` is the same number, by a call of the platform's library where the target has no instruction.)
#[inline(always)]
fn round_even(x: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    (x + MAGIC) - MAGIC
}

impl RowImporter {
    pub(super) fn new(ty: SourceType, cols: usize) -> Self {
        let format = target(ty);
        let codebook = match format {
            Format::Lb4 { codebook, .. } => Some(codebook),
            Format::Lb8 => None,
        };
        let has_offset = format.has_offset();
        Self { ty, cols, code_limit: code_limit(ty), codebook, has_offset, groups: vec![], weights: vec![] }
    }

    /// Reads one row; `row` names it in errors.
    pub(super) fn read(&mut self, bytes: &[u8], row: usize) -> Result<(), ImportError> {
        self.groups.clear();
        self.weights.clear();
        let width = self.ty.block_bytes();
        if self.ty.block_weights() == 1 {
            bytes.chunks(GROUP * width).for_each(|bytes| self.read_floats(bytes));
        } else {
            for block in bytes.chunks_exact(width) {
                (0..self.ty.block_weights() / GROUP).for_each(|group| self.read_group(block, group));
            }
        }
        match self.groups.iter().position(|group| !(group.step.is_finite() && group.offset.is_finite())) {
            Some(group) => Err(self.not_finite(group, row)),
            None => Ok(()),
        }
    }

    fn not_finite(&self, group: usize, row: usize) -> ImportError {
        // Where a scale is not finite, no weight under it is: code 0 times it is NaN.
        let weights = self.groups[group].recoding.map(|(at, _)| &self.weights[at]);
        let within = weights.and_then(|weights| weights.iter().position(|w| !w.is_finite())).unwrap_or(0);
        ImportError::NotFinite { row, column: group * GROUP + within }
    }

    fn read_floats(&mut self, bytes: &[u8]) {
        let mut weights = [0.0; GROUP];
        for (weight, bytes) in weights.iter_mut().zip(bytes.chunks_exact(self.ty.block_bytes())) {
            *weight = f64::from(blocks::float(self.ty, bytes));
        }
        self.recode(weights, [0.0; 2]);
    }

    fn read_group(&mut self, block: &[u8], group: usize) {
        let source = blocks::decode(self.ty, block, group);
        let (step, offset) = (source.scale[0], source.offset[0]);
        let coded = |codes, offset| Incoming { codes, step, offset, recoding: None };
        let incoming = match self.ty {
            SourceType::Q4_0 => coded(source.codes.map(|code| code + 8), 0.0),
            SourceType::Q4_1 | SourceType::Q4_K => coded(source.codes, offset + 8.0 * step),
            SourceType::Iq4Nl => coded(blocks::nibbles(&block[2..]), 0.0),
            SourceType::Mxfp4 => coded(blocks::nibbles(&block[1..]), 0.0),
            SourceType::Q8_0 if !source.codes.contains(&-128) => coded(source.codes, 0.0),
            SourceType::Q5_0 => coded(source.codes, 0.0),
            _ => return self.recode_source(&source),
        };
        self.groups.push(incoming);
    }

    fn recode_source(&mut self, source: &SourceGroup) {
        self.recode(source.weights(), source.scale);
    }

    fn recode(&mut self, weights: [f64; GROUP], scale: [f64; 2]) {
        // Magnitudes compare as their bits, so that NaN counts as the largest.
        let largest = f64::from_bits(weights.iter().fold(0, |max, w| max.max(w.abs().to_bits())));
        let recoding = Some((self.weights.len(), scale));
        self.weights.push(weights);
        self.groups.push(Incoming { codes: [0; GROUP], step: largest / 127.0, offset: 0.0, recoding });
    }

    /// Appends the row that was read last.
    pub(super) fn write(
        &self,
        row: usize,
        matrix: &mut BlockMatrix,
        report: &mut ImportReport,
    ) -> Result<(), ImportError> {
        let exponent = self.exponent(row)?;
        for (at, group) in self.groups.iter().enumerate() {
            match group.recoding {
                None => self.write_coded(group, exponent, matrix, report),
                Some((weights, scale)) => {
                    let count = GROUP.min(self.cols - at * GROUP);
                    write_recoded(&self.weights[weights], group.step, scale, exponent, count, matrix, report);
                }
            }
        }
        matrix.exponent.push(exponent as i8);
        Ok(())
    }

    /// j: the smallest for which every D and O fits and the row's sum stays below 2^53.
    fn exponent(&self, row: usize) -> Result<i32, ImportError> {
        let limit = scale_limit(self.code_limit, self.has_offset) as f64;
        let magnitude = self.groups.iter().fold(0.0f64, |max, group| max.max(group.step.abs()).max(group.offset.abs()));
        let mut j = -64;
        while magnitude > limit * two(j) {
            j += 1;
        }
        while self.cols > SHORT_ROW && self.bound(j) >= 1 << 53 {
            j += 1;
        }
        if j > 40 { Err(ImportError::TooLarge { row, magnitude }) } else { Ok(j) }
    }

    /// `B[n]`: no sum of this row can exceed it.
    fn bound(&self, j: i32) -> u128 {
        let one = |group: &Incoming| {
            let (d, o) = group.integers(j);
            u128::from(d.unsigned_abs()) * u128::from(self.code_limit) + u128::from(o.unsigned_abs())
        };
        4096 * 4064 * self.groups.iter().map(one).sum::<u128>()
    }

    fn write_coded(&self, group: &Incoming, j: i32, matrix: &mut BlockMatrix, report: &mut ImportReport) {
        let (d, o) = group.integers(j);
        matrix.codes.extend_from_slice(&group.codes);
        matrix.scale.push(d);
        if self.has_offset {
            matrix.offset.push(o);
        }
        let slope = f64::from(d) * two(j) - group.step;
        let constant = f64::from(o) * two(j) - group.offset;
        if slope == 0.0 && constant == 0.0 {
            return report.note_exact(GROUP);
        }
        let values = match self.codebook {
            Some(codebook) => group.codes.map(|index| codebook[usize::from(index as u8 & 15)]),
            None => group.codes,
        };
        // A scale of 0 leaves the offset as every weight, so as the largest.
        let step = if group.step == 0.0 { group.offset / 127.0 } else { group.step };
        report.note_affine(&values, slope, constant, step.abs());
    }
}

impl Incoming {
    /// D and O under the row scale 2^j. The caller's j makes both fit.
    #[inline(always)]
    fn integers(&self, j: i32) -> (i16, i16) {
        let up = two(-j);
        match self.recoding {
            Some(_) => ((self.step * up).ceil() as i16, 0),
            None => (round_even(self.step * up) as i16, round_even(self.offset * up) as i16),
        }
    }
}

/// `L` of the contract: the largest |D| and |O|, for which a group's integer fits an i32.
pub(super) fn scale_limit(code_limit: u32, has_offset: bool) -> i64 {
    (((1i64 << 31) - 1) / (4064 * (i64::from(code_limit) + i64::from(has_offset)))).min(32_767)
}

fn write_recoded(
    weights: &[f64; GROUP],
    step: f64,
    scale: [f64; 2],
    j: i32,
    count: usize,
    matrix: &mut BlockMatrix,
    report: &mut ImportReport,
) {
    let d = (step * two(-j)).ceil();
    matrix.scale.push(d as i16);
    if d == 0.0 {
        // The group's weights are all 0.
        matrix.codes.extend_from_slice(&[0; GROUP]);
        return report.note_exact(count);
    }
    let scaled = two(j) * d;
    let (mut codes, mut differences) = ([0i8; GROUP], [0.0; GROUP]);
    for k in 0..GROUP {
        let code = round_even(weights[k] / scaled).clamp(-127.0, 127.0);
        codes[k] = code as i32 as i8;
        differences[k] = code * scaled - weights[k];
    }
    matrix.codes.extend_from_slice(&codes);
    let steps = scale.map(|scale| if scale == 0.0 { step } else { scale.abs() });
    report.note_each(&differences, steps, count);
}
