//! The state of one chip while programs run, and the running of one instruction.

use lockstep_kernels::Kernels;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Address, Format, Orientation, Slot};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::program::BASES;

use crate::fault::FaultKind;
use crate::link::LinkedBlock;
use crate::memory::{Bank, Memory};
use crate::plane::{Drained, Plane};
use crate::slots::Slots;
use crate::switch;
use crate::tape::{NO_SLOT, Op, Part};
use crate::value::{self, Bytes, LANES, Lanes, ValueError};
use crate::vector::Vectors;

/// Why an instruction cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A value that must not be.
    Fault(FaultKind, String),
    /// The vector to be received has not been simulated yet.
    Blocked,
}

impl From<ValueError> for Stop {
    fn from(error: ValueError) -> Self {
        Self::Fault(if error.overflow { FaultKind::Overflow } else { FaultKind::ValueRange }, error.message)
    }
}

/// The links of a chip, as its instructions see them.
pub(crate) trait Ports {
    /// Sends a vector over the chip's link.
    fn send(&mut self, link: u8, vector: &Bytes);
    /// The next vector that came over the chip's link, if its sender has been simulated so far.
    fn receive(&mut self, link: u8) -> Option<Bytes>;
}

pub(crate) struct Chip {
    pub(crate) memory: Memory,
    pub(crate) slots: Slots,
    pub(crate) vectors: Vectors,
    planes: Vec<Plane>,
    lanes: usize,
    digest: Digest,
}

/// The hash of every vector written to memory, in order. Bytes are hashed many at a time, which is quicker.
#[derive(Default)]
struct Digest {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Digest {
    fn update(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= 1 << 16 {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
    }
}

impl Chip {
    pub(crate) fn new(spec: &MachineSpec, kernels: Kernels) -> Self {
        let lanes = spec.lanes() as usize;
        let plane = |_| Plane::new(lanes, spec.mxm.accumulator_rows as usize, kernels);
        Self {
            memory: Memory::new(spec),
            slots: Slots::default(),
            vectors: Vectors::new(spec),
            planes: (0..spec.planes()).map(plane).collect(),
            lanes,
            digest: Digest::default(),
        }
    }

    /// Forgets everything but memory, as between entries.
    pub(crate) fn reset(&mut self, spec: &MachineSpec) {
        self.planes.iter_mut().for_each(Plane::reset);
        self.vectors = Vectors::new(spec);
        self.digest = Digest::default();
    }

    /// The hash of every vector written to memory since the reset, in order.
    pub(crate) fn digest(&self) -> [u8; 32] {
        *self.digest.hasher.clone().update(&self.digest.waiting).finalize().as_bytes()
    }

    /// Runs one instruction of a tape.
    pub(crate) fn execute(
        &mut self,
        block: &LinkedBlock,
        op: &Op,
        offsets: &[i32; BASES],
        ports: &mut dyn Ports,
    ) -> Result<(), Stop> {
        // Looked at in their places: an issue made whole costs as much as its work.
        let (inst, queue) = (block.issues.inst(op.issue as usize), block.issues.id(op.issue as usize).queue);
        let (words, rows) = block.issues.moved(op.issue as usize);
        let moved = |first: Uint<9>| (first.get() as i32 + rows) as usize;
        let operands = &block.operands[op.operands as usize..];
        let results = &block.results[op.results as usize..];
        let operand = |at: usize| operands[at] as usize;
        match *inst {
            Inst::Mem { .. } | Inst::Gather { .. } | Inst::Scatter { .. } => {
                // Linking has held every address against its bank.
                let word = |at: Address| (i32::from(at.word) + words + offsets[usize::from(at.base)]) as usize;
                return self.memory_op(inst, queue, op.part, operands, results, word);
            }
            Inst::Alu { .. } => {
                self.vectors.alu(inst, &mut self.slots, operands, results)?;
            }
            Inst::Reduce { .. } => {
                let Queue::Reduce(unit) = queue else { return Ok(()) };
                self.vectors.reduce(inst, unit, &mut self.slots, operands, results)?;
            }
            Inst::Load { .. } | Inst::Codebook { .. } | Inst::Scale { .. } | Inst::Install { .. } => {
                self.load(inst, rows, queue, operands)?;
            }
            Inst::Activate { kind, half, row, first, .. } => {
                let Queue::Activate(plane) = queue else { return Ok(()) };
                let width = usize::from(kind.activation_streams());
                let scales = if kind.has_scale() { 2 } else { 0 };
                let mut planes = [&[0; LANES]; 6];
                for (at, plane) in planes[..width + scales].iter_mut().enumerate() {
                    *plane = &self.slots.bytes[operand(at)];
                }
                let (a, scale) = planes[..width + scales].split_at(width);
                self.planes[plane as usize].activate(half, moved(row), first, a, scale)?;
            }
            Inst::Drain { row, format, .. } => {
                let Queue::Drain(plane) = queue else { return Ok(()) };
                let sums = self.planes[plane as usize].drain(moved(row));
                drain(&sums, format, self.lanes, &mut self.slots, results)?;
            }
            Inst::Send { .. } => {
                let Queue::Send(link) = queue else { return Ok(()) };
                ports.send(link, &self.slots.bytes[operand(0)]);
            }
            Inst::Receive { .. } => {
                let Queue::Receive(link) = queue else { return Ok(()) };
                let vector = ports.receive(link).ok_or(Stop::Blocked)?;
                self.put(results[0], &vector);
            }
            _ => self.switch_op(inst, operands, results)?,
        }
        Ok(())
    }

    fn put(&mut self, slot: u32, value: &Bytes) {
        if slot != NO_SLOT {
            self.slots.bytes[slot as usize] = *value;
            self.slots.driven[slot as usize] = 0;
        }
    }

    fn load(&mut self, inst: &Inst, rows: i32, queue: Queue, operands: &[u32]) -> Result<(), ValueError> {
        let Queue::Load(plane) = queue else { return Ok(()) };
        let plane = &mut self.planes[plane as usize];
        let bytes = |at: usize| &self.slots.bytes[operands[at] as usize];
        let moved = |first: Uint<9>| (first.get() as i32 + rows) as usize;
        match *inst {
            Inst::Load { kind, orientation, half, first, streams, .. } => {
                let by_row = orientation == Orientation::Row;
                let (first, streams) = (moved(first), streams.get() as usize);
                if kind.takes_pair() {
                    for vector in 0..streams / 2 {
                        plane.buffer.load_pair(by_row, half, first + vector, bytes(2 * vector), bytes(2 * vector + 1));
                    }
                } else {
                    (0..streams).for_each(|vector| plane.buffer.load(by_row, first + vector, bytes(vector)));
                }
            }
            Inst::Scale { offsets, first, streams, .. } => {
                for vector in 0..streams.get() as usize {
                    plane.buffer.load_scale(offsets, moved(first) + vector, bytes(vector))?;
                }
            }
            Inst::Codebook { .. } => plane.buffer.set_codebook(bytes(0)),
            Inst::Install { kind } => plane.install(kind)?,
            _ => {}
        }
        Ok(())
    }

    fn switch_op(&mut self, inst: &Inst, operands: &[u32], results: &[u32]) -> Result<(), ValueError> {
        let lanes = self.lanes;
        let mut out = [0; LANES];
        let (first, streams) = match inst {
            Inst::Permute { streams, .. } => (2, streams.get()),
            Inst::Shift { streams, .. } | Inst::Rotate { streams, .. } | Inst::Distribute { streams, .. } => {
                (0, streams.get())
            }
            Inst::Transpose { .. } => (0, 16),
            _ => return Ok(()),
        };
        let bytes = |slots: &Slots, at: usize| slots.bytes[operands[at] as usize];
        let map = match inst {
            Inst::Permute { .. } => Some(switch::read_map(&bytes(&self.slots, 0), &bytes(&self.slots, 1), lanes)?),
            _ => None,
        };
        let inputs: Vec<Bytes> = (0..streams as usize).map(|at| bytes(&self.slots, first + at)).collect();
        for (at, from) in inputs.iter().enumerate() {
            match (inst, &map) {
                (Inst::Shift { by, .. }, _) => switch::shift(from, by.0.into(), lanes, &mut out),
                (Inst::Rotate { by, .. }, _) => switch::rotate(from, by.0.into(), lanes, &mut out),
                (Inst::Distribute { map, .. }, _) => switch::distribute(from, map, &mut out),
                (_, Some(map)) => switch::permute(from, map, &mut out),
                _ => switch::transpose(&inputs, at, &mut out),
            }
            self.put(results[at], &out);
        }
        Ok(())
    }

    fn memory_op(
        &mut self,
        inst: &Inst,
        queue: Queue,
        part: Part,
        operands: &[u32],
        results: &[u32],
        word: impl Fn(Address) -> usize,
    ) -> Result<(), Stop> {
        let Queue::Mem(hemisphere, slice) = queue else { return Ok(()) };
        let at = |bank: u8| Bank { hemisphere, slice, number: bank };
        let uncorrectable = |message: String| Stop::Fault(FaultKind::EccUncorrectable, message);
        match *inst {
            Inst::Mem { bank0, bank1 } => {
                for (bank, slot) in [(0, bank0), (1, bank1)] {
                    match slot {
                        Slot::Read(address, _) if part == Part::Read => {
                            let value = self.memory.read(at(bank), word(address)).map_err(uncorrectable)?;
                            if results[0] != NO_SLOT {
                                self.slots.bytes[results[0] as usize] = *value;
                                self.slots.driven[results[0] as usize] = 0;
                            }
                        }
                        Slot::Write(address, _) if part == Part::Write => {
                            let value = &self.slots.bytes[operands[0] as usize];
                            self.digest.update(&value[..self.lanes]);
                            self.memory.write(at(bank), word(address), value);
                        }
                        _ => {}
                    }
                }
            }
            Inst::Gather { address, bank, log2_interleave, residue, count, quiet, .. } => {
                let chosen = Chosen { log2: log2_interleave.get(), residue: residue.get(), count: count.get() };
                let under = if quiet { operands[4] } else { NO_SLOT };
                let (mut out, mut driven) = ([0; LANES], 0);
                if under != NO_SLOT {
                    (out, driven) = (self.slots.bytes[under as usize], self.slots.driven[under as usize]);
                }
                for superlane in 0..self.lanes / 16 {
                    let Some(row) = chosen.row(self.index(operands, superlane)) else { continue };
                    if driven >> superlane & 1 == 1 {
                        let message = format!("superlane {superlane} is driven by another gather too");
                        return Err(Stop::Fault(FaultKind::GatherConflict, message));
                    }
                    driven |= 1 << superlane;
                    let at = at(bank.get() as u8);
                    let bytes =
                        self.memory.read_superlane(at, word(address) + row, superlane).map_err(uncorrectable)?;
                    out[16 * superlane..16 * superlane + 16].copy_from_slice(&bytes);
                }
                self.put(results[0], &out);
                if results[0] != NO_SLOT {
                    self.slots.driven[results[0] as usize] = if quiet { driven } else { 0 };
                }
            }
            Inst::Scatter { address, bank, log2_interleave, residue, count, .. } => {
                let chosen = Chosen { log2: log2_interleave.get(), residue: residue.get(), count: count.get() };
                let value = self.slots.bytes[operands[4] as usize];
                for superlane in 0..self.lanes / 16 {
                    let Some(row) = chosen.row(self.index(operands, superlane)) else { continue };
                    let bytes = &value[16 * superlane..16 * superlane + 16];
                    self.digest.update(bytes);
                    self.memory.write_superlane(at(bank.get() as u8), word(address) + row, superlane, bytes);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A superlane's index: from its first lane.
    fn index(&self, operands: &[u32], superlane: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|at| self.slots.bytes[operands[at] as usize][16 * superlane]))
    }
}

/// Which indices a slice holds.
struct Chosen {
    log2: u32,
    residue: u32,
    count: u32,
}

impl Chosen {
    /// The row of an index, if it is here.
    fn row(&self, index: u32) -> Option<usize> {
        let here = index < self.count && index & ((1 << self.log2) - 1) == self.residue;
        here.then_some((index >> self.log2) as usize)
    }
}

fn drain(
    sums: &Drained<'_>,
    format: Format,
    lanes: usize,
    slots: &mut Slots,
    results: &[u32],
) -> Result<(), ValueError> {
    let numbers: Lanes = match (format, sums) {
        (Format::F32, sums) => std::array::from_fn(|lane| sums.float(lane).to_bits() as i32),
        (_, Drained::Half(_)) => return Err(ValueError::range("a sum of fp16 products drains as f32".to_owned())),
        (Format::I32, Drained::Integers(sums)) => {
            // Two passes without branches are quicker than one that may end early.
            let above = |sum: &i64| sum.wrapping_add(1 << 31) >> 32;
            if sums[..lanes].iter().fold(0, |any, sum| any | above(sum)) != 0 {
                let lane = sums.iter().position(|sum| above(sum) != 0).unwrap_or_default();
                return Err(ValueError::overflow("the i32 result", lane));
            }
            std::array::from_fn(|lane| sums[lane] as i32)
        }
        (_, Drained::Integers(_)) => [0; LANES],
    };
    for (plane, slot) in results[..usize::from(format.streams())].iter().enumerate() {
        if *slot == NO_SLOT {
            continue;
        }
        let out = &mut slots.bytes[*slot as usize];
        slots.driven[*slot as usize] = 0;
        match (format, sums) {
            (Format::I64, Drained::Integers(sums)) => value::plane_wide(sums, plane, out),
            _ => value::plane(&numbers, plane, out),
        }
    }
    Ok(())
}
