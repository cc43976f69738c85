//! Streamed instruction supply.
//!
//! The rule: a queue starts a block with the first `queue_bytes` bytes of its text. An `ifetch` issued at cycle t reads
//! its vectors from t on, one a cycle; in the cycle after the last one the queue has `fetch_bytes` more. When an
//! instruction is issued (or, for a `repeat`, first issues the one before it again), the text up to and with it must be
//! there, and is then gone from the queue; `nop` and other control go with what follows them. When a granule comes, the
//! queue must have room for it: it never holds more than `queue_bytes`.

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::{INST_BYTES, Inst};
use lockstep_machine::spec::MachineSpec;

use super::facts::Facts;
use super::report::{Report, ViolationKind};
use crate::program::{Block, QueueText};

/// A queue's text in time.
struct Supply<'a> {
    facts: &'a Facts,
    queue: Queue,
    room: u64,
    granule: u64,
    /// From when on the n-th granule is there.
    there: Vec<u64>,
    /// When the text up to so many bytes is needed, by which issue; both grow.
    needs: Vec<(u64, u64, u32)>,
}

/// Checks the supply of all queues of a block; each queue is reported once for starving and once for overflowing.
pub(crate) fn check(block: &Block, facts: &Facts, spec: &MachineSpec, report: &mut Report) {
    for text in &block.queues {
        let supply = Supply::new(text, facts, spec);
        for (issue, message) in supply.starved().into_iter().chain(supply.overflow()) {
            let cycle = facts.issues[issue as usize].cycle;
            report.add(|| facts.violation(ViolationKind::Starved, facts.site, cycle, issue, message));
        }
    }
}

impl<'a> Supply<'a> {
    fn new(text: &QueueText, facts: &'a Facts, spec: &MachineSpec) -> Self {
        let (room, granule) = (spec.instruction.queue_bytes.into(), spec.instruction.fetch_bytes.into());
        let vectors = u64::from(spec.instruction.fetch_bytes.div_ceil(spec.lanes()));
        let mut supply = Self { facts, queue: text.queue, room, granule, there: Vec::new(), needs: Vec::new() };
        for inst in 0..text.insts.len() {
            let issues = facts.issues_of(text.queue, inst as u32);
            for (repeat, issue) in issues.iter().take(2).enumerate() {
                let at = &facts.issues[*issue as usize];
                supply.needs.push((at.cycle, ((inst + 1 + repeat) * INST_BYTES) as u64, *issue));
                if matches!(at.what.inst, Inst::Fetch { .. }) {
                    supply.there.push(at.cycle + vectors);
                }
            }
        }
        supply
    }

    /// The first issue whose text is not there.
    fn starved(&self) -> Option<(u32, String)> {
        self.needs.iter().find_map(|(cycle, bytes, issue)| {
            let granules = self.there.partition_point(|there| there <= cycle) as u64;
            let brought = self.room + granules * self.granule;
            let message = || format!("{} needs {bytes} bytes of its text, {brought} were brought", self.queue);
            (*bytes > brought).then(|| (*issue, message()))
        })
    }

    /// The `ifetch` whose granule finds no room, by the issue after which it comes. What comes after the queue's last
    /// issue is of no account.
    fn overflow(&self) -> Option<(u32, String)> {
        let insts = self.needs.last().map(|(.., issue)| self.facts.issues[*issue as usize].id.inst)?;
        let last = self.facts.issues_of(self.queue, insts).last()?;
        let end = self.facts.issues[*last as usize].cycle;
        self.there.iter().take_while(|there| **there <= end).enumerate().find_map(|(nth, there)| {
            let before = self.needs.partition_point(|(cycle, ..)| cycle < there).checked_sub(1)?;
            let (_, gone, issue) = self.needs[before];
            let held = (self.room + (nth as u64 + 1) * self.granule).saturating_sub(gone);
            let message = || format!("{} is brought {held} bytes, it has room for {}", self.queue, self.room);
            (held > self.room).then(|| (issue, message()))
        })
    }
}
