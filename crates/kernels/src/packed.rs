//! The memory layout of a weight matrix that the kernels stream.
//!
//! Rows come in *blocks* of 8. A block holds its groups one after another, so that one block is one forward read:
//!
//! | part of a group | LB4 | LB8 |
//! | --- | --- | --- |
//! | codes | 128 bytes: vector j of 32 bytes holds the k quads j (low nibbles) and j + 4 (high nibbles) | 256 bytes: vector j holds the k quad j |
//! | scales | 8 x (O, D) as `i16` pairs, or 8 x D | 8 x D |
//!
//! Byte `4 r + i` of a vector is row r, element i of the quad. Behind the blocks stand the row exponents, one `i8` a
//! row. Rows past N are zero.

use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};

/// Rows of one block.
pub const BLOCK_ROWS: usize = 8;

/// The geometry of a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLayout {
    /// N, the number of outputs.
    pub rows: usize,
    /// K, the number of inputs.
    pub cols: usize,
    /// The code format.
    pub format: Format,
}

impl PackedLayout {
    /// Groups of 32 in a row.
    pub fn groups(&self) -> usize {
        self.cols.div_ceil(GROUP)
    }

    /// Blocks of 8 rows.
    pub fn blocks(&self) -> usize {
        self.rows.div_ceil(BLOCK_ROWS)
    }

    /// Bytes of the codes of one group of one block.
    pub fn code_bytes(&self) -> usize {
        match self.format {
            Format::Lb4 { .. } => BLOCK_ROWS * GROUP / 2,
            Format::Lb8 => BLOCK_ROWS * GROUP,
        }
    }

    /// Bytes of one group of one block.
    pub fn group_bytes(&self) -> usize {
        self.code_bytes() + BLOCK_ROWS * if self.has_offset() { 4 } else { 2 }
    }

    /// Bytes of one block.
    pub fn block_bytes(&self) -> usize {
        self.groups() * self.group_bytes()
    }

    /// Bytes of the whole matrix, `None` if that overflows.
    pub fn bytes(&self) -> Option<usize> {
        let blocks = self.groups().checked_mul(self.group_bytes())?.checked_add(BLOCK_ROWS)?;
        self.blocks().checked_mul(blocks)
    }

    /// Whether groups carry an offset.
    pub fn has_offset(&self) -> bool {
        matches!(self.format, Format::Lb4 { has_offset: true, .. })
    }
}

/// A packed matrix: its layout and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix<'a> {
    layout: PackedLayout,
    blocks: &'a [u8],
    exponents: &'a [u8],
}

impl<'a> PackedMatrix<'a> {
    /// A view of packed bytes; `None` if their number is not what the layout needs.
    pub fn new(layout: PackedLayout, bytes: &'a [u8]) -> Option<Self> {
        if layout.bytes()? != bytes.len() {
            return None;
        }
        let (blocks, exponents) = bytes.split_at(layout.blocks() * layout.block_bytes());
        Some(Self { layout, blocks, exponents })
    }

    /// The geometry.
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The bytes of block `block`.
    pub fn block(&self, block: usize) -> &'a [u8] {
        let bytes = self.layout.block_bytes();
        &self.blocks[block * bytes..][..bytes]
    }

    /// The row exponents of block `block`.
    pub fn exponents(&self, block: usize) -> [i8; BLOCK_ROWS] {
        std::array::from_fn(|row| self.exponents[block * BLOCK_ROWS + row] as i8)
    }

    /// One group of one row: its 32 codes, D and O.
    pub fn group(&self, row: usize, group: usize) -> ([i8; GROUP], i16, i16) {
        let bytes = &self.block(row / BLOCK_ROWS)[group * self.layout.group_bytes()..][..self.layout.group_bytes()];
        let (codes, scales) = bytes.split_at(self.layout.code_bytes());
        let lane = row % BLOCK_ROWS;
        let codes = std::array::from_fn(|k| {
            let (quad, element) = (k / 4, k % 4);
            match self.layout.format {
                Format::Lb4 { codebook, .. } => {
                    let byte = codes[(quad % 4) * 32 + lane * 4 + element];
                    codebook[usize::from(if quad < 4 { byte & 15 } else { byte >> 4 })]
                }
                Format::Lb8 => codes[quad * 32 + lane * 4 + element] as i8,
            }
        });
        let word = |at: usize| i16::from_le_bytes([scales[2 * at], scales[2 * at + 1]]);
        if self.layout.has_offset() { (codes, word(2 * lane + 1), word(2 * lane)) } else { (codes, word(lane), 0) }
    }

    /// Row exponent j of `row`.
    pub fn exponent(&self, row: usize) -> i8 {
        self.exponents[row] as i8
    }
}

/// Packs a matrix: appends [`PackedLayout::bytes`] bytes to `out`.
pub fn pack(matrix: &BlockMatrix, out: &mut Vec<u8>) -> PackedLayout {
    let layout = PackedLayout { rows: matrix.rows, cols: matrix.cols, format: matrix.format };
    out.reserve(layout.blocks() * (layout.block_bytes() + BLOCK_ROWS));
    for block in 0..layout.blocks() {
        for group in 0..layout.groups() {
            pack_codes(matrix, block, group, out);
            pack_scales(matrix, block, group, out);
        }
    }
    let padded = layout.blocks() * BLOCK_ROWS;
    out.extend((0..padded).map(|row| matrix.exponent.get(row).map_or(0, |&j| j as u8)));
    layout
}

fn pack_codes(matrix: &BlockMatrix, block: usize, group: usize, out: &mut Vec<u8>) {
    // A row past N has no codes; its scales are zero, so any code gives zero.
    let code = |row: usize, k: usize| -> u8 {
        let at = (row * matrix.groups() + group) * GROUP + k;
        if row < matrix.rows { matrix.codes[at] as u8 } else { 0 }
    };
    let vectors = if matches!(matrix.format, Format::Lb8) { 8 } else { 4 };
    for vector in 0..vectors {
        for row in block * BLOCK_ROWS..(block + 1) * BLOCK_ROWS {
            for element in 0..4 {
                let low = code(row, vector * 4 + element);
                out.push(match matrix.format {
                    Format::Lb4 { .. } => low | code(row, (vector + 4) * 4 + element) << 4,
                    Format::Lb8 => low,
                });
            }
        }
    }
}

fn pack_scales(matrix: &BlockMatrix, block: usize, group: usize, out: &mut Vec<u8>) {
    for row in block * BLOCK_ROWS..(block + 1) * BLOCK_ROWS {
        let at = row * matrix.groups() + group;
        let inside = row < matrix.rows;
        if matches!(matrix.format, Format::Lb4 { has_offset: true, .. }) {
            out.extend(if inside { matrix.offset[at] } else { 0 }.to_le_bytes());
        }
        out.extend(if inside { matrix.scale[at] } else { 0 }.to_le_bytes());
    }
}
