//! The names of what is counted.

use std::fmt;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::spec::MachineSpec;

/// A class of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Memory slices.
    Mem,
    /// ALUs.
    Alu,
    /// Lane reducers.
    Reduce,
    /// Load queues of planes.
    Load,
    /// Activation queues of planes.
    Activate,
    /// Drain queues of planes.
    Drain,
    /// Switch queues.
    Switch,
    /// Sending sides of links.
    Send,
    /// Receiving sides of links.
    Receive,
}

impl Unit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Mem,
        Self::Alu,
        Self::Reduce,
        Self::Load,
        Self::Activate,
        Self::Drain,
        Self::Switch,
        Self::Send,
        Self::Receive,
    ];

    /// The class of a queue.
    pub fn of(queue: Queue) -> Self {
        match queue {
            Queue::Mem(..) => Self::Mem,
            Queue::Alu(_) => Self::Alu,
            Queue::Reduce(_) => Self::Reduce,
            Queue::Load(_) => Self::Load,
            Queue::Activate(_) => Self::Activate,
            Queue::Drain(_) => Self::Drain,
            Queue::Sxm(..) => Self::Switch,
            Queue::Send(_) => Self::Send,
            Queue::Receive(_) => Self::Receive,
        }
    }

    /// How many a chip has.
    pub fn count(self, spec: &MachineSpec) -> u32 {
        match self {
            Self::Mem => 2 * spec.mem.slices_per_hemisphere,
            Self::Alu => spec.vxm.alus,
            Self::Reduce => spec.vxm.reduce_units,
            Self::Load | Self::Activate | Self::Drain => spec.planes(),
            Self::Switch => 2 * spec.sxm.queues_per_hemisphere,
            Self::Send | Self::Receive => spec.c2c.links,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mem => "mem",
            Self::Alu => "vxm",
            Self::Reduce => "reduce",
            Self::Load => "load",
            Self::Activate => "activate",
            Self::Drain => "drain",
            Self::Switch => "sxm",
            Self::Send => "send",
            Self::Receive => "receive",
        })
    }
}

/// What keeps a span from being shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Loads, scales, codebooks and installs of the busiest plane.
    Weights,
    /// Cycles of activations of the busiest plane.
    Matrix,
    /// Operations over ALUs.
    Alu,
    /// Reduced vectors over reducers.
    Reduce,
    /// Issues of the busiest memory slice.
    Memory,
    /// Issues of the busier switch unit over its queues.
    Switch,
    /// Cycles of the busiest link.
    Links,
    /// The longest chain of operands.
    Latency,
}

impl Bound {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Weights, Self::Matrix, Self::Alu, Self::Reduce, Self::Memory, Self::Switch, Self::Links, Self::Latency];
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Weights => "weights",
            Self::Matrix => "matrix",
            Self::Alu => "alu",
            Self::Reduce => "reduce",
            Self::Memory => "memory",
            Self::Switch => "switch",
            Self::Links => "links",
            Self::Latency => "latency",
        })
    }
}

/// What a cycle of a critical chain is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spent {
    /// Reducing over lanes.
    Reduce,
    /// ALU operations.
    Alu,
    /// Filling and installing a plane's buffer.
    Load,
    /// From an activation to its drained result.
    Matrix,
    /// Reading and writing words.
    Memory,
    /// Moving along stream registers.
    Travel,
    /// Looking up tables and writing to them.
    Gather,
    /// Moving lanes.
    Switch,
    /// Sending, receiving, and aligning chips.
    Link,
    /// Fetching instructions.
    Fetch,
    /// Nothing: the operands were there, or not needed yet.
    Waiting,
}

impl Spent {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Reduce,
        Self::Alu,
        Self::Load,
        Self::Matrix,
        Self::Memory,
        Self::Travel,
        Self::Gather,
        Self::Switch,
        Self::Link,
        Self::Fetch,
        Self::Waiting,
    ];

    /// What an instruction of a queue spends its own cycles on.
    pub fn on(inst: &Inst, queue: Queue) -> Self {
        match (inst, Unit::of(queue)) {
            (Inst::Fetch { .. }, _) => Self::Fetch,
            (Inst::RuntimeDeskew { .. }, _) => Self::Link,
            (Inst::Gather { .. } | Inst::Scatter { .. }, _) => Self::Gather,
            (_, Unit::Mem) => Self::Memory,
            (_, Unit::Alu) => Self::Alu,
            (_, Unit::Reduce) => Self::Reduce,
            (_, Unit::Load) => Self::Load,
            (_, Unit::Activate | Unit::Drain) => Self::Matrix,
            (_, Unit::Switch) => Self::Switch,
            (_, Unit::Send | Unit::Receive) => Self::Link,
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reduce => "reduce",
            Self::Alu => "alu",
            Self::Load => "load",
            Self::Matrix => "matrix",
            Self::Memory => "memory",
            Self::Travel => "travel",
            Self::Gather => "gather",
            Self::Switch => "switch",
            Self::Link => "link",
            Self::Fetch => "fetch",
            Self::Waiting => "waiting",
        })
    }
}
