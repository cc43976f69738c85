//! What an instruction touches, and when: the timing rules of the machine, in one place.
//!
//! Everything that is known about hazards and data flow before a run follows from these accesses. An instruction issued
//! at cycle t makes an access at cycle `t + at`. Within one cycle all reads come before all writes, so a write is seen
//! from the next cycle on (the fields of [`Place`] say where that differs).

use crate::geometry::{Direction, Hemisphere, Position, Queue};
use crate::inst::Inst;
use crate::inst::field::{Stream, Stride, Uint};
use crate::inst::operand::{Address, AluOp, Destination, Format, Slot, Source, TileKind};
use crate::spec::MachineSpec;

/// A place that holds a value, or a port that serves one instruction at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A stream at a register. A write enters the value's diagonal there; a reader strictly downstream meets it as many
    /// cycles later as it is registers away, if no producer between them has overwritten it.
    Stream(Direction, u8, Position),
    /// One word of memory, before the offset of its base.
    Word(Hemisphere, u8, Bank, WordAddress),
    /// Consecutive words of which each superlane touches at most one, its own choice: of `words` words.
    Words(Hemisphere, u8, Bank, WordAddress, u32),
    /// The output of an ALU or lane reducer: read only in exactly the next cycle.
    Output(Queue),
    /// The state of a reduction that spans vectors.
    Reduction(u8),
    /// One stored vector of a plane's buffer.
    BufferVector(u8, u16),
    /// One scale vector of a plane's buffer.
    BufferScale(u8, u16),
    /// The 16 codes of LB4.
    Codebook(u8),
    /// The whole buffer of a plane: what was loaded since the last install.
    Buffer(u8),
    /// The array of a plane.
    Array(u8),
    /// A row of a plane's accumulators.
    Accumulator(u8, u16),
    /// The sending side of a link: a write is a vector whose last bit leaves then.
    LinkOut(u8),
    /// The receiving side of a link: a read takes the next vector that came.
    LinkIn(u8),
    /// The unit behind a queue, for one cycle.
    Port(Queue),
    /// The chip's clock: it is back in line from the cycle after its use on.
    Clock,
}

/// Bank of a slice, 0 or 1.
pub type Bank = u8;

/// Word within a bank and the base whose offset is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordAddress {
    /// Word before the offset; repetitions may take it outside the bank, which is an error of its own.
    pub word: i32,
    /// Base, 0 to 15.
    pub base: u8,
}

impl Place {
    /// The place that a repetition touches, whose words and rows have moved on by so many: see [`Inst::repeated`].
    #[inline]
    #[must_use]
    pub fn moved(self, words: i32, rows: i32) -> Self {
        let word = |address: WordAddress| WordAddress { word: address.word + words, ..address };
        let row = |row: u16| (i32::from(row) + rows) as u16;
        match self {
            Self::Word(side, slice, bank, address) => Self::Word(side, slice, bank, word(address)),
            Self::Words(side, slice, bank, address, count) => Self::Words(side, slice, bank, word(address), count),
            Self::BufferVector(plane, vector) => Self::BufferVector(plane, row(vector)),
            Self::BufferScale(plane, vector) => Self::BufferScale(plane, row(vector)),
            Self::Accumulator(plane, of) => Self::Accumulator(plane, row(of)),
            place => place,
        }
    }
}

/// What an access does to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Takes the value. It must have been written at least `age` cycles before.
    Read {
        /// Cycles between write and read, at least.
        age: u32,
    },
    /// Leaves a value. Two writes to one place in one cycle are a clash.
    Write,
    /// Leaves a value in some superlanes over what else is there (a quiet gather, a scatter).
    Merge,
    /// Occupies a port, where two uses in one cycle are a clash; or aligns the clock.
    Use,
}

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Cycles after the issue.
    pub at: u32,
    /// Where.
    pub place: Place,
    /// What.
    pub effect: Effect,
}

impl Inst {
    /// The instruction as `repeat` issues it after `count` strides: its address and its row moved on, unwrapped.
    /// `None` where a row leaves its field; words may leave theirs and are kept in [`Repeated::word_offset`].
    #[inline]
    pub fn repeated(&self, count: u32, word_stride: Stride, row_stride: Stride) -> Option<Repeated> {
        let rows = i64::from(count) * i64::from(row_stride.0);
        let moved = |row: Uint<9>| Uint::new(u32::try_from(i64::from(row.get()) + rows).ok()?);
        let mut inst = *self;
        match &mut inst {
            Self::Load { first, .. } | Self::Scale { first, .. } => *first = moved(*first)?,
            Self::Activate { row, .. } | Self::Drain { row, .. } => *row = moved(*row)?,
            _ => {}
        }
        let word_offset = i32::try_from(i64::from(count) * i64::from(word_stride.0)).ok()?;
        Some(Repeated { inst, word_offset })
    }
}

/// One issue of an instruction: itself, or one of its repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The instruction with its rows moved on.
    pub inst: Inst,
    /// Added to the word of each of its addresses.
    pub word_offset: i32,
}

impl From<Inst> for Repeated {
    fn from(inst: Inst) -> Self {
        Self { inst, word_offset: 0 }
    }
}

impl AluOp {
    /// Cycles from operand capture to the result.
    pub fn delay(self, spec: &MachineSpec) -> u32 {
        match self {
            Self::Divide => spec.vxm.divide_delay,
            Self::SquareRoot => spec.vxm.square_root_delay,
            Self::Exp32 => spec.vxm.exp32_delay,
            _ => spec.vxm.delay,
        }
    }
}

/// Scale vectors of a tile: low and high bytes of D and, if there, O for each group of 32 inputs of each half.
pub fn scale_vectors(kind: TileKind, offsets: bool, spec: &MachineSpec) -> u32 {
    let groups = spec.lanes().div_ceil(32);
    let parts = if offsets { 2 } else { 1 };
    match kind {
        TileKind::Lb8 => groups * 2 * parts,
        TileKind::Lb4 => groups * 4 * parts,
        _ => 0,
    }
}

/// Vectors of a tile: outputs by row, inputs by column.
pub fn tile_vectors(kind: TileKind, by_row: bool, spec: &MachineSpec) -> u32 {
    if kind.takes_pair() && !by_row { spec.lanes() / 2 } else { spec.lanes() }
}

/// Words of a slice's part of a table: of `count` indices, those with this remainder by 2^`log2_interleave`.
pub fn table_words(count: u32, log2_interleave: u32, residue: u32) -> u32 {
    count.saturating_sub(residue).div_ceil(1 << log2_interleave)
}

/// Lanes of the widest segment of a reduction.
pub fn widest_segment(boundary: u32, lanes: u32) -> u32 {
    let mut widest = 0;
    let mut start = 0;
    for group in 1..=lanes.div_ceil(32) {
        if group == lanes.div_ceil(32) || boundary >> group & 1 == 1 {
            widest = widest.max(((group - start) * 32).min(lanes));
            start = group;
        }
    }
    widest
}

/// Cycles from a reduction's last vector to its results.
pub fn reduction_delay(boundary: u32, spec: &MachineSpec) -> u32 {
    spec.reduce_delay(widest_segment(boundary, spec.lanes()))
}

/// Cycles from a `receive`'s earliest lawful issue back to the issue of its `send`, without slack for drift.
pub fn exchange_cycles(spec: &MachineSpec) -> u32 {
    spec.c2c.send_delay + spec.c2c.vector_cycles + spec.c2c.latency_max_cycles
}

/// Cycles of slack that drift asks of an exchange between two chips, on top of [`exchange_cycles`]: `ceil(2 ppm cycles /
/// 1,000,000) + 1`, where `cycles` is how long ago the clocks of both were aligned: from the sender's alignment before the
/// `send` until the vector has left, or from the receiver's before the `receive` until then, whichever is longer. The
/// entry's start is an alignment. The 1 is for clocks that are in line but not in phase.
///
/// A program may ask for at most `slack_max_cycles`: see [`aligned_cycles_max`].
pub fn drift_slack(spec: &MachineSpec, cycles: u64) -> u64 {
    let millionths = 2 * u128::from(spec.time.drift_ppm_max) * u128::from(cycles);
    u64::try_from(millionths.div_ceil(1_000_000) + 1).unwrap_or(u64::MAX)
}

/// Cycles in which chips align that are so many hops from the first at most: a mark goes down the tree of chips, and
/// takes whole epochs for each hop.
pub fn align_cycles(spec: &MachineSpec, hops: u32) -> u64 {
    let epoch = u64::from(spec.time.epoch_cycles.max(1));
    (u64::from(spec.c2c.latency_max_cycles) / epoch + 1) * epoch * u64::from(hops)
}

/// The longest time after an alignment, in cycles, at which chips may still exchange vectors; `None` where the machine's
/// slack allows no exchange at all.
pub fn aligned_cycles_max(spec: &MachineSpec) -> Option<u64> {
    let drift = u64::from(spec.c2c.slack_max_cycles).checked_sub(1)?;
    Some((drift * 1_000_000).checked_div(2 * u64::from(spec.time.drift_ppm_max)).unwrap_or(u64::MAX))
}

/// Calls `visit` with each access of one issue. The order of the reads numbers the operands of flow edges.
pub fn accesses(issue: &Repeated, queue: Queue, spec: &MachineSpec, visit: &mut impl FnMut(Access)) {
    let mut visitor = Visitor { position: spec.position(queue), visit };
    let v = &mut visitor;
    match issue.inst {
        Inst::Nop { .. }
        | Inst::Repeat { .. }
        | Inst::Sync {}
        | Inst::Notify {}
        | Inst::Deskew {}
        | Inst::Transmit {} => {}
        Inst::RuntimeDeskew { cycles } => v.access(cycles.get().saturating_sub(1), Place::Clock, Effect::Use),
        Inst::Fetch { from } => {
            for vector in 0..spec.instruction.fetch_bytes.div_ceil(spec.lanes()) {
                v.read(vector, v.stream(from));
            }
        }
        Inst::Mem { .. } | Inst::Gather { .. } | Inst::Scatter { .. } => v.memory(issue, queue, spec),
        Inst::Alu { op, a, b, c, to, .. } => {
            for source in [a, b, c] {
                v.source(source);
            }
            v.result(queue, op.delay(spec), to);
        }
        Inst::Reduce { a, boundary, first, last, to, .. } => {
            let Queue::Reduce(unit) = queue else { return };
            v.source(a);
            if !first {
                v.read(0, Place::Reduction(unit));
            }
            if last {
                v.result(queue, reduction_delay(boundary.get(), spec), to);
            } else {
                v.write(0, Place::Reduction(unit));
            }
        }
        Inst::Load { .. } | Inst::Codebook { .. } | Inst::Scale { .. } | Inst::Install { .. } => {
            v.load(&issue.inst, queue);
        }
        Inst::Activate { .. } => v.activate(&issue.inst, queue),
        Inst::Drain { row, format, to } => {
            let Queue::Drain(plane) = queue else { return };
            let age = spec.mxm.result_delay - 1;
            v.access(0, Place::Accumulator(plane, row.get() as u16), Effect::Read { age });
            v.write_group(1, to, format.streams());
        }
        Inst::Shift { streams, from, to, .. } | Inst::Rotate { streams, from, to, .. } => {
            v.switch(from, to, streams.get() as u8, spec.sxm.shift_delay + spec.stagger());
        }
        Inst::Permute { map, streams, from, to } => {
            v.read_group(map, 2);
            v.switch(from, to, streams.get() as u8, spec.sxm.permute_delay + spec.stagger());
        }
        Inst::Distribute { streams, from, to, .. } => {
            v.switch(from, to, streams.get() as u8, spec.sxm.distribute_delay);
        }
        Inst::Transpose { from, to } => v.switch(from, to, 16, spec.sxm.transpose_delay),
        Inst::Send { from } => {
            let Queue::Send(link) = queue else { return };
            v.read(0, v.stream(from));
            for cycle in 0..spec.c2c.vector_cycles {
                v.access(cycle, Place::Port(queue), Effect::Use);
            }
            v.write(spec.c2c.send_delay + spec.c2c.vector_cycles, Place::LinkOut(link));
        }
        Inst::Receive { to } => {
            let Queue::Receive(link) = queue else { return };
            v.read(0, Place::LinkIn(link));
            v.write(spec.c2c.receive_delay, v.stream(to));
        }
    }
}

/// Cycles after the issue of the last access, counted so that a program of this one instruction takes as many.
pub fn duration(issue: &Repeated, queue: Queue, spec: &MachineSpec) -> u32 {
    let mut last = 0;
    accesses(issue, queue, spec, &mut |access| last = last.max(access.at));
    last + 1
}

struct Visitor<'a, F> {
    position: Position,
    visit: &'a mut F,
}

impl<F: FnMut(Access)> Visitor<'_, F> {
    fn access(&mut self, at: u32, place: Place, effect: Effect) {
        (self.visit)(Access { at, place, effect });
    }

    fn read(&mut self, at: u32, place: Place) {
        self.access(at, place, Effect::Read { age: 0 });
    }

    fn write(&mut self, at: u32, place: Place) {
        self.access(at, place, Effect::Write);
    }

    fn stream(&self, stream: Stream) -> Place {
        Place::Stream(stream.direction, stream.number, self.position)
    }

    fn read_group(&mut self, first: Stream, streams: u8) {
        for more in 0..streams {
            self.read(0, self.stream(first.plus(more)));
        }
    }

    fn write_group(&mut self, at: u32, first: Stream, streams: u8) {
        for more in 0..streams {
            self.write(at, self.stream(first.plus(more)));
        }
    }

    fn source(&mut self, source: Source) {
        match source {
            Source::None | Source::Immediate => {}
            Source::Stream(stream, format) => self.read_group(stream, format.streams()),
            Source::Alu(index) => self.read(0, Place::Output(Queue::Alu(index))),
            Source::Reduce(index) => self.read(0, Place::Output(Queue::Reduce(index))),
        }
    }

    /// A result that appears `delay` cycles after the issue: at the output for exactly that cycle, and on streams.
    fn result(&mut self, queue: Queue, delay: u32, to: Destination) {
        self.write(delay - 1, Place::Output(queue));
        for direction in to.directions() {
            self.write_group(delay, Stream { direction, number: to.number }, to.format.streams());
        }
    }

    fn switch(&mut self, from: Stream, to: Stream, streams: u8, delay: u32) {
        self.read_group(from, streams);
        self.write_group(delay, to, streams);
    }

    fn memory(&mut self, issue: &Repeated, queue: Queue, spec: &MachineSpec) {
        let Queue::Mem(side, slice) = queue else { return };
        let at =
            |address: Address| WordAddress { word: i32::from(address.word) + issue.word_offset, base: address.base };
        match issue.inst {
            Inst::Mem { bank0, bank1 } => {
                for (bank, slot) in [(0, bank0), (1, bank1)] {
                    match slot {
                        Slot::Idle => {}
                        Slot::Read(address, stream) => {
                            self.read(0, Place::Word(side, slice, bank, at(address)));
                            self.write(spec.mem.read_delay, self.stream(stream));
                        }
                        Slot::Write(address, stream) => {
                            self.read(0, self.stream(stream));
                            self.write(spec.mem.write_delay - 1, Place::Word(side, slice, bank, at(address)));
                        }
                    }
                }
            }
            Inst::Gather { index, address, bank, log2_interleave, residue, count, quiet, to } => {
                self.read_group(index, 4);
                let words = table_words(count.get(), log2_interleave.get(), residue.get());
                self.read(0, Place::Words(side, slice, bank.get() as u8, at(address), words));
                let effect = if quiet { Effect::Merge } else { Effect::Write };
                self.access(spec.mem.gather_delay, self.stream(to), effect);
            }
            Inst::Scatter { index, address, bank, log2_interleave, residue, count, from } => {
                self.read_group(index, 4);
                self.read(0, self.stream(from));
                let words = table_words(count.get(), log2_interleave.get(), residue.get());
                let place = Place::Words(side, slice, bank.get() as u8, at(address), words);
                self.access(spec.mem.write_delay - 1, place, Effect::Merge);
            }
            _ => {}
        }
    }

    fn load(&mut self, inst: &Inst, queue: Queue) {
        let Queue::Load(plane) = queue else { return };
        match *inst {
            Inst::Load { kind, first, streams, from, .. } => {
                self.read_group(from, streams.get() as u8);
                for vector in 0..streams.get() / u32::from(kind.vector_streams()) {
                    self.write(0, Place::BufferVector(plane, (first.get() + vector) as u16));
                }
            }
            Inst::Scale { first, streams, from, .. } => {
                self.read_group(from, streams.get() as u8);
                for vector in 0..streams.get() {
                    self.write(0, Place::BufferScale(plane, (first.get() + vector) as u16));
                }
            }
            Inst::Codebook { from } => {
                self.read(0, self.stream(from));
                self.write(0, Place::Codebook(plane));
            }
            Inst::Install { kind } => {
                self.read(0, Place::Buffer(plane));
                if kind == TileKind::Lb4 {
                    self.read(0, Place::Codebook(plane));
                }
                self.write(0, Place::Array(plane));
            }
            _ => {}
        }
    }

    fn activate(&mut self, inst: &Inst, queue: Queue) {
        let (Queue::Activate(plane), Inst::Activate { kind, row, first, from, scale, .. }) = (queue, *inst) else {
            return;
        };
        self.read_group(from, kind.activation_streams());
        if kind.has_scale() {
            self.read_group(scale, Format::U16.streams());
        }
        self.read(0, Place::Array(plane));
        let place = Place::Accumulator(plane, row.get() as u16);
        if !first {
            self.read(0, place);
        }
        let cycles = kind.activation_cycles();
        for cycle in 0..cycles {
            self.access(cycle, Place::Port(queue), Effect::Use);
            if kind.takes_pair() {
                self.access(cycle, Place::Port(Queue::Activate(plane + 1)), Effect::Use);
            }
        }
        self.write(cycles - 1, place);
    }
}
