//! What stops a run.

use std::fmt;

use lockstep_machine::geometry::Queue;

/// Kinds of faults. Nothing is resolved silently: the first one ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An instruction that the machine does not take, or a text that is no text.
    Illegal,
    /// A read where no value is, or of memory that nothing has written.
    EmptyRead,
    /// Two values on one stream at one register in one cycle.
    StreamClash,
    /// One unit asked to do two things in one cycle.
    PortClash,
    /// A read and a write of one bank in one cycle.
    BankClash,
    /// A row drained before its sums are complete.
    EarlyDrain,
    /// An operand produced by another instruction than the program says.
    WrongProducer,
    /// A word outside its bank.
    AddressOutOfRange,
    /// A tile of one kind used as another.
    KindMismatch,
    /// A vector for or from a link that leads nowhere.
    Unconnected,
    /// A vector taken from a link before it can have arrived.
    LinkLate,
    /// More vectors on their way into a receiver than it can hold.
    LinkOverflow,
    /// Chips that exchange a vector too long after their clocks were aligned.
    Unaligned,
    /// Blocks of one chip that overlap in time, or do not fit the entry.
    Overlap,
    /// Cycles that differ from the predicted ones.
    CycleMismatch,
    /// Integer overflow.
    Overflow,
    /// A value outside what an operation or a format can hold.
    ValueRange,
    /// Two gathers that drive one superlane.
    GatherConflict,
    /// More flipped bits in a word than can be corrected.
    EccUncorrectable,
    /// A queue that ran out of text.
    Starved,
    /// A vector that arrives with more errors than its link's code corrects.
    LinkLost,
    /// A vector that does not arrive, since its cable is out of order.
    LinkDead,
    /// A chip that is out of order.
    ChipDead,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::Illegal,
        Self::EmptyRead,
        Self::StreamClash,
        Self::PortClash,
        Self::BankClash,
        Self::EarlyDrain,
        Self::WrongProducer,
        Self::AddressOutOfRange,
        Self::KindMismatch,
        Self::Unconnected,
        Self::LinkLate,
        Self::LinkOverflow,
        Self::Unaligned,
        Self::Overlap,
        Self::CycleMismatch,
        Self::Overflow,
        Self::ValueRange,
        Self::GatherConflict,
        Self::EccUncorrectable,
        Self::Starved,
        Self::LinkLost,
        Self::LinkDead,
        Self::ChipDead,
    ];

    /// Whether only a run can meet it: it depends on values, or on what happens to the hardware. The others are found by
    /// linking, and by verifying.
    pub fn depends_on_values(self) -> bool {
        matches!(self, Self::Overflow | Self::ValueRange | Self::GatherConflict) || self.is_of_hardware()
    }

    /// Whether hardware has failed: the program is not to blame.
    pub fn is_of_hardware(self) -> bool {
        matches!(self, Self::EccUncorrectable | Self::LinkLost | Self::LinkDead | Self::ChipDead)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The fault that ended a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at cycle {cycle}, chip {chip}, {unit}: {message}")]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// When, from the entry's start (from the block's start if no entry was run yet).
    pub cycle: u64,
    /// Where.
    pub chip: u32,
    /// Which unit, `-` where none is to blame.
    pub unit: Unit,
    /// What happened, with the instructions concerned.
    pub message: String,
}

/// The unit of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit(pub Option<Queue>);

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(queue) => write!(f, "{queue}"),
            None => write!(f, "-"),
        }
    }
}

/// A fault before it is known on which chip and in which instance it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFault {
    pub(crate) kind: FaultKind,
    pub(crate) cycle: u64,
    pub(crate) queue: Option<Queue>,
    pub(crate) message: String,
}

impl LocalFault {
    pub(crate) fn new(kind: FaultKind, cycle: u64, queue: Queue, message: String) -> Self {
        Self { kind, cycle, queue: Some(queue), message }
    }

    /// The fault as it is reported: in an instance that starts at `start` on `chip`.
    pub(crate) fn at(self, chip: u32, start: u64) -> Fault {
        let Self { kind, cycle, queue, message } = self;
        Fault { kind, cycle: start + cycle, chip, unit: Unit(queue), message }
    }
}
