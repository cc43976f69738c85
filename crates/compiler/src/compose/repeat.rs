//! Issues of one queue that follow a pattern become one instruction and its repetition.

use std::collections::BTreeMap;

use lockstep_machine::access::Repeated;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Stride;
use lockstep_machine::inst::operand::{Address, Slot};
use lockstep_program::builder::Repetition;

/// An instruction with its queue, its first cycle and its repetition.
pub(crate) type Folded = (u64, Queue, Inst, Repetition);

/// Folds all issues. Queues keep their order, and cycles within them.
pub(crate) fn fold(issues: BTreeMap<(Queue, u64), Inst>) -> Vec<Folded> {
    let mut folded: Vec<Folded> = Vec::new();
    for ((queue, cycle), inst) in issues {
        if let Some(last) = folded.last_mut()
            && last.1 == queue
            && let Some(longer) = extend(last, cycle, inst)
        {
            last.3 = longer;
            continue;
        }
        folded.push((cycle, queue, inst, Repetition::ONCE));
    }
    folded
}

/// The repetition that covers one more issue, if it is of the same pattern.
fn extend(last: &Folded, cycle: u64, inst: Inst) -> Option<Repetition> {
    let &(start, _, first, times) = last;
    let gap = cycle - start;
    if times.issues == 1 {
        let every = u16::try_from(gap).ok()?;
        let (word_stride, row_stride) = strides(&first, &inst)?;
        return Some(Repetition { issues: 2, every, word_stride, row_stride });
    }
    let issues = times.issues.checked_add(1)?;
    let fits = gap == u64::from(times.issues) * u64::from(times.every);
    (fits && repeated(&first, times.issues, times.word_stride, times.row_stride)? == inst)
        .then_some(Repetition { issues, ..times })
}

/// By how much words and rows move on from one instruction to the other, if that is all that differs.
fn strides(one: &Inst, other: &Inst) -> Option<(i16, i16)> {
    let word = i32::from(first_word(other)?) - i32::from(first_word(one)?);
    let row = i32::try_from(row(other)).ok()? - i32::try_from(row(one)).ok()?;
    let (word, row) = (i16::try_from(word).ok()?, i16::try_from(row).ok()?);
    (repeated(one, 1, word, row)? == *other).then_some((word, row))
}

/// The instruction after so many strides, its addresses moved on.
fn repeated(inst: &Inst, count: u16, word_stride: i16, row_stride: i16) -> Option<Inst> {
    let Repeated { inst, word_offset } = inst.repeated(count.into(), Stride(word_stride), Stride(row_stride))?;
    let slot = |slot: Slot| {
        let moved = |a: Address| Some(Address { word: u16::try_from(i32::from(a.word) + word_offset).ok()?, ..a });
        Some(match slot {
            Slot::Idle => Slot::Idle,
            Slot::Read(address, stream) => Slot::Read(moved(address)?, stream),
            Slot::Write(address, stream) => Slot::Write(moved(address)?, stream),
        })
    };
    match inst {
        Inst::Mem { bank0, bank1 } => Some(Inst::Mem { bank0: slot(bank0)?, bank1: slot(bank1)? }),
        Inst::Load { .. } | Inst::Scale { .. } | Inst::Activate { .. } | Inst::Drain { .. } => Some(inst),
        _ => None,
    }
}

/// The word of a memory instruction's first address, 0 for units without addresses.
fn first_word(inst: &Inst) -> Option<u16> {
    let Inst::Mem { bank0, bank1 } = inst else { return Some(0) };
    [bank0, bank1].into_iter().find_map(|slot| match slot {
        Slot::Idle => None,
        Slot::Read(address, _) | Slot::Write(address, _) => Some(address.word),
    })
}

fn row(inst: &Inst) -> u32 {
    match inst {
        Inst::Load { first, .. } | Inst::Scale { first, .. } => first.get(),
        Inst::Activate { row, .. } | Inst::Drain { row, .. } => row.get(),
        _ => 0,
    }
}
