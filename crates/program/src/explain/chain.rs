//! The latency bound, and the chain of operands that the end of a block waits for.
//!
//! Both come from one longest path each: an issue can be no earlier than the operands allow (the bound), and, with the
//! order in each queue kept, no earlier than one cycle after its predecessor (the chain). Operands on streams all
//! arrive in the cycle they are read, most of them because they were sent so as to; so the chain follows, from the last
//! effect back, the operand that could least have come earlier, or the predecessor in the queue where that is what held
//! it up. Cycles by which the schedule is later than the chain asks for are waiting.

use std::collections::BTreeMap;

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::Slot;
use lockstep_machine::spec::MachineSpec;

use super::dependence::Dependences;
use super::kinds::Spent;
use crate::issues::Issues;
use crate::program::Block;

/// An issue of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The issue, by its place in [`Issues`].
    pub issue: u32,
    /// Its cycle.
    pub cycle: u64,
    /// What its own cycles are spent on.
    pub spent: Spent,
    /// Cycles by which it is later than the step before it asks for; of the first, its cycle.
    pub waiting: u64,
}

/// What walking through a block finds.
pub(super) struct Walked {
    /// Cycles that the block takes at least, from its operands alone.
    pub(super) latency: u64,
    /// The chain, from the first issue to the last.
    pub(super) steps: Vec<Step>,
    /// Where the block's cycles go.
    pub(super) spent: [u64; Spent::ALL.len()],
}

/// A slot of an issue: memory instructions have two, each with an operand and a result of its own.
type Node = (usize, usize);

/// Why a slot is no earlier.
#[derive(Clone, Copy, Debug)]
struct Cause {
    producer: Node,
    gap: u32,
    travel: u32,
}

/// Earliest cycles of a slot and what the chain follows from it.
#[derive(Clone, Copy, Debug, Default)]
struct Earliest {
    /// By operands alone.
    free: u64,
    /// With the order in its queue.
    ordered: u64,
    cause: Option<Cause>,
}

impl Earliest {
    /// The slot that holds up its issue: of equal ones the first.
    fn later(slots: &[Self; 2]) -> usize {
        usize::from(slots[1].ordered > slots[0].ordered)
    }
}

pub(super) fn walk(block: &Block, issues: &Issues, dependences: &Dependences, spec: &MachineSpec) -> Walked {
    let earliest = earliest(issues, dependences);
    let mut spent = [0; Spent::ALL.len()];
    let mut latency = 0;
    // The issue with the last effect; of equal ones the one that could least have been earlier.
    let mut last = None;
    for (index, slots) in earliest.iter().enumerate() {
        let issue = issues.get(index);
        let takes = u64::from(duration(&issue.what, issue.id.queue, spec));
        let slot = Earliest::later(slots);
        // Of two slots the read takes longer: only the sooner one is sure to be as long as the instruction.
        let [sooner, later] = [slots[0].free.min(slots[1].free), slots[0].free.max(slots[1].free)];
        let two = matches!(issue.what.inst, Inst::Mem { bank0, bank1 } if bank0 != Slot::Idle && bank1 != Slot::Idle);
        latency = latency.max(if two { (sooner + takes).max(later + 1) } else { later + takes });
        let key = (issue.cycle + takes, slots[slot].ordered);
        if last.is_none_or(|(best, _)| key > best) {
            last = Some((key, (index, slot)));
        }
    }
    let Some(((end, _), mut at)) = last else {
        spent[Spent::Waiting as usize] = block.cycles;
        return Walked { latency, steps: Vec::new(), spent };
    };
    let kind = |index: usize| Spent::on(issues.inst(index), issues.id(index).queue);
    spent[kind(at.0) as usize] += end - issues.cycle(at.0);
    spent[Spent::Waiting as usize] += block.cycles.saturating_sub(end);
    let mut steps = Vec::new();
    loop {
        let cycle = issues.cycle(at.0);
        let cause = earliest[at.0][at.1].cause;
        let between = cycle - cause.map_or(0, |cause| issues.cycle(cause.producer.0));
        let gap = cause.map_or(0, |cause| u64::from(cause.gap).min(between));
        let step = Step { issue: at.0 as u32, cycle, spent: kind(at.0), waiting: between - gap };
        steps.push(step);
        spent[Spent::Waiting as usize] += step.waiting;
        let Some(cause) = cause else { break };
        let travel = u64::from(cause.travel).min(gap);
        at = cause.producer;
        spent[Spent::Travel as usize] += travel;
        spent[kind(at.0) as usize] += gap - travel;
    }
    steps.reverse();
    Walked { latency, steps, spent }
}

/// Longest paths. Producers stand before their readers, so that one pass is enough.
fn earliest(issues: &Issues, dependences: &Dependences) -> Vec<[Earliest; 2]> {
    let mut all: Vec<[Earliest; 2]> = Vec::with_capacity(issues.len());
    let mut predecessors: BTreeMap<Queue, usize> = BTreeMap::new();
    for index in 0..issues.len() {
        let mut slots = [Earliest::default(); 2];
        // Of equal causes the later producer: less of the chain is waiting.
        let mut best = [(0, 0); 2];
        for dependence in dependences.of(index) {
            let producer = (dependence.producer as usize, usize::from(dependence.producer_slot));
            let (early, gap) = (all[producer.0][producer.1], u64::from(dependence.gap));
            let slot = usize::from(dependence.slot);
            let reader = &mut slots[slot];
            let key = (early.ordered + gap, issues.cycle(producer.0) + gap);
            if reader.cause.is_none() || key > best[slot] {
                best[slot] = key;
                reader.cause = Some(Cause { producer, gap: dependence.gap, travel: dependence.travel });
            }
            reader.free = reader.free.max(early.free + gap);
            reader.ordered = reader.ordered.max(early.ordered + gap);
        }
        if let Some(before) = predecessors.insert(issues.id(index).queue, index) {
            let producer = (before, Earliest::later(&all[before]));
            let ordered = all[before][producer.1].ordered + 1;
            for slot in &mut slots {
                if ordered > slot.ordered {
                    (slot.ordered, slot.cause) = (ordered, Some(Cause { producer, gap: 1, travel: 0 }));
                }
            }
        }
        all.push(slots);
    }
    all
}
