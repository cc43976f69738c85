//! Streamed instruction supply.
//!
//! The rule: a queue starts a block with the first `queue_bytes` bytes of its text. An `ifetch` issued at cycle t reads
//! its vectors from t on, one a cycle; in the cycle after the last one the queue has `fetch_bytes` more (less at the end
//! of the text). An instruction, control or not, is looked at in the cycle in which the queue gets to it (a `repeat` in
//! the cycle after the instruction that it repeats), and its 16 bytes must be there; then they are gone. The queue never
//! holds more than `queue_bytes`.

use std::collections::VecDeque;

use lockstep_machine::inst::{DecodeError, INST_BYTES, Inst};
use lockstep_machine::spec::MachineSpec;

use super::facts::Site;
use super::report::{Report, Violation, ViolationKind};
use crate::program::{Block, QueueText};

/// A queue that starves or overflows: when, at which instruction, and why.
type Trouble = (u64, usize, String);

/// Checks the supply of all queues of a block; each is reported once.
pub(crate) fn check(block: &Block, site: Site, spec: &MachineSpec, report: &mut Report) {
    let barrier_end = barrier_end(block, spec);
    for text in &block.queues {
        if let Err((cycle, inst, message)) = check_queue(text, barrier_end, spec) {
            report.add(|| Violation {
                kind: ViolationKind::Starved,
                cycle: site.start.saturating_add(cycle),
                chip: site.chip,
                unit: Some(text.queue),
                inst: Some(format!("(instruction {inst})")),
                other: None,
                message,
            });
        }
    }
}

/// The cycle in which a queue gets to the instruction after one to which it got at `cycle`.
fn after(inst: Result<Inst, DecodeError>, cycle: u64, barrier_end: u64) -> u64 {
    match inst {
        Ok(Inst::Nop { cycles } | Inst::RuntimeDeskew { cycles }) => cycle + u64::from(cycles.get()),
        Ok(Inst::Repeat { count, every, .. }) => cycle + u64::from(count.get()) * u64::from(every.get()),
        Ok(Inst::Sync {} | Inst::Notify {}) => barrier_end,
        _ => cycle + 1,
    }
}

/// The cycle from which queues go on after the block's barrier, 0 if it has none.
fn barrier_end(block: &Block, spec: &MachineSpec) -> u64 {
    let notify = Inst::Notify {}.encode();
    let Some(text) = block.queues.iter().find(|text| text.insts.contains(&notify)) else { return 0 };
    let before = text.insts.iter().take_while(|bytes| **bytes != notify);
    before.fold(0, |cycle, bytes| after(Inst::decode(*bytes), cycle, 0)) + u64::from(spec.time.barrier_cycles)
}

fn check_queue(text: &QueueText, barrier_end: u64, spec: &MachineSpec) -> Result<(), Trouble> {
    let granule = u64::from(spec.instruction.fetch_bytes);
    let vectors = u64::from(spec.instruction.fetch_bytes.div_ceil(spec.lanes()));
    let room = u64::from(spec.instruction.queue_bytes);
    let all = (text.insts.len() * INST_BYTES) as u64;
    // Bytes brought so far, the cycles from which granules on their way are there, and bytes gone.
    let mut brought = room.min(all);
    let mut coming = VecDeque::new();
    let (mut cycle, mut gone) = (0, 0);
    for (place, bytes) in text.insts.iter().enumerate() {
        while coming.front().is_some_and(|there| *there <= cycle) {
            coming.pop_front();
            brought = (brought + granule).min(all);
            if brought - gone > room {
                let message = format!("the queue is brought {} bytes, it has room for {room}", brought - gone);
                return Err((cycle, place, message));
            }
        }
        gone += INST_BYTES as u64;
        if gone > brought {
            return Err((cycle, place, format!("the queue has no more text: {brought} bytes were brought")));
        }
        let inst = Inst::decode(*bytes);
        if matches!(inst, Ok(Inst::Fetch { .. })) {
            coming.push_back(cycle + vectors);
        }
        cycle = after(inst, cycle, barrier_end);
    }
    Ok(())
}
