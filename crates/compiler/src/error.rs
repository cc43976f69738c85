//! Why a model cannot be compiled.

use std::fmt::Display;

use lockstep_graph::Op;
use lockstep_program::builder::BuildError;

use crate::place::layout::Zone;

/// A model that this machine cannot hold or run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Sizes that contradict each other, or that the program's layout does not cover.
    #[error("{what}: {found}, expected {expected}")]
    Shape {
        /// Which size.
        what: String,
        /// What was given.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A machine without what the program needs.
    #[error("{machine} has no {what}, which the program needs")]
    Machine {
        /// The machine.
        machine: String,
        /// What it lacks.
        what: &'static str,
    },
    /// No room in memory.
    #[error("{what}: no {words} words are free in slices {first}..{end}")]
    Memory {
        /// What was to be placed.
        what: String,
        /// How much of it.
        words: u32,
        /// First slice of its zone.
        first: u8,
        /// End of its zone.
        end: u8,
    },
    /// More chips are needed than there are.
    #[error("weights fit no fewer than {needed} groups of {size} chips, there are {groups}")]
    Room {
        /// Groups of chips that the weights take.
        needed: usize,
        /// Chips of a group.
        size: u32,
        /// Groups that there are.
        groups: usize,
    },
    /// The memory of the chips does not hold the model: the whole account.
    #[error("{cause}: {account}: use {levers}")]
    Capacity {
        /// What found no room.
        cause: String,
        /// What takes how much.
        account: String,
        /// What would help, by effect.
        levers: String,
    },
    /// Not all layers find room.
    #[error("only {fit} of {count} layers find room")]
    Layers {
        /// How many do.
        fit: usize,
        /// How many there are.
        count: usize,
    },
    /// An operation for which there is no code.
    #[error("{what} {op}: no code for this yet; run the model on the host instead")]
    Unsupported {
        /// In which place.
        what: &'static str,
        /// The operation.
        op: String,
    },
    /// No time at which an instruction finds its operands, unit and streams free.
    #[error("{what}: no free cycle from {from} on within {tried} cycles")]
    NoSlot {
        /// What was to be placed.
        what: String,
        /// The earliest cycle.
        from: u64,
        /// How many cycles were tried.
        tried: u64,
    },
    /// A schedule with hazards: a mistake of this crate.
    #[error("the program is not lawful: {}", .0.iter().take(3).cloned().collect::<Vec<_>>().join("; "))]
    Unlawful(Vec<String>),
    /// The schedule has no text.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Error {
    pub(crate) fn shape(what: impl Into<String>, found: impl Display, expected: impl Display) -> Self {
        Self::Shape { what: what.into(), found: found.to_string(), expected: expected.to_string() }
    }

    /// Whether memory is what lacks.
    pub(crate) fn is_room(&self) -> bool {
        matches!(self, Self::Memory { .. } | Self::Layers { .. } | Self::Room { .. })
    }

    pub(crate) fn memory(what: &str, words: u32, zone: Zone) -> Self {
        Self::Memory { what: what.into(), words, first: zone.first, end: zone.end }
    }

    pub(crate) fn unsupported(what: &'static str, op: &Op) -> Self {
        Self::Unsupported { what, op: format!("{op:?}") }
    }
}
