//! What the verifier finds.

use std::fmt;

use lockstep_machine::geometry::Queue;

/// How many violations a report lists; the rest is counted.
pub const VIOLATIONS_LISTED: usize = 1_000;

/// Kinds of violations. Those that a run can meet have the names of its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViolationKind {
    /// An instruction that the machine does not take, a text that is no text, or a name of something that is not there.
    Illegal,
    /// Images, bindings or links that contradict the machine or each other.
    Layout,
    /// A read where no value is, or of memory that nothing has written; an output that nothing writes.
    EmptyRead,
    /// Two values on one stream at one register in one cycle.
    StreamClash,
    /// One unit asked to do two things in one cycle.
    PortClash,
    /// Two accesses of one bank in one cycle.
    BankClash,
    /// A row drained before its sums are complete.
    EarlyDrain,
    /// An operand produced by another instruction than the program says, or a claim about an operand that is not there.
    WrongProducer,
    /// A word outside its bank.
    AddressOutOfRange,
    /// A tile of one kind used as another.
    KindMismatch,
    /// A link that leads nowhere.
    Unconnected,
    /// A vector taken from a link before it can have arrived.
    LinkLate,
    /// More vectors on their way into a receiver than it can hold.
    LinkOverflow,
    /// Chips that exchange a vector too long after their clocks were aligned.
    Unaligned,
    /// Blocks of one chip that overlap in time.
    Overlap,
    /// Cycles that differ from the predicted ones.
    CycleMismatch,
    /// A queue that ran out of text, or was brought more than it can hold.
    Starved,
    /// Text that does not fit where text lies, or that something else lies upon.
    TextOverflow,
    /// More violations than are listed.
    More,
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// One thing that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// What.
    pub kind: ViolationKind,
    /// When, from the entry's start; from the block's start where no entry runs the block.
    pub cycle: u64,
    /// On which chip.
    pub chip: u32,
    /// On which unit, if one is to blame.
    pub unit: Option<Queue>,
    /// The instruction, with its place in its text.
    pub inst: Option<String>,
    /// The instruction it clashes with.
    pub other: Option<(Queue, String)>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at cycle {}, chip {}, ", self.kind, self.cycle, self.chip)?;
        match self.unit {
            Some(queue) => write!(f, "{queue}")?,
            None => write!(f, "-")?,
        }
        if let Some(inst) = &self.inst {
            write!(f, " {inst}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some((queue, inst)) = &self.other {
            write!(f, "; the other is {queue} {inst}")?;
        }
        Ok(())
    }
}

impl Violation {
    /// A violation for which no instruction is to blame.
    pub(crate) fn whole(kind: ViolationKind, chip: u32, cycle: u64, message: String) -> Self {
        Self { kind, cycle, chip, unit: None, inst: None, other: None, message }
    }
}

/// Collects violations.
#[derive(Debug, Default)]
pub(crate) struct Report {
    listed: Vec<Violation>,
    more: u64,
}

impl Report {
    /// Adds a violation; its text is made only while there is room for it.
    pub(crate) fn add(&mut self, violation: impl FnOnce() -> Violation) {
        if self.listed.len() < VIOLATIONS_LISTED {
            self.listed.push(violation());
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.listed.is_empty()
    }

    /// The violations, sorted by cycle, chip and unit.
    pub(crate) fn finish(mut self) -> Vec<Violation> {
        self.listed.sort_by_key(|v| (v.cycle, v.chip, v.unit, v.kind));
        if self.more > 0 {
            let message = format!("{} more violations are not listed", self.more);
            self.listed.push(Violation::whole(ViolationKind::More, 0, u64::MAX, message));
        }
        self.listed
    }
}
