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
    #[inline]
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The bytes of block `block`.
    #[inline]
    pub fn block(&self, block: usize) -> &'a [u8] {
        let bytes = self.layout.block_bytes();
        &self.blocks[block * bytes..][..bytes]
    }

    /// The row exponents of block `block`, a byte each, the first row's lowest.
    #[inline]
    pub fn exponents(&self, block: usize) -> u64 {
        let (blocks, _) = self.exponents.as_chunks::<BLOCK_ROWS>();
        u64::from_le_bytes(blocks[block])
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
    let at = |row: usize, group: usize| row * matrix.groups() + group;
    let quad = |row: usize, group: usize, quad: usize| {
        let codes = &matrix.codes[at(row, group) * GROUP + 4 * quad..][..4];
        u32::from_le_bytes([codes[0] as u8, codes[1] as u8, codes[2] as u8, codes[3] as u8])
    };
    let scale = |row: usize, group: usize| {
        (matrix.scale[at(row, group)], matrix.offset.get(at(row, group)).copied().unwrap_or(0))
    };
    pack_with(&layout, quad, scale, |row| matrix.exponent[row], out);
    layout
}

/// Packs what closures tell: 4 codes (row, group, quad; as bytes, lowest k first), D and O (row, group), and j (row).
/// Appends [`PackedLayout::bytes`] bytes to `out`.
pub fn pack_with(
    layout: &PackedLayout,
    quad: impl Fn(usize, usize, usize) -> u32,
    scale: impl Fn(usize, usize) -> (i16, i16),
    exponent: impl Fn(usize) -> i8,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.reserve(layout.blocks() * (layout.block_bytes() + BLOCK_ROWS));
    out.resize(start + layout.blocks() * layout.block_bytes(), 0);
    let lb8 = matches!(layout.format, Format::Lb8);
    for (index, bytes) in out[start..].chunks_exact_mut(layout.group_bytes()).enumerate() {
        let (block, group) = (index / layout.groups(), index % layout.groups());
        // A row past N has no codes; its scales are zero, so any code gives zero.
        let rows = layout.rows.saturating_sub(block * BLOCK_ROWS).min(BLOCK_ROWS);
        let (codes, scales) = bytes.split_at_mut(layout.code_bytes());
        for (vector, codes) in codes.chunks_exact_mut(4 * BLOCK_ROWS).enumerate() {
            for (row, bytes) in codes.chunks_exact_mut(4).take(rows).enumerate() {
                let code = |q| quad(block * BLOCK_ROWS + row, group, q);
                let four = if lb8 { code(vector) } else { code(vector) | code(vector + 4) << 4 };
                bytes.copy_from_slice(&four.to_le_bytes());
            }
        }
        let width = scales.len() / BLOCK_ROWS;
        for (row, bytes) in scales.chunks_exact_mut(width).take(rows).enumerate() {
            let (d, o) = scale(block * BLOCK_ROWS + row, group);
            bytes[..2].copy_from_slice(&if width == 4 { o } else { d }.to_le_bytes());
            bytes[width - 2..].copy_from_slice(&d.to_le_bytes());
        }
    }
    let padded = layout.blocks() * BLOCK_ROWS;
    out.extend((0..padded).map(|row| if row < layout.rows { exponent(row) as u8 } else { 0 }));
}
