//! Importing source weights into the contract's block formats (contract section 2), all in f64.
//!
//! In: the bytes of a matrix, or of some of its rows. Out: a [`BlockMatrix`] and how far it lies from the source. What
//! a row becomes depends on that row and the source type alone, so rows can be imported in any ranges, by any
//! number of threads, and joined with [`BlockMatrix::append`]. Start reading at [`import_rows`], then `row`.

mod report;
mod row;

use std::ops::Range;

use crate::blocks;
use crate::matrix::{BlockMatrix, Format, GROUP};
use crate::source::SourceType;
pub use report::ImportReport;
use row::RowImporter;

/// Why a tensor cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// NaN or infinite.
    #[error(
        "row {row} holds a weight that is not a finite number in column {column}: the file is damaged, download it again"
    )]
    NotFinite {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
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
        /// Bytes of the shape; `usize::MAX` where they cannot be counted.
        expected: usize,
    },
    /// A row is not a whole number of blocks.
    #[error("rows of {cols} weights, but {} weights make a block: the file is damaged, download it again", ty.block_weights())]
    Columns {
        /// Weights in a row.
        cols: usize,
        /// The source's format.
        ty: SourceType,
    },
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

/// The largest magnitude of a code, `c` of the contract; by type, as [`target`] is.
pub fn code_limit(ty: SourceType) -> u32 {
    match ty {
        SourceType::Q4_0 | SourceType::Q4_1 | SourceType::Q4_K => 8,
        SourceType::Mxfp4 => 12,
        SourceType::Q5_0 => 16,
        _ => 127,
    }
}

/// Imports a whole matrix.
pub fn import(
    ty: SourceType,
    rows: usize,
    cols: usize,
    bytes: &[u8],
) -> Result<(BlockMatrix, ImportReport), ImportError> {
    import_rows(ty, 0..rows, cols, bytes)
}

/// Imports the rows `rows` of a matrix: `bytes` holds those rows only, `rows.start` serves error messages.
pub fn import_rows(
    ty: SourceType,
    rows: Range<usize>,
    cols: usize,
    bytes: &[u8],
) -> Result<(BlockMatrix, ImportReport), ImportError> {
    if cols == 0 || !cols.is_multiple_of(ty.block_weights()) {
        return Err(ImportError::Columns { cols, ty });
    }
    let row_bytes = (cols / ty.block_weights()).saturating_mul(ty.block_bytes());
    let expected = row_bytes.saturating_mul(rows.len());
    if bytes.len() != expected {
        return Err(ImportError::Bytes { actual: bytes.len(), expected });
    }
    // From here on the bytes back the shape: at least a byte for 32 codes of a group, so no product below overflows.
    let groups = rows.len() * cols.div_ceil(GROUP);
    let format = target(ty);
    let mut matrix = BlockMatrix {
        rows: rows.len(),
        cols,
        format,
        codes: Vec::with_capacity(groups * GROUP),
        scale: Vec::with_capacity(groups),
        offset: Vec::with_capacity(if format.has_offset() { groups } else { 0 }),
        exponent: Vec::with_capacity(rows.len()),
    };
    let mut report = ImportReport::default();
    let mut importer = RowImporter::new(ty, cols);
    for (row, bytes) in rows.zip(bytes.chunks_exact(row_bytes)) {
        importer.read(bytes, row)?;
        importer.write(row, &mut matrix, &mut report)?;
    }
    Ok((matrix, report))
}
