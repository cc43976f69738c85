//! Why a layer's program cannot be written.

use std::fmt::Display;

use lockstep_program::builder::BuildError;

/// A layer that this machine cannot hold or run.
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
    #[error("{machine} has no {what}, which the layer program needs")]
    Machine {
        /// The machine.
        machine: String,
        /// What it lacks.
        what: &'static str,
    },
    /// No room in memory.
    #[error("{what}: no {words} words are free in slices {first}..{end}: use a smaller layer or a larger machine")]
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
    #[error("the program is not lawful: {}", .0.join("; "))]
    Unlawful(Vec<String>),
    /// The schedule has no text.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Error {
    pub(crate) fn shape(what: impl Into<String>, found: impl Display, expected: impl Display) -> Self {
        Self::Shape { what: what.into(), found: found.to_string(), expected: expected.to_string() }
    }
}
