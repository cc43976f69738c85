//! Values in flight while a tape runs.

use crate::value::{Bytes, LANES, Lanes, WideLanes};

/// A value that is on its way: bytes if on a stream, numbers if at an output. Slots are given out when a block is linked.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) lanes: Vec<Lanes>,
    pub(crate) wide: Vec<WideLanes>,
    /// Whether the output in the slot has 64 bits.
    pub(crate) is_wide: Vec<bool>,
    /// For a stream: the superlanes that gathers drive, a bit each.
    pub(crate) driven: Vec<u32>,
}

impl Slots {
    /// Makes room for a tape's slots.
    pub(crate) fn reserve(&mut self, slots: usize) {
        if self.bytes.len() < slots {
            self.bytes.resize(slots, [0; LANES]);
            self.lanes.resize(slots, [0; LANES]);
            self.wide.resize(slots, [0; LANES]);
            self.is_wide.resize(slots, false);
            self.driven.resize(slots, 0);
        }
    }
}
