//! What may become of an instruction.

use lockstep_machine::geometry::Direction;
use lockstep_machine::inst::field::{Stream, Stride, Uint};
use lockstep_machine::inst::operand::{Address, Destination, Slot, Source};
use lockstep_machine::inst::{Class, Inst};
use lockstep_machine::spec::MachineSpec;

use crate::program::{BASES, Program};

/// A change. Operands are counted from 0 as the instruction's text names them: streams and ALUs that it takes from or
/// gives to, and apart from them addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// A cycle earlier, with its repetitions.
    Earlier,
    /// A cycle later, with its repetitions.
    Later,
    /// Left out, with its repetitions.
    Drop,
    /// The other bank.
    SwapBank,
    /// Another stream: the next group of streams, or the next ALU, in place of an operand.
    NextStream(u8),
    /// Another stream: the same number in the other direction.
    OtherWay(u8),
    /// An address one word on.
    NextWord(u8),
    /// An address one word back.
    WordBefore(u8),
    /// An address with another base: the next that some instance of the block gives another offset.
    NextBase(u8),
    /// The next accumulator row, or vector of a tile.
    NextRow,
    /// The row or vector before.
    RowBefore,
    /// One word more from repetition to repetition.
    LongerStride,
    /// One row or vector more from repetition to repetition.
    SteeperRows,
    /// One repetition less.
    FewerIssues,
}

impl Change {
    /// All changes; no instruction has more operands than are here.
    pub const ALL: &[Self] = &[
        Self::Earlier,
        Self::Later,
        Self::Drop,
        Self::SwapBank,
        Self::NextStream(0),
        Self::NextStream(1),
        Self::NextStream(2),
        Self::NextStream(3),
        Self::OtherWay(0),
        Self::OtherWay(1),
        Self::OtherWay(2),
        Self::OtherWay(3),
        Self::NextWord(0),
        Self::NextWord(1),
        Self::WordBefore(0),
        Self::WordBefore(1),
        Self::NextBase(0),
        Self::NextBase(1),
        Self::NextRow,
        Self::RowBefore,
        Self::LongerStride,
        Self::SteeperRows,
        Self::FewerIssues,
    ];

    /// What it is about, in a word.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Earlier | Self::Later => "shift",
            Self::Drop => "drop",
            Self::SwapBank => "bank",
            Self::NextStream(_) | Self::OtherWay(_) => "stream",
            Self::NextWord(_) | Self::WordBefore(_) | Self::NextBase(_) => "address",
            Self::NextRow | Self::RowBefore => "row",
            Self::LongerStride | Self::SteeperRows | Self::FewerIssues => "repeat",
        }
    }
}

/// What instructions of a block refer to.
pub(super) struct Machine<'a> {
    spec: &'a MachineSpec,
    /// Of each instance of the block.
    offsets: Vec<&'a [i32; BASES]>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(program: &'a Program<'_>, block: usize) -> Self {
        let instances = program.entries.iter().flat_map(|entry| &entry.instances);
        let offsets = instances.filter(|i| i.block as usize == block).map(|instance| &instance.offsets).collect();
        Self { spec: &program.machine, offsets }
    }

    /// The next base that some instance gives another offset.
    fn next_base(&self, base: u8) -> Option<u8> {
        let differs = |other: &u8| self.offsets.iter().any(|o| o[usize::from(*other)] != o[usize::from(base)]);
        (1..BASES as u8).map(|on| (base + on) % BASES as u8).find(differs)
    }
}

/// A place in an instruction that names streams or units.
enum Operand<'a> {
    /// So many streams.
    Group(&'a mut Stream, u8),
    Source(&'a mut Source),
    Destination(&'a mut Destination),
}

/// The changed instruction; `None` where it has nothing of the kind.
pub(super) fn of_inst(inst: Inst, change: Change, machine: &Machine<'_>) -> Option<Inst> {
    let mut changed = inst;
    match change {
        Change::SwapBank => swap_bank(&mut changed)?,
        Change::NextStream(nth) => next_stream(operands(&mut changed).into_iter().nth(nth.into())?, machine.spec)?,
        Change::OtherWay(nth) => other_way(operands(&mut changed).into_iter().nth(nth.into())?)?,
        Change::NextWord(nth) => address(&mut changed, nth, |a| Some(Address { word: a.word.checked_add(1)?, ..a }))?,
        Change::WordBefore(nth) => address(&mut changed, nth, |a| Some(Address { word: a.word.checked_sub(1)?, ..a }))?,
        Change::NextBase(nth) => {
            address(&mut changed, nth, |a| Some(Address { base: machine.next_base(a.base)?, ..a }))?;
        }
        Change::NextRow => row(&mut changed, 1)?,
        Change::RowBefore => row(&mut changed, -1)?,
        _ => return None,
    }
    // What does not survive its own encoding is another instruction than was meant.
    (changed != inst && Inst::decode(changed.encode()) == Ok(changed)).then_some(changed)
}

/// A `repeat` of an instruction of this class with another stride.
pub(super) fn of_repeat(repeat: Inst, class: Class, change: Change) -> Option<Inst> {
    let Inst::Repeat { count, every, mut word_stride, mut row_stride } = repeat else { return None };
    match (change, class) {
        (Change::LongerStride, Class::Mem) => word_stride = Stride(word_stride.0.checked_add(1)?),
        (Change::SteeperRows, Class::Load | Class::Activate | Class::Drain) => {
            row_stride = Stride(row_stride.0.checked_add(1)?);
        }
        _ => return None,
    }
    Some(Inst::Repeat { count, every, word_stride, row_stride })
}

fn operands(inst: &mut Inst) -> Vec<Operand<'_>> {
    use Operand::Group;
    match inst {
        Inst::Mem { bank0, bank1 } => [bank0, bank1]
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Idle => None,
                Slot::Read(_, stream) | Slot::Write(_, stream) => Some(Group(stream, 1)),
            })
            .collect(),
        Inst::Gather { index, to: data, .. } | Inst::Scatter { index, from: data, .. } => {
            vec![Group(index, 4), Group(data, 1)]
        }
        Inst::Alu { a, b, c, to, .. } => {
            vec![Operand::Source(a), Operand::Source(b), Operand::Source(c), Operand::Destination(to)]
        }
        Inst::Reduce { a, to, .. } => vec![Operand::Source(a), Operand::Destination(to)],
        Inst::Load { kind, from, .. } => vec![Group(from, kind.vector_streams())],
        Inst::Codebook { from } | Inst::Scale { from, .. } | Inst::Send { from } | Inst::Fetch { from } => {
            vec![Group(from, 1)]
        }
        Inst::Activate { kind, from, scale, .. } => {
            let vector = Group(from, kind.activation_streams());
            if kind.has_scale() { vec![vector, Group(scale, 2)] } else { vec![vector] }
        }
        Inst::Drain { format, to, .. } => vec![Group(to, format.streams())],
        Inst::Shift { streams, from, to, .. }
        | Inst::Rotate { streams, from, to, .. }
        | Inst::Distribute { streams, from, to, .. } => {
            let streams = streams.get() as u8;
            vec![Group(from, streams), Group(to, streams)]
        }
        Inst::Permute { map, streams, from, to } => {
            let streams = streams.get() as u8;
            vec![Group(map, 2), Group(from, streams), Group(to, streams)]
        }
        Inst::Transpose { from, to } => vec![Group(from, 16), Group(to, 16)],
        Inst::Receive { to } => vec![Group(to, 1)],
        _ => Vec::new(),
    }
}

fn turned(direction: Direction) -> Direction {
    match direction {
        Direction::East => Direction::West,
        Direction::West => Direction::East,
    }
}

fn next_stream(operand: Operand<'_>, spec: &MachineSpec) -> Option<()> {
    let next = |number: u8, width: u8| ((u32::from(number) + u32::from(width)) % spec.streams.max(1)) as u8;
    match operand {
        Operand::Group(stream, width) => stream.number = next(stream.number, width),
        Operand::Source(Source::Stream(stream, format)) => stream.number = next(stream.number, format.streams()),
        Operand::Source(Source::Alu(alu)) => *alu = ((u32::from(*alu) + 1) % spec.vxm.alus.max(1)) as u8,
        Operand::Source(Source::Reduce(unit)) => {
            *unit = ((u32::from(*unit) + 1) % spec.vxm.reduce_units.max(1)) as u8;
        }
        Operand::Destination(to) if to.east || to.west => to.number = next(to.number, to.format.streams()),
        Operand::Source(Source::None | Source::Immediate) | Operand::Destination(_) => return None,
    }
    Some(())
}

/// A result that leaves both ways goes east alone.
fn other_way(operand: Operand<'_>) -> Option<()> {
    match operand {
        Operand::Group(stream, _) | Operand::Source(Source::Stream(stream, _)) => {
            stream.direction = turned(stream.direction);
        }
        Operand::Destination(to) if to.east || to.west => (to.east, to.west) = (to.west, to.east && !to.west),
        _ => return None,
    }
    Some(())
}

fn swap_bank(inst: &mut Inst) -> Option<()> {
    match inst {
        Inst::Mem { bank0, bank1 } => std::mem::swap(bank0, bank1),
        Inst::Gather { bank, .. } | Inst::Scatter { bank, .. } => *bank = Uint::new(1 - bank.get())?,
        _ => return None,
    }
    Some(())
}

fn address(inst: &mut Inst, nth: u8, change: impl Fn(Address) -> Option<Address>) -> Option<()> {
    let mut addresses: Vec<&mut Address> = match inst {
        Inst::Mem { bank0, bank1 } => [bank0, bank1]
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Idle => None,
                Slot::Read(address, _) | Slot::Write(address, _) => Some(address),
            })
            .collect(),
        Inst::Gather { address, .. } | Inst::Scatter { address, .. } => vec![address],
        _ => return None,
    };
    let address = addresses.get_mut(usize::from(nth))?;
    **address = change(**address)?;
    Some(())
}

fn row(inst: &mut Inst, by: i32) -> Option<()> {
    match inst {
        Inst::Load { first: row, .. }
        | Inst::Scale { first: row, .. }
        | Inst::Activate { row, .. }
        | Inst::Drain { row, .. } => *row = Uint::new(row.get().checked_add_signed(by)?)?,
        _ => return None,
    }
    Some(())
}
