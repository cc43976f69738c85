//! Tiles: what a plane's buffer was loaded with, and how it becomes the array that the kernels multiply by.

use lockstep_arith::matrix::{Format as WeightFormat, GROUP};
use lockstep_kernels::Kernels;
use lockstep_kernels::dense::{DENSE_ROWS, dense_index};
use lockstep_kernels::packed::{PackedLayout, pack_with};
use lockstep_machine::inst::operand::{Half, TileKind};

use crate::half;
use crate::value::{Bytes, LANES, ValueError};

/// What was loaded since the last install, output by output.
pub(crate) struct Buffer {
    lanes: usize,
    kernels: Kernels,
    codebook: [i8; 16],
    /// `[output][lane]`: codes of one byte.
    codes: Vec<u8>,
    /// Outputs whose codes were loaded whole since the last install; the codes of others may be old.
    fresh: [bool; LANES],
    stale: bool,
    /// `[output][input]`: numbers of two bytes, `lanes / 2` inputs; made when first used.
    numbers: Vec<i16>,
    scales: Vec<Bytes>,
    offsets: Option<bool>,
}

/// What the activations multiply.
pub(crate) enum Array {
    Empty,
    /// One tile of LB8 or two of LB4, packed for the kernels.
    Block {
        kind: TileKind,
        kernels: Kernels,
        layout: PackedLayout,
        halves: Vec<Vec<u8>>,
    },
    /// INT8, keys, or values.
    Dense {
        kind: TileKind,
        pairs: usize,
        numbers: Vec<i16>,
        largest: i32,
    },
    /// `[input][output]`, in units of 2^-24.
    Fp16 {
        numbers: Vec<i64>,
    },
}

impl Buffer {
    pub(crate) fn new(lanes: usize, kernels: Kernels) -> Self {
        Self {
            lanes,
            kernels,
            codebook: [0; 16],
            codes: Vec::new(),
            fresh: [false; LANES],
            stale: false,
            numbers: Vec::new(),
            scales: Vec::new(),
            offsets: None,
        }
    }

    /// What was loaded becomes an array, which may take the memory of the old one; the buffer is then empty.
    pub(crate) fn install(&mut self, kind: TileKind, old: Array) -> Result<Array, ValueError> {
        let array = match kind {
            TileKind::Lb8 | TileKind::Lb4 => self.block(kind)?,
            TileKind::Int8 => self.dense_bytes(old),
            TileKind::Fp16 => self.half_array()?,
            TileKind::Wide12 | TileKind::Wide25 => self.dense_numbers(kind),
        };
        self.clear();
        Ok(array)
    }

    /// Takes a vector of a tile of bytes: one output (by row) or one input.
    pub(crate) fn load(&mut self, by_row: bool, vector: usize, bytes: &Bytes) {
        let lanes = self.lanes;
        self.codes.resize(lanes * lanes, 0);
        if by_row {
            self.fresh[vector] = true;
            self.codes[vector * lanes..][..lanes].copy_from_slice(&bytes[..lanes]);
        } else {
            self.empty_the_rest();
            for (output, byte) in bytes[..lanes].iter().enumerate() {
                self.codes[output * lanes + vector] = *byte;
            }
        }
    }

    /// What was not loaded since the last install counts as 0: old codes go, where nothing has replaced them.
    fn empty_the_rest(&mut self) {
        self.codes.resize(self.lanes * self.lanes, 0);
        if !std::mem::take(&mut self.stale) {
            return;
        }
        for (codes, fresh) in self.codes.chunks_exact_mut(self.lanes).zip(self.fresh) {
            if !fresh {
                codes.fill(0);
            }
        }
    }

    /// Takes a vector of a tile of 16-bit numbers.
    pub(crate) fn load_pair(&mut self, by_row: bool, half: Half, vector: usize, low: &Bytes, high: &Bytes) {
        let inputs = self.lanes / 2;
        self.numbers.resize(self.lanes * inputs, 0);
        let number = |lane: usize| i16::from_le_bytes([low[lane], high[lane]]);
        if by_row {
            let first = if half == Half::High { inputs } else { 0 };
            for (input, to) in self.numbers[vector * inputs..][..inputs].iter_mut().enumerate() {
                *to = number(first + input);
            }
        } else {
            for output in 0..self.lanes {
                self.numbers[output * inputs + vector] = number(output);
            }
        }
    }

    /// Takes a scale vector.
    pub(crate) fn load_scale(&mut self, offsets: bool, vector: usize, bytes: &Bytes) -> Result<(), ValueError> {
        if *self.offsets.get_or_insert(offsets) != offsets {
            return Err(ValueError::range("scales with and without offsets in one tile".to_owned()));
        }
        if self.scales.len() <= vector {
            self.scales.resize(vector + 1, [0; LANES]);
        }
        self.scales[vector] = *bytes;
        Ok(())
    }

    pub(crate) fn set_codebook(&mut self, bytes: &Bytes) {
        self.codebook = std::array::from_fn(|at| bytes[at] as i8);
    }

    fn block(&mut self, kind: TileKind) -> Result<Array, ValueError> {
        let lanes = self.lanes;
        self.empty_the_rest();
        let offsets = self.offsets.unwrap_or(false);
        let groups = lanes.div_ceil(GROUP);
        self.scales
            .resize(groups * 2 * (1 + usize::from(offsets)) * (1 + usize::from(kind == TileKind::Lb4)), [0; LANES]);
        // Fast kernels know the ramp -8..=7 and tables without offsets; plain code runs the rest.
        let format = match kind {
            TileKind::Lb8 if offsets => return Err(ValueError::range("lb8 tiles have no offsets".to_owned())),
            TileKind::Lb8 => WeightFormat::Lb8,
            _ => WeightFormat::Lb4 { codebook: self.codebook, has_offset: offsets },
        };
        let ramp: [i8; 16] = std::array::from_fn(|at| at as i8 - 8);
        let like_ramp = self.codebook[0] == -8 && self.codebook[15] == 7;
        let plain = self.codebook != ramp && (offsets || like_ramp);
        let kernels = if plain { Kernels::scalar() } else { self.kernels };
        let layout = PackedLayout { rows: lanes, cols: groups * GROUP, format };
        let halves = if kind == TileKind::Lb4 { 2 } else { 1 };
        let mut packed = Vec::with_capacity(halves);
        for half in 0..halves {
            let scales = self.scales(half, offsets);
            self.check_bound(kind, &scales)?;
            packed.push(self.pack(kind, half, &scales, &layout));
        }
        Ok(Array::Block { kind, kernels, layout, halves: packed })
    }

    /// D and O of all groups of a half: `[group][output]`.
    fn scales(&self, half: usize, offsets: bool) -> Vec<[(i16, i16); LANES]> {
        let groups = self.lanes.div_ceil(GROUP);
        let first = half * groups * 2 * (1 + usize::from(offsets));
        let number =
            |vector: usize, row: usize| i16::from_le_bytes([self.scales[vector][row], self.scales[vector + 1][row]]);
        let of_group = |group: usize| {
            let (d, o) = (first + 2 * group, first + 2 * (groups + group));
            std::array::from_fn(|row| (number(d, row), if offsets { number(o, row) } else { 0 }))
        };
        (0..groups).map(of_group).collect()
    }

    /// The group's integers must fit an i32, as the format promises: no code, D or O is outside its range.
    fn check_bound(&self, kind: TileKind, scales: &[[(i16, i16); LANES]]) -> Result<(), ValueError> {
        let lb8 = kind == TileKind::Lb8;
        let largest = self.codebook.iter().map(|code| i64::from(code.unsigned_abs())).max().unwrap_or(0);
        for row in 0..self.lanes {
            let codes = &self.codes[row * self.lanes..][..self.lanes];
            if lb8 && codes.contains(&0x80) {
                return Err(ValueError::range(format!("output {row} of an lb8 tile has a code of -128")));
            }
            for (group, (codes, scales)) in codes.chunks(GROUP).zip(scales).enumerate() {
                let (d, o) = scales[row];
                if d == 0 && o == 0 {
                    continue;
                }
                let sum = if lb8 {
                    codes.iter().map(|code| i64::from((*code as i8).unsigned_abs())).sum()
                } else {
                    largest * GROUP as i64
                };
                let most = i64::from(d).abs() * sum * 127 + i64::from(o).abs() * 127 * GROUP as i64;
                if most > i64::from(i32::MAX) || d == i16::MIN || o == i16::MIN {
                    return Err(ValueError::range(format!("output {row}, group {group}: D {d}, O {o} are too large")));
                }
            }
        }
        Ok(())
    }

    fn pack(&self, kind: TileKind, half: usize, scales: &[[(i16, i16); LANES]], layout: &PackedLayout) -> Vec<u8> {
        let lanes = self.lanes;
        let mask = if kind == TileKind::Lb8 { u32::MAX } else { 0x0f0f_0f0f };
        let quad = |row: usize, group: usize, quad: usize| {
            let at = group * GROUP + 4 * quad;
            if at >= lanes {
                return 0;
            }
            let bytes = &self.codes[row * lanes + at..][..4];
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> (4 * half) & mask
        };
        let mut packed = Vec::new();
        pack_with(layout, quad, |row, group| scales[group][row], |_| 0, &mut packed);
        packed
    }

    /// The buffer's INT8 tile as the kernels have it, in the old array's memory.
    fn dense_bytes(&mut self, old: Array) -> Array {
        let lanes = self.lanes;
        self.empty_the_rest();
        let mut numbers = match old {
            Array::Dense { kind: TileKind::Int8, numbers, .. } => numbers,
            _ => vec![0; lanes * lanes],
        };
        // Blocks of outputs, pair by pair of inputs: see `dense_index`.
        let blocks = self.codes.chunks_exact(DENSE_ROWS * lanes);
        for (codes, numbers) in blocks.zip(numbers.chunks_exact_mut(DENSE_ROWS * lanes)) {
            for (row, codes) in codes.chunks_exact(lanes).enumerate() {
                for (to, two) in numbers[2 * row..].chunks_mut(2 * DENSE_ROWS).zip(codes.chunks_exact(2)) {
                    (to[0], to[1]) = (i16::from(two[0] as i8), i16::from(two[1] as i8));
                }
            }
        }
        Array::Dense { kind: TileKind::Int8, pairs: lanes / 2, numbers, largest: 128 }
    }

    fn dense_numbers(&mut self, kind: TileKind) -> Array {
        let inputs = self.lanes / 2;
        self.numbers.resize(self.lanes * inputs, 0);
        let pairs = inputs / 2;
        let mut numbers = vec![0; self.lanes * inputs];
        for (row, from) in self.numbers.chunks(inputs).enumerate() {
            for (k, number) in from.iter().enumerate() {
                numbers[dense_index(pairs, row, k)] = *number;
            }
        }
        let largest = numbers.iter().map(|number| i32::from(*number).abs()).max().unwrap_or(0);
        Array::Dense { kind, pairs, numbers, largest }
    }

    fn half_array(&mut self) -> Result<Array, ValueError> {
        let inputs = self.lanes / 2;
        self.numbers.resize(self.lanes * inputs, 0);
        let mut numbers = vec![0; self.lanes * inputs];
        for (row, from) in self.numbers.chunks(inputs).enumerate() {
            for (k, bits) in from.iter().enumerate() {
                let message = || ValueError::range(format!("output {row}, input {k} of an fp16 tile is not finite"));
                numbers[k * self.lanes + row] = half::units(*bits as u16).ok_or_else(message)?;
            }
        }
        Ok(Array::Fp16 { numbers })
    }

    /// Forgets what was loaded.
    pub(crate) fn clear(&mut self) {
        self.fresh.fill(false);
        self.stale = true;
        self.numbers.fill(0);
        self.scales.clear();
        self.offsets = None;
    }
}
