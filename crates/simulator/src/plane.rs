//! A matrix plane: its buffer, its array, and its rows of accumulators.
//!
//! Activations that meet one array are collected and multiplied together, through `kernels`, when the first of their
//! rows is drained or the array is replaced: the sums are exact, so when they are made does not matter.

use lockstep_arith::matrix::GROUP;
use lockstep_kernels::Kernels;
use lockstep_kernels::activations::{Activations, GroupScale};
use lockstep_kernels::dense::DenseMatrix;
use lockstep_kernels::packed::{BLOCK_ROWS, PackedMatrix};
use lockstep_machine::inst::operand::{Half, TileKind};

use crate::half::{self, HALF_UNITS};
use crate::tile::{Array, Buffer};
use crate::value::{Bytes, LANES, ValueError, WideLanes};

/// Largest magnitude of a query's code, and of a value's.
const TWELVE_BITS: i32 = 2047;
/// Largest weight of a value.
const WEIGHT_MAX: i32 = 1 << 24;
/// Largest scale of an activation.
const SCALE_MAX: u16 = 4096;
/// Activations that are multiplied together: they and their products stay in the nearest cache.
const TOGETHER: usize = 32;
/// Activations that one row may take: 2^16 of less than 2^47 each stay within an i64.
const ACTIVATIONS_MAX: u32 = 1 << 16;

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
    /// What was loaded since the last install.
    pub(crate) buffer: Buffer,
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
            buffer: Buffer::new(lanes, kernels),
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
        self.buffer.clear();
        self.array = Array::Empty;
        self.batches.iter_mut().for_each(Batch::clear);
        self.rows.fill(Row::default());
    }

    /// The buffer becomes the array, and is empty.
    pub(crate) fn install(&mut self, kind: TileKind) -> Result<(), ValueError> {
        self.flush();
        let old = std::mem::replace(&mut self.array, Array::Empty);
        self.array = self.buffer.install(kind, old)?;
        Ok(())
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
                let numbers = batch.numbers.chunks(TOGETHER * 2 * pairs);
                for (rows, numbers) in batch.rows.chunks(TOGETHER).zip(numbers) {
                    self.products.resize(rows.len() * self.lanes, 0);
                    self.kernels.dense(&matrix, numbers, &mut self.products);
                    for ((row, shift), products) in rows.iter().zip(self.products.chunks_exact(self.lanes)) {
                        let sums = &mut self.sums[*row as usize];
                        if std::mem::take(&mut self.rows[*row as usize].empty) {
                            self.kernels.set_shifted(products, *shift, sums);
                        } else {
                            self.kernels.add_shifted(products, *shift, sums);
                        }
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
