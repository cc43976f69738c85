//! Weight matrices in the contract's integer block formats (contract section 2).

/// Columns of one group: the run of a row that shares one scale (and offset).
pub const GROUP: usize = 32;

/// How the codes of a [`BlockMatrix`] are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 4-bit indices into a codebook of 16 values; `has_offset` says whether groups carry an offset `O`.
    Lb4 {
        /// The value of each 4-bit index.
        codebook: [i8; 16],
        /// Whether every group has an offset beside its scale.
        has_offset: bool,
    },
    /// 8-bit codes in -127..=127; groups have no offset.
    Lb8,
}

impl Format {
    /// 4 bits, the codes being -8 to 7, without offsets.
    pub const LB4: Self =
        Self::Lb4 { codebook: [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7], has_offset: false };

    /// Its name: `lb4`, `lb4 with offsets` or `lb8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lb4 { has_offset: false, .. } => "lb4",
            Self::Lb4 { has_offset: true, .. } => "lb4 with offsets",
            Self::Lb8 => "lb8",
        }
    }

    /// Bits of a weight: its code, and its part of the group's scale and offset.
    pub fn bits_per_weight(self) -> f64 {
        let of_group = if self.has_offset() { 2.0 } else { 1.0 } * 16.0 / GROUP as f64;
        of_group + if matches!(self, Self::Lb8) { 8.0 } else { 4.0 }
    }

    /// Whether groups carry an offset.
    pub fn has_offset(self) -> bool {
        matches!(self, Self::Lb4 { has_offset: true, .. })
    }
}

/// A weight matrix of `rows` outputs and `cols` inputs:
/// `w[n,k] = 2^exponent[n] * (scale[n,g] * code[n,k] + offset[n,g])` with `g = k / 32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMatrix {
    /// N, the number of outputs.
    pub rows: usize,
    /// K, the number of inputs, without padding.
    pub cols: usize,
    /// The code format.
    pub format: Format,
    /// `rows x groups x 32` codes, K padded: the codebook *index* (0..=15) for LB4, the code itself for LB8.
    pub codes: Vec<i8>,
    /// `rows x groups` group scales D, never -32768.
    pub scale: Vec<i16>,
    /// `rows x groups` group offsets O, never -32768; empty where the format has none.
    pub offset: Vec<i16>,
    /// j of each row, in -64..=40: the row scale is `2^j`.
    pub exponent: Vec<i8>,
}

impl BlockMatrix {
    /// Groups of 32 in a row, the last one padded.
    pub fn groups(&self) -> usize {
        self.cols.div_ceil(GROUP)
    }
    /// Appends the rows of `below`, which has the same columns and format.
    pub fn append(&mut self, below: Self) {
        assert!(self.cols == below.cols && self.format == below.format, "rows of different matrices");
        self.rows += below.rows;
        self.codes.extend(below.codes);
        self.scale.extend(below.scale);
        self.offset.extend(below.offset);
        self.exponent.extend(below.exponent);
    }
}
