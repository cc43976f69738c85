//! A matrix plane: its buffer, its array, and its rows of accumulators.
//!
//! Activations that meet one array are collected and multiplied together, through `kernels`, when the first of their
//! rows is drained or the array is replaced: the sums are exact, so when they are made does not matter.

use lockstep_arith::matrix::{Format as WeightFormat, GROUP};
use lockstep_kernels::Kernels;
use lockstep_kernels::activations::{Activations, GroupScale};
use lockstep_kernels::dense::{DENSE_ROWS, DenseMatrix, dense_index};
use lockstep_kernels::packed::{BLOCK_ROWS, PackedLayout, PackedMatrix, pack_with};
use lockstep_machine::inst::operand::{Half, TileKind};

use crate::half::{self, HALF_UNITS};
use crate::value::{Bytes, LANES, ValueError, WideLanes};

/// Largest magnitude of a query's code, and of a value's.
const TWELVE_BITS: i32 = 2047;
/// Largest weight of a value.
const WEIGHT_MAX: i32 = 1 << 24;
/// Largest scale of an activation.
const SCALE_MAX: u16 = 4096;
/// Activations that one row may take: 2^16 of less than 2^47 each stay within an i64.
const ACTIVATIONS_MAX: u32 = 1 << 16;

/// What was loaded since the last install, output by output.
struct Buffer {
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
enum Array {
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

/// Activations that wait to be multiplied: a product is added to its row, shifted.
#[derive(Default)]
struct Batch {
    rows: Vec<(u16, u32)>,
    codes: Vec<i8>,
    scales: Vec<GroupScale>,
    numbers: Vec<i16>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    pending: bool,
    /// Nothing was added yet: what the row holds does not count.
    empty: bool,
    half: bool,
    activations: u32,
}

pub(crate) struct Plane {
    lanes: usize,
    kernels: Kernels,
    buffer: Buffer,
    codebook: [i8; 16],
    array: Array,
    batches: [Batch; 2],
    rows: Vec<Row>,
    sums: Vec<WideLanes>,
    half_sums: Vec<Option<Box<[i128; LANES]>>>,
    products: Vec<i32>,
    integers: Vec<i64>,
}

impl Plane {
    pub(crate) fn new(lanes: usize, rows: usize, kernels: Kernels) -> Self {
        Self {
            lanes,
            kernels,
            buffer: Buffer {
                codes: Vec::new(),
                fresh: [false; LANES],
                stale: false,
                numbers: Vec::new(),
                scales: Vec::new(),
                offsets: None,
            },
            codebook: [0; 16],
            array: Array::Empty,
            batches: [Batch::default(), Batch::default()],
            rows: vec![Row::default(); rows],
            sums: vec![[0; LANES]; rows],
            half_sums: vec![None; rows],
            products: Vec::new(),
            integers: Vec::new(),
        }
    }

    /// Forgets everything. Sums stay: a row's first activation clears them, and none is drained before.
    pub(crate) fn reset(&mut self) {
        self.clear_buffer();
        self.array = Array::Empty;
        self.batches.iter_mut().for_each(Batch::clear);
        self.rows.fill(Row::default());
    }

    fn clear_buffer(&mut self) {
        self.buffer.fresh.fill(false);
        self.buffer.stale = true;
        self.buffer.numbers.fill(0);
        self.buffer.scales.clear();
        self.buffer.offsets = None;
    }

    /// Takes a vector of a tile of bytes: one output (by row) or one input.
    pub(crate) fn load(&mut self, by_row: bool, vector: usize, bytes: &Bytes) {
        let lanes = self.lanes;
        self.buffer.codes.resize(lanes * lanes, 0);
        if by_row {
            self.buffer.fresh[vector] = true;
            self.buffer.codes[vector * lanes..][..lanes].copy_from_slice(&bytes[..lanes]);
        } else {
            self.empty_the_rest();
            for (output, byte) in bytes[..lanes].iter().enumerate() {
                self.buffer.codes[output * lanes + vector] = *byte;
            }
        }
    }

    /// What was not loaded since the last install counts as 0: old codes go, where nothing has replaced them.
    fn empty_the_rest(&mut self) {
        self.buffer.codes.resize(self.lanes * self.lanes, 0);
        if !std::mem::take(&mut self.buffer.stale) {
            return;
        }
        for (codes, fresh) in self.buffer.codes.chunks_exact_mut(self.lanes).zip(self.buffer.fresh) {
            if !fresh {
                codes.fill(0);
            }
        }
    }

    /// Takes a vector of a tile of 16-bit numbers.
    pub(crate) fn load_pair(&mut self, by_row: bool, half: Half, vector: usize, low: &Bytes, high: &Bytes) {
        let inputs = self.lanes / 2;
        self.buffer.numbers.resize(self.lanes * inputs, 0);
        let number = |lane: usize| i16::from_le_bytes([low[lane], high[lane]]);
        if by_row {
            let first = if half == Half::High { inputs } else { 0 };
            for (input, to) in self.buffer.numbers[vector * inputs..][..inputs].iter_mut().enumerate() {
                *to = number(first + input);
            }
        } else {
            for output in 0..self.lanes {
                self.buffer.numbers[output * inputs + vector] = number(output);
            }
        }
    }

    /// Takes a scale vector.
    pub(crate) fn load_scale(&mut self, offsets: bool, vector: usize, bytes: &Bytes) -> Result<(), ValueError> {
        if *self.buffer.offsets.get_or_insert(offsets) != offsets {
            return Err(ValueError::range("scales with and without offsets in one tile".to_owned()));
        }
        if self.buffer.scales.len() <= vector {
            self.buffer.scales.resize(vector + 1, [0; LANES]);
        }
        self.buffer.scales[vector] = *bytes;
        Ok(())
    }

    pub(crate) fn set_codebook(&mut self, bytes: &Bytes) {
        self.codebook = std::array::from_fn(|at| bytes[at] as i8);
    }

    /// The buffer becomes the array, and is empty.
    pub(crate) fn install(&mut self, kind: TileKind) -> Result<(), ValueError> {
        self.flush();
        self.array = match kind {
            TileKind::Lb8 | TileKind::Lb4 => self.block(kind)?,
            TileKind::Int8 => self.dense_bytes(),
            TileKind::Fp16 => self.half_array()?,
            TileKind::Wide12 | TileKind::Wide25 => self.dense_numbers(kind),
        };
        self.clear_buffer();
        Ok(())
    }

    fn block(&mut self, kind: TileKind) -> Result<Array, ValueError> {
        let lanes = self.lanes;
        self.empty_the_rest();
        let offsets = self.buffer.offsets.unwrap_or(false);
        let groups = lanes.div_ceil(GROUP);
        self.buffer
            .scales
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
        let number = |vector: usize, row: usize| {
            i16::from_le_bytes([self.buffer.scales[vector][row], self.buffer.scales[vector + 1][row]])
        };
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
            let codes = &self.buffer.codes[row * self.lanes..][..self.lanes];
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
            let bytes = &self.buffer.codes[row * lanes + at..][..4];
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> (4 * half) & mask
        };
        let mut packed = Vec::new();
        pack_with(layout, quad, |row, group| scales[group][row], |_| 0, &mut packed);
        packed
    }

    /// The buffer's INT8 tile as the kernels have it, in the old array's memory.
    fn dense_bytes(&mut self) -> Array {
        let lanes = self.lanes;
        self.empty_the_rest();
        let mut numbers = match std::mem::replace(&mut self.array, Array::Empty) {
            Array::Dense { kind: TileKind::Int8, numbers, .. } => numbers,
            _ => vec![0; lanes * lanes],
        };
        // Blocks of outputs, pair by pair of inputs: see `dense_index`.
        let blocks = self.buffer.codes.chunks_exact(DENSE_ROWS * lanes);
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
        self.buffer.numbers.resize(self.lanes * inputs, 0);
        let pairs = inputs / 2;
        let mut numbers = vec![0; self.lanes * inputs];
        for (row, from) in self.buffer.numbers.chunks(inputs).enumerate() {
            for (k, number) in from.iter().enumerate() {
                numbers[dense_index(pairs, row, k)] = *number;
            }
        }
        let largest = numbers.iter().map(|number| i32::from(*number).abs()).max().unwrap_or(0);
        Array::Dense { kind, pairs, numbers, largest }
    }

    fn half_array(&mut self) -> Result<Array, ValueError> {
        let inputs = self.lanes / 2;
        self.buffer.numbers.resize(self.lanes * inputs, 0);
        let mut numbers = vec![0; self.lanes * inputs];
        for (row, from) in self.buffer.numbers.chunks(inputs).enumerate() {
            for (k, bits) in from.iter().enumerate() {
                let message = || ValueError::range(format!("output {row}, input {k} of an fp16 tile is not finite"));
                numbers[k * self.lanes + row] = half::units(*bits as u16).ok_or_else(message)?;
            }
        }
        Ok(Array::Fp16 { numbers })
    }

    /// Adds a vector's products to a row; `a` are its byte planes, `scale` those of A.
    pub(crate) fn activate(
        &mut self,
        half: Half,
        row: usize,
        first: bool,
        a: &[&Bytes],
        scale: &[&Bytes],
    ) -> Result<(), ValueError> {
        if first {
            self.clear(row);
        }
        let of_half = matches!(self.array, Array::Fp16 { .. });
        let state = &mut self.rows[row];
        if state.activations > 0 && state.half != of_half {
            return Err(ValueError::range(format!("row {row} holds sums of another kind")));
        }
        state.half = of_half;
        state.activations += 1;
        if state.activations > ACTIVATIONS_MAX {
            return Err(ValueError::overflow(&format!("row {row}"), 0));
        }
        match &self.array {
            Array::Empty => Err(ValueError::range("the array holds no tile".to_owned())),
            Array::Block { kind, .. } => {
                let batch = usize::from(*kind == TileKind::Lb4 && half == Half::High);
                self.take_block(batch, row, a, scale)
            }
            Array::Dense { kind, largest, .. } => {
                let (kind, largest) = (*kind, *largest);
                self.take_dense(kind, largest, half, row, a)
            }
            Array::Fp16 { .. } => self.multiply_half(half, row, a),
        }
    }

    /// Empties a row.
    fn clear(&mut self, row: usize) {
        if self.rows[row].pending {
            self.flush();
        }
        self.rows[row] = Row { empty: true, ..Row::default() };
        self.half_sums[row] = None;
    }

    fn take_block(&mut self, batch: usize, row: usize, a: &[&Bytes], scale: &[&Bytes]) -> Result<(), ValueError> {
        let ([a], [low, high]) = (a, scale) else { return Ok(()) };
        let batch = &mut self.batches[batch];
        for group in 0..self.lanes.div_ceil(GROUP) {
            let factor = u16::from_le_bytes([low[GROUP * group], high[GROUP * group]]);
            if factor > SCALE_MAX {
                return Err(ValueError::range(format!("A of group {group} is {factor}, above {SCALE_MAX}")));
            }
            let codes: [i8; GROUP] = std::array::from_fn(|at| a.get(GROUP * group + at).map_or(0, |byte| *byte as i8));
            if codes.contains(&i8::MIN) {
                return Err(ValueError::range(format!("a of group {group} has -128")));
            }
            batch.codes.extend(codes);
            batch.scales.push(GroupScale::of(&codes, factor.into()));
        }
        batch.rows.push((row as u16, 0));
        self.rows[row].pending = true;
        Ok(())
    }

    fn take_dense(
        &mut self,
        kind: TileKind,
        largest: i32,
        half: Half,
        row: usize,
        a: &[&Bytes],
    ) -> Result<(), ValueError> {
        let lanes = self.lanes;
        let inputs = if half == Half::High { lanes / 2..lanes } else { 0..lanes / 2 };
        let Batch { numbers, rows, .. } = &mut self.batches[0];
        match (kind, a) {
            (TileKind::Int8, [a]) => {
                numbers.extend(a[..lanes].iter().map(|byte| i16::from(*byte as i8)));
                rows.push((row as u16, 0));
            }
            (TileKind::Wide12, [low, high]) => {
                let number = |lane: usize| i16::from_le_bytes([low[lane], high[lane]]);
                if let Some(lane) = inputs.clone().find(|lane| i32::from(number(*lane)).abs() > TWELVE_BITS) {
                    return Err(ValueError::range(format!("{} in lane {lane} has more than 12 bits", number(lane))));
                }
                // Two parts of 6 bits, so that sums over 160 inputs of 16 bits fit an i32.
                numbers.extend(inputs.clone().map(|lane| number(lane) >> 6));
                numbers.extend(inputs.map(|lane| number(lane) & 63));
                rows.extend([(row as u16, 6), (row as u16, 0)]);
            }
            (TileKind::Wide25, [b0, b1, b2, b3]) => {
                let number = |lane: usize| i32::from_le_bytes([b0[lane], b1[lane], b2[lane], b3[lane]]);
                if let Some(lane) = inputs.clone().find(|lane| !(0..=WEIGHT_MAX).contains(&number(*lane))) {
                    return Err(ValueError::range(format!("{} in lane {lane} is not in 0..=2^24", number(lane))));
                }
                if largest > TWELVE_BITS {
                    return Err(ValueError::range(format!("a value of {largest} has more than 12 bits")));
                }
                numbers.extend(inputs.clone().map(|lane| (number(lane) >> 12) as i16));
                numbers.extend(inputs.map(|lane| (number(lane) & 4095) as i16));
                rows.extend([(row as u16, 12), (row as u16, 0)]);
            }
            _ => return Ok(()),
        }
        self.rows[row].pending = true;
        Ok(())
    }

    fn multiply_half(&mut self, half: Half, row: usize, a: &[&Bytes]) -> Result<(), ValueError> {
        let (Array::Fp16 { numbers }, [low, high]) = (&self.array, a) else { return Ok(()) };
        let inputs = self.lanes / 2;
        let first = if half == Half::High { inputs } else { 0 };
        let sums = self.half_sums[row].get_or_insert_with(|| Box::new([0; LANES]));
        for (input, numbers) in numbers.chunks(self.lanes).enumerate() {
            let lane = first + input;
            let message = || ValueError::range(format!("lane {lane} is not finite"));
            let x = half::units(u16::from_le_bytes([low[lane], high[lane]])).ok_or_else(message)?;
            if x != 0 {
                sums.iter_mut().zip(numbers).for_each(|(sum, w)| *sum += i128::from(x) * i128::from(*w));
            }
        }
        Ok(())
    }

    /// Multiplies what waits.
    fn flush(&mut self) {
        match &self.array {
            Array::Block { kernels, layout, halves, .. } => {
                for (batch, bytes) in self.batches.iter_mut().zip(halves) {
                    let tokens = batch.rows.len();
                    let exponents = vec![0; tokens];
                    let x = Activations { codes: &batch.codes, scales: &batch.scales, exponents: &exponents };
                    self.integers.resize(layout.blocks() * tokens * BLOCK_ROWS, 0);
                    if let Some(matrix) = PackedMatrix::new(*layout, bytes).filter(|_| tokens > 0) {
                        kernels.integers(&matrix, &x, 0..layout.blocks(), &mut self.integers);
                    }
                    for (row, _) in &batch.rows {
                        if std::mem::take(&mut self.rows[*row as usize].empty) {
                            self.sums[*row as usize].fill(0);
                        }
                    }
                    for (at, integers) in self.integers.chunks_exact(BLOCK_ROWS).enumerate() {
                        let (block, token) = (at / tokens, at % tokens);
                        let sums = &mut self.sums[batch.rows[token].0 as usize][block * BLOCK_ROWS..][..BLOCK_ROWS];
                        sums.iter_mut().zip(integers).for_each(|(sum, integer)| *sum += integer);
                    }
                    batch.finish(&mut self.rows);
                }
            }
            Array::Dense { pairs, numbers, .. } => {
                let batch = &mut self.batches[0];
                let matrix = DenseMatrix { rows: self.lanes, pairs: *pairs, numbers };
                self.products.resize(batch.rows.len() * self.lanes, 0);
                self.kernels.dense(&matrix, &batch.numbers, &mut self.products);
                for ((row, shift), products) in batch.rows.iter().zip(self.products.chunks_exact(self.lanes)) {
                    let sums = &mut self.sums[*row as usize];
                    if std::mem::take(&mut self.rows[*row as usize].empty) {
                        self.kernels.set_shifted(products, *shift, sums);
                    } else {
                        self.kernels.add_shifted(products, *shift, sums);
                    }
                }
                batch.finish(&mut self.rows);
            }
            Array::Empty | Array::Fp16 { .. } => {}
        }
    }

    /// The sums of a row.
    pub(crate) fn drain(&mut self, row: usize) -> Drained<'_> {
        if self.rows[row].pending {
            self.flush();
        }
        match &self.half_sums[row] {
            Some(sums) if self.rows[row].half => Drained::Half(sums),
            _ => Drained::Integers(&self.sums[row]),
        }
    }
}

impl Batch {
    fn finish(&mut self, rows: &mut [Row]) {
        self.rows.iter().for_each(|(row, _)| rows[*row as usize].pending = false);
        self.clear();
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.codes.clear();
        self.scales.clear();
        self.numbers.clear();
    }
}

/// A row's sums.
pub(crate) enum Drained<'a> {
    Integers(&'a WideLanes),
    /// In units of [`HALF_UNITS`].
    Half(&'a [i128; LANES]),
}

impl Drained<'_> {
    /// The sum of a lane as the nearest f32: one rounding, then an exact power of two.
    pub(crate) fn float(&self, lane: usize) -> f32 {
        match self {
            Self::Integers(sums) => sums[lane] as f32,
            Self::Half(sums) => sums[lane] as f32 * HALF_UNITS,
        }
    }
}
