//! A block's stages, one after the other: straight code, and loops whose turns begin an interval apart.

use std::collections::BTreeMap;

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Address, Slot};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;

use super::{Composer, repeat, reserve, with_bases};
use crate::error::Error;
use crate::place::layout::Layout;

/// A block in the making.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    name: String,
    spec: &'a MachineSpec,
    issues: BTreeMap<(Queue, u64), Inst>,
    /// The first cycle after all effects so far.
    end: u64,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new(name: &str, spec: &'a MachineSpec) -> Self {
        Self { name: name.to_owned(), spec, issues: BTreeMap::new(), end: 0 }
    }

    /// Appends code that runs once.
    pub(crate) fn straight(&mut self, c: Composer<'a, '_>) {
        let (layout, start) = (c.layout, self.end);
        for ((queue, cycle), inst) in c.taken.into_issues() {
            self.push(queue, start + cycle, with_bases(queue, inst, &layout));
        }
    }

    /// Appends a loop of so many turns: each has its own words of arrays and its own rows of accumulators.
    pub(crate) fn looped(&mut self, c: Composer<'a, '_>, turns: u32) {
        let (layout, start, interval) = (c.layout, self.end, c.interval.unwrap_or_default());
        let rows: Vec<u32> = c.planes.iter().map(|plane| plane.rows().into()).collect();
        for ((queue, cycle), inst) in c.taken.into_issues() {
            let inst = with_bases(queue, inst, &layout);
            for turn in 0..turns {
                let inst = in_turn(queue, inst, turn, &layout, &rows, self.spec);
                self.push(queue, start + cycle + u64::from(turn) * interval, inst);
            }
        }
    }

    fn push(&mut self, queue: Queue, cycle: u64, inst: Inst) {
        let before = self.issues.get(&(queue, cycle));
        // What shares a cycle was found to fit when it was placed.
        let merged = before.and_then(|before| reserve::merge(*before, inst)).unwrap_or(inst);
        self.issues.insert((queue, cycle), merged);
        self.end = self.end.max(cycle + u64::from(duration(&inst.into(), queue, self.spec)));
    }

    /// The block, its instructions in the texts of their queues.
    pub(crate) fn finish(self) -> Result<BlockBuilder<'a>, Error> {
        let mut builder = BlockBuilder::new(&self.name, self.spec);
        for (cycle, queue, inst, times) in repeat::fold(self.issues) {
            builder.repeat(cycle, queue, inst, times)?;
        }
        Ok(builder)
    }
}

/// The instruction as a turn of a loop issues it.
fn in_turn(queue: Queue, inst: Inst, turn: u32, layout: &Layout, rows: &[u32], spec: &MachineSpec) -> Inst {
    let row = |plane: u8, row: Uint<9>| {
        let moved = (row.get() + turn * rows[usize::from(plane)]) % spec.mxm.accumulator_rows;
        Uint::new(moved).unwrap_or(row)
    };
    match (queue, inst) {
        (Queue::Mem(side, slice), Inst::Mem { bank0, bank1 }) => {
            let moved = |bank: u8, address: Address| {
                let more = if layout.is_array(side, slice, bank, address.word) { turn as u16 } else { 0 };
                Address { word: address.word + more, ..address }
            };
            let slot = |bank, slot| match slot {
                Slot::Idle => Slot::Idle,
                Slot::Read(address, stream) => Slot::Read(moved(bank, address), stream),
                Slot::Write(address, stream) => Slot::Write(moved(bank, address), stream),
            };
            Inst::Mem { bank0: slot(0, bank0), bank1: slot(1, bank1) }
        }
        (Queue::Activate(plane), Inst::Activate { kind, half, row: at, first, from, scale }) => {
            Inst::Activate { kind, half, row: row(plane, at), first, from, scale }
        }
        (Queue::Drain(plane), Inst::Drain { row: at, format, to }) => Inst::Drain { row: row(plane, at), format, to },
        (_, other) => other,
    }
}
