//! The tape: instructions in the order of their execution, with a slot for each value in flight.

use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::Slot;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::issues::{Issue, Issues};

use crate::link::LinkedBlock;

/// No value: what a quiet gather may find under itself.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// One instruction of the tape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// Which issue.
    pub(crate) issue: u32,
    /// Its first operand in [`LinkedBlock::operands`].
    pub(crate) operands: u32,
    /// Its first result in [`LinkedBlock::results`].
    pub(crate) results: u32,
    /// Which part of it.
    pub(crate) part: Part,
}

/// A memory instruction that reads and writes does so at two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Its read.
    Read,
    /// Its write.
    Write,
}

/// What linking noted, in the order of issues; operands and results are numbers of values.
pub(crate) struct Recorded<'a> {
    pub(crate) ops: &'a [Op],
    pub(crate) operands: &'a [u32],
    pub(crate) results: &'a [u32],
    /// How many values there are.
    pub(crate) values: u32,
}

/// When each part of each operation is executed.
fn in_order(issues: &Issues, ops: &[Op], spec: &MachineSpec) -> Vec<(u64, u32, Part)> {
    let mut order = Vec::with_capacity(ops.len());
    for (op, Op { issue, .. }) in ops.iter().enumerate() {
        place_op(&issues.get(*issue as usize), spec, &mut |key, part| order.push((key, op as u32, part)));
    }
    order.sort_by_key(|(key, ..)| *key);
    order
}

/// Puts the tape in the order of its execution, and gives each value a slot for as long as someone will read it.
pub(crate) fn lay_out(block: &mut LinkedBlock, spec: &MachineSpec, recorded: &Recorded<'_>) {
    let Recorded { ops, operands, results, values } = *recorded;
    let order = in_order(&block.issues, ops, spec);
    let end = |op: usize, first: fn(&Op) -> u32, all: usize| ops.get(op + 1).map_or(all, |next| first(next) as usize);
    let operand_range = |op: usize| ops[op].operands as usize..end(op, |o| o.operands, operands.len());
    let result_range = |op: usize| ops[op].results as usize..end(op, |o| o.results, results.len());
    let mut last_reader = vec![NO_SLOT; values as usize];
    for (place, (_, op, part)) in order.iter().enumerate() {
        let read = if *part == Part::Read { 0..0 } else { operand_range(*op as usize) };
        for value in &operands[read] {
            if *value != NO_SLOT {
                last_reader[*value as usize] = place as u32;
            }
        }
    }
    let mut slot_of = vec![NO_SLOT; values as usize];
    let mut free = Vec::new();
    let mut dying: Vec<u32> = Vec::new();
    for (place, (_, op, part)) in order.iter().enumerate() {
        let op = *op as usize;
        let (first_operand, first_result) = (block.operands.len() as u32, block.results.len() as u32);
        let taped = Op { issue: ops[op].issue, operands: first_operand, results: first_result, part: *part };
        let read = if *part == Part::Read { 0..0 } else { operand_range(op) };
        let written = if *part == Part::Write { 0..0 } else { result_range(op) };
        dying.clear();
        for value in &operands[read] {
            let slot = if *value == NO_SLOT { NO_SLOT } else { slot_of[*value as usize] };
            block.operands.push(slot);
            if slot != NO_SLOT && last_reader[*value as usize] == place as u32 {
                last_reader[*value as usize] = NO_SLOT;
                dying.push(slot);
            }
        }
        for value in &results[written] {
            let slot = if last_reader[*value as usize] == NO_SLOT {
                NO_SLOT
            } else {
                free.pop().unwrap_or_else(|| {
                    block.slots += 1;
                    block.slots - 1
                })
            };
            slot_of[*value as usize] = slot;
            block.results.push(slot);
        }
        // Freed after the results were placed: an operation never writes over its own operands.
        free.extend_from_slice(&dying);
        block.tape.push(taped);
    }
}

/// When an operation is executed: its cycle, and within it what reads a lasting place before what writes it. A plane's
/// array is read by an activation before an install writes it; its buffer by the install before a load writes it.
fn place_op(issue: &Issue, spec: &MachineSpec, place: &mut impl FnMut(u64, Part)) {
    let key = |cycle: u64, class: u64| cycle << 2 | class;
    let written = key(issue.cycle + u64::from(spec.mem.write_delay) - 1, 2);
    match issue.what.inst {
        Inst::Drain { .. } | Inst::Gather { .. } => place(key(issue.cycle, 0), Part::Whole),
        Inst::Install { .. } => place(key(issue.cycle, 2), Part::Whole),
        Inst::Load { .. } | Inst::Scale { .. } | Inst::Codebook { .. } => place(key(issue.cycle, 3), Part::Whole),
        Inst::Scatter { .. } => place(written, Part::Whole),
        // Text and clocks are no values: only their timing is simulated.
        Inst::Fetch { .. } | Inst::RuntimeDeskew { .. } => {}
        Inst::Mem { bank0, bank1 } => {
            if [bank0, bank1].iter().any(|slot| matches!(slot, Slot::Read(..))) {
                place(key(issue.cycle, 0), Part::Read);
            }
            if [bank0, bank1].iter().any(|slot| matches!(slot, Slot::Write(..))) {
                place(written, Part::Write);
            }
        }
        _ => place(key(issue.cycle, 1), Part::Whole),
    }
}
