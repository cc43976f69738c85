//! When the edges of chips' clocks fall, in reference time: integers, in millionths of a nominal cycle.

use crate::conditions::{Conditions, MILLION};

/// A chip's clock.
pub(crate) struct Clock<'a> {
    conditions: &'a Conditions,
    chip: u32,
    /// How long a cycle is.
    cycle: i128,
    /// Cycles from which on it is in line, beside the entry's start.
    aligned: &'a [u64],
}

impl<'a> Clock<'a> {
    pub(crate) fn new(conditions: &'a Conditions, chip: u32, aligned: &'a [u64]) -> Self {
        Self { conditions, chip, cycle: MILLION + conditions.ppm(chip), aligned }
    }

    /// When a cycle of program time begins here, `more` cycles of this clock later.
    pub(crate) fn edge(&self, cycle: u64, more: u32) -> i128 {
        let alignments = self.aligned.partition_point(|end| *end <= cycle);
        let last = alignments.checked_sub(1).map_or(0, |last| self.aligned[last]);
        let since = i128::from(cycle - last) + i128::from(more);
        i128::from(last) * MILLION + self.conditions.phase(self.chip, alignments) + since * self.cycle
    }

    /// How long a time by the nominal clock is by a cable that belongs to this chip.
    pub(crate) fn own(&self, nominal: i128) -> i128 {
        nominal * self.cycle / MILLION
    }
}

/// When an entry ends, by the chips that end first and last: in millionths of a nominal cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elapsed {
    /// At the earliest.
    pub least: u128,
    /// At the latest.
    pub most: u128,
}

impl Elapsed {
    /// So many cycles by clocks that agree.
    pub(crate) fn nominal(cycles: u64) -> Self {
        let time = u128::from(cycles) * MILLION as u128;
        Self { least: time, most: time }
    }

    /// The span of the last edges of some clocks.
    pub(crate) fn of<'a>(clocks: impl Iterator<Item = Clock<'a>>, cycles: u64) -> Self {
        let ends = clocks.map(|clock| clock.edge(cycles, 0).max(0) as u128);
        let span = ends.fold(None, |span: Option<(u128, u128)>, end| {
            Some(span.map_or((end, end), |(least, most)| (least.min(end), most.max(end))))
        });
        span.map_or_else(Self::default, |(least, most)| Self { least, most })
    }
}
