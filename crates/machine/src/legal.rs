//! What an instruction must be, whatever runs beside it: the one place for rules that need no schedule.

use crate::access::{scale_vectors, table_words, tile_vectors};
use crate::geometry::{Direction, Queue};
use crate::inst::Inst;
use crate::inst::field::Stream;
use crate::inst::operand::{Address, AluOp, Destination, Format, Half, Orientation, ReduceOp, Slot, Source, TileKind};
use crate::spec::{InstructionSupply, MachineSpec};

/// Why a machine does not take an instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegal(pub String);

/// Ends the check with a message unless the condition holds.
macro_rules! must {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err(Illegal(format!($($message)*)));
        }
    };
}

/// Whether `queue` of the machine takes the instruction.
pub fn check(inst: &Inst, queue: Queue, spec: &MachineSpec) -> Result<(), Illegal> {
    must!(spec.has_queue(queue), "{} has no {queue}", spec.name);
    must!(inst.class().runs_on(queue), "{queue} does not take `{}`", inst.mnemonic());
    let check = Check { spec, queue };
    match *inst {
        Inst::Mem { bank0, bank1 } => check.memory(bank0, bank1),
        Inst::Gather { index, address, log2_interleave, residue, count, to, .. } => {
            check.group(index, 4)?;
            check.group(to, 1)?;
            check.table(address, log2_interleave.get(), residue.get(), count.get())
        }
        Inst::Scatter { index, address, log2_interleave, residue, count, from, .. } => {
            check.group(index, 4)?;
            check.group(from, 1)?;
            check.table(address, log2_interleave.get(), residue.get(), count.get())
        }
        Inst::Alu { op, a, b, c, to, .. } => check.alu(op, [a, b, c], to),
        Inst::Reduce { op, a, boundary, lanes, last, to, .. } => {
            must!(last || to == Destination::NONE, "to: only the last vector of a reduction has a result");
            check.segments(boundary.get(), lanes.get())?;
            check.source(a)?;
            must!(!matches!(a, Source::None | Source::Immediate), "a: a vector is needed");
            must!(!matches!(a, Source::Stream(_, Format::I64)), "a: reducers take numbers of up to 32 bits, not i64");
            let wide = to.format == Format::I64;
            must!(!wide || op == ReduceOp::SumI32, "to: only sums have results of i64, {op} has not");
            check.destination(to)
        }
        Inst::Load { kind, orientation, half, first, streams, from } => {
            check.kind(kind)?;
            let by_row = orientation == Orientation::Row;
            must!(by_row || spec.mxm.load_column, "{} cannot load by column", spec.name);
            must!(half == Half::Low || (kind.takes_pair() && by_row), "half: only for pair-wide tiles by row");
            check.vectors(streams.get(), kind.vector_streams(), from)?;
            let end = first.get() + streams.get() / u32::from(kind.vector_streams());
            let most = tile_vectors(kind, by_row, spec);
            must!(end <= most, "first, streams: vectors up to {end}, the tile has {most}");
            Ok(())
        }
        Inst::Scale { kind, offsets, first, streams, from } => {
            check.kind(kind)?;
            must!(kind.has_scale(), "kind: {kind} tiles have no scales, only lb8 and lb4 do");
            must!(!offsets || kind == TileKind::Lb4, "offsets: only lb4 tiles have O");
            let most = scale_vectors(kind, offsets, spec);
            check.vectors(streams.get(), 1, from)?;
            let end = first.get() + streams.get();
            must!(end <= most, "first, streams: scale vectors up to {end}, the tile has {most}");
            Ok(())
        }
        Inst::Codebook { from } => {
            check.kind(TileKind::Lb4)?;
            check.outward(from, 1)
        }
        Inst::Install { kind } => check.kind(kind),
        Inst::Activate { kind, half, row, from, scale, .. } => {
            check.kind(kind)?;
            check.row(row.get())?;
            must!(half == Half::Low || kind == TileKind::Lb4 || kind.takes_pair(), "half: {kind} has no halves");
            check.outward(from, kind.activation_streams())?;
            if kind.has_scale() { check.outward(scale, 2) } else { Ok(()) }
        }
        Inst::Drain { row, format, to } => {
            check.row(row.get())?;
            must!(matches!(format, Format::F32 | Format::I32 | Format::I64), "format: one of f32 i32 i64");
            must!(to.direction == check.inward(), "to: results flow inward, {}", stream_name(check.inward()));
            check.group(to, format.streams())
        }
        Inst::Shift { by, streams, from, to } | Inst::Rotate { by, streams, from, to } => {
            let lanes = spec.lanes();
            must!(u32::from(by.0.unsigned_abs()) < lanes, "by: less than a vector's {lanes} lanes, up or down");
            check.switch(streams.get(), from, to)
        }
        Inst::Permute { map, streams, from, to } => {
            check.group(map, 2)?;
            check.switch(streams.get(), from, to)
        }
        Inst::Distribute { streams, from, to, .. } => check.switch(streams.get(), from, to),
        Inst::Transpose { from, to } => {
            let Queue::Sxm(_, index) = queue else { return Ok(()) };
            let count = spec.sxm.transposers;
            must!(u32::from(index) < count, "only the first {count} queues of a switch unit transpose");
            check.group(from, 16)?;
            check.group(to, 16)
        }
        Inst::Send { from } => check.group(from, 1),
        Inst::Receive { to } => check.group(to, 1),
        Inst::Nop { .. }
        | Inst::Repeat { .. }
        | Inst::Sync {}
        | Inst::Notify {}
        | Inst::Fetch { .. }
        | Inst::Deskew {}
        | Inst::Transmit {}
        | Inst::RuntimeDeskew { .. } => check.control(inst),
    }
}

fn stream_name(direction: Direction) -> &'static str {
    if direction == Direction::East { "eN" } else { "wN" }
}

struct Check<'a> {
    spec: &'a MachineSpec,
    queue: Queue,
}

impl Check<'_> {
    /// The direction towards the vector unit from where the queue's unit stands.
    fn inward(&self) -> Direction {
        if self.spec.position(self.queue) < self.spec.vxm_position() { Direction::East } else { Direction::West }
    }

    fn group(&self, first: Stream, streams: u8) -> Result<(), Illegal> {
        must!(first.number.is_multiple_of(streams), "{first}: a group of {streams} starts at a multiple of {streams}");
        must!(
            u32::from(first.number) + u32::from(streams) <= self.spec.streams,
            "{first}: {} has {} streams in each direction",
            self.spec.name,
            self.spec.streams
        );
        Ok(())
    }

    fn outward(&self, first: Stream, streams: u8) -> Result<(), Illegal> {
        must!(first.direction != self.inward(), "{first}: matrix planes read streams that flow outward");
        self.group(first, streams)
    }

    fn vectors(&self, streams: u32, each: u8, first: Stream) -> Result<(), Illegal> {
        let most = self.spec.mxm.load_streams;
        must!((1..=most).contains(&streams), "streams: 1 to {most} at a time");
        must!(streams.is_multiple_of(u32::from(each)), "streams: vectors of this kind take {each} each");
        must!(first.direction != self.inward(), "{first}: matrix planes read streams that flow outward");
        let end = u32::from(first.number) + streams;
        must!(end <= self.spec.streams, "{first}: streams up to {end}, there are {}", self.spec.streams);
        must!(first.number.is_multiple_of(each), "{first}: a group of {each} starts at a multiple of {each}");
        Ok(())
    }

    fn word(&self, word: u32) -> Result<(), Illegal> {
        let most = self.spec.words_per_bank();
        must!(word < most, "word {word}: a bank has {most}");
        Ok(())
    }

    /// Control stands in any queue, but what it says must mean something there.
    fn control(&self, inst: &Inst) -> Result<(), Illegal> {
        match *inst {
            Inst::Nop { cycles } => must!(cycles.get() > 0, "cycles: at least 1"),
            Inst::Repeat { count, every, word_stride, row_stride } => {
                must!(count.get() > 0, "count: at least 1 further issue");
                must!(every.get() > 0, "every: at least 1 cycle, a queue issues one instruction a cycle");
                let words = matches!(self.queue, Queue::Mem(..));
                must!(words || word_stride.0 == 0, "word_stride: instructions of {} have no address", self.queue);
                let rows = matches!(self.queue, Queue::Load(_) | Queue::Activate(_) | Queue::Drain(_));
                must!(rows || row_stride.0 == 0, "row_stride: instructions of {} have no row", self.queue);
            }
            Inst::Fetch { from } => {
                let streamed = self.spec.instruction.supply == InstructionSupply::Streamed;
                must!(streamed, "queues of {} read their own text, there is nothing to fetch", self.spec.name);
                self.group(from, 1)?;
            }
            Inst::Transmit {} => must!(self.spec.c2c.links > 0, "{} has no links", self.spec.name),
            Inst::RuntimeDeskew { cycles } => {
                let epoch = self.spec.time.epoch_cycles;
                must!(cycles.get() >= epoch, "cycles: {cycles}, an alignment takes an epoch of {epoch}");
            }
            _ => {}
        }
        Ok(())
    }

    /// The part of a table that lies here.
    fn table(&self, address: Address, log2: u32, residue: u32, count: u32) -> Result<(), Illegal> {
        must!(residue < 1 << log2, "residue: {residue} is not below 2^{log2}");
        self.word(address.word.into())?;
        let end = u32::from(address.word) + table_words(count, log2, residue);
        let most = self.spec.words_per_bank();
        must!(end <= most, "address, count: the table's words here end at {end}, a bank has {most}");
        Ok(())
    }

    fn segments(&self, boundary: u32, lanes: u32) -> Result<(), Illegal> {
        let most = self.spec.lanes();
        must!(boundary & 1 == 1, "boundary: bit 0 must be set, a segment starts at lane 0");
        let groups = most.div_ceil(32);
        must!(boundary >> groups == 0, "boundary: a vector has {groups} groups of 32 lanes, one bit each");
        must!((1..=most).contains(&lanes), "lanes: {lanes}, it is 1 to {most}");
        Ok(())
    }

    fn memory(&self, bank0: Slot, bank1: Slot) -> Result<(), Illegal> {
        match (bank0, bank1) {
            (Slot::Read(..), Slot::Read(..)) | (Slot::Write(..), Slot::Write(..)) => {
                return Err(Illegal("a slice makes at most one read and one write a cycle".to_owned()));
            }
            (Slot::Idle, Slot::Idle) => return Err(Illegal("bank0, bank1: both are idle, write `nop`".to_owned())),
            _ => {}
        }
        for slot in [bank0, bank1] {
            if let Slot::Read(address, stream) | Slot::Write(address, stream) = slot {
                self.word(address.word.into())?;
                self.group(stream, 1)?;
            }
        }
        Ok(())
    }

    fn kind(&self, kind: TileKind) -> Result<(), Illegal> {
        let mxm = &self.spec.mxm;
        let known = match kind {
            TileKind::Int8 | TileKind::Fp16 => true,
            TileKind::Lb4 | TileKind::Lb8 => mxm.block,
            TileKind::Wide12 | TileKind::Wide25 => mxm.wide,
        };
        must!(known, "{} has no {kind} tiles", self.spec.name);
        let pairs = mxm.planes_per_hemisphere.is_multiple_of(2);
        must!(
            pairs || !kind.takes_pair(),
            "{kind} tiles take pairs of planes, a hemisphere of {} has an odd number",
            self.spec.name
        );
        if let Queue::Load(plane) | Queue::Activate(plane) | Queue::Drain(plane) = self.queue {
            must!(!kind.takes_pair() || plane % 2 == 0, "{kind} tiles are driven by the even plane of a pair");
        }
        Ok(())
    }

    fn row(&self, row: u32) -> Result<(), Illegal> {
        let rows = self.spec.mxm.accumulator_rows;
        must!(row < rows, "row {row}: a plane has {rows} accumulator rows");
        Ok(())
    }

    fn switch(&self, streams: u32, from: Stream, to: Stream) -> Result<(), Illegal> {
        must!(matches!(streams, 1 | 2 | 4 | 8), "streams: 1, 2, 4 or 8");
        self.group(from, streams as u8)?;
        self.group(to, streams as u8)
    }

    fn source(&self, source: Source) -> Result<(), Illegal> {
        match source {
            Source::None | Source::Immediate => Ok(()),
            Source::Stream(stream, format) => self.group(stream, format.streams()),
            Source::Alu(from) => {
                must!(self.spec.has_queue(Queue::Alu(from)), "{} has no alu.{from}", self.spec.name);
                if let Queue::Alu(to) = self.queue {
                    must!(self.spec.alu_feeds(from, to), "alu.{from} does not feed alu.{to} on this machine");
                }
                Ok(())
            }
            Source::Reduce(from) => {
                must!(self.spec.has_queue(Queue::Reduce(from)), "{} has no reduce.{from}", self.spec.name);
                Ok(())
            }
        }
    }

    fn destination(&self, to: Destination) -> Result<(), Illegal> {
        for direction in to.directions() {
            self.group(Stream { direction, number: to.number }, to.format.streams())?;
        }
        Ok(())
    }

    fn alu(&self, op: AluOp, sources: [Source; 3], to: Destination) -> Result<(), Illegal> {
        let arity = op.arity();
        for (place, source) in sources.iter().enumerate() {
            let name = ["a", "b", "c"][place];
            must!((*source == Source::None) == (place >= arity), "{op} takes {arity} operands, see {name}");
            self.source(*source)?;
            let takes_i64 = matches!(op, AluOp::AddI64 | AluOp::RoundI64);
            match source {
                Source::Stream(_, Format::I64) => {
                    must!(takes_i64 || op == AluOp::Identity, "{op} takes no i64: {name}");
                }
                Source::Stream(..) | Source::Immediate => must!(!takes_i64, "{op} takes i64 only: {name}"),
                Source::None | Source::Alu(_) | Source::Reduce(_) => {}
            }
        }
        self.destination(to)
    }
}

impl AluOp {
    /// How many operands it takes: `a`, then `b`, then `c`.
    pub fn arity(self) -> usize {
        match self {
            Self::Identity
            | Self::SquareRoot
            | Self::Absolute
            | Self::Negate
            | Self::Exponent
            | Self::Ceil
            | Self::RoundEven
            | Self::ToFloat
            | Self::Exp32
            | Self::RoundI64
            | Self::Guard => 1,
            Self::FusedMultiplyAdd | Self::Select => 3,
            _ => 2,
        }
    }
}
