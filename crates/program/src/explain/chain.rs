//! The latency bound, and the chain of operands that the end of a block waits for.
//!
//! Both come from one longest path each: an issue can be no earlier than the operands allow (the bound), and, with the order
//! in each queue kept, no earlier than one cycle after its predecessor (the chain). Operands on streams all arrive in the
//! cycle they are read, most of them because they were sent so as to; so the chain follows, from the last effect back,
//! the operand that could least have come earlier, or the predecessor in the queue where that is what held it up. Cycles by
//! which the schedule is later than the chain asks for are waiting.

use std::collections::BTreeMap;

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
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

/// Why an issue is no earlier.
#[derive(Clone, Copy, Debug)]
struct Cause {
    producer: u32,
    gap: u32,
    travel: u32,
}

/// Earliest cycles of an issue and what the chain follows from it.
#[derive(Clone, Copy, Debug, Default)]
struct Earliest {
    /// By operands alone.
    free: u64,
    /// With the order in its queue.
    ordered: u64,
    cause: Option<Cause>,
}

pub(super) fn walk(block: &Block, issues: &Issues, dependences: &Dependences, spec: &MachineSpec) -> Walked {
    let earliest = earliest(issues, dependences);
    let mut spent = [0; Spent::ALL.len()];
    let mut latency = 0;
    // The issue with the last effect; of equal ones the one that could least have been earlier.
    let mut last = None;
    for (index, early) in earliest.iter().enumerate() {
        let issue = issues.get(index);
        let takes = u64::from(duration(&issue.what, issue.id.queue, spec));
        latency = latency.max(early.free + takes);
        let key = (issue.cycle + takes, early.ordered);
        if last.is_none_or(|(best, _)| key > best) {
            last = Some((key, index));
        }
    }
    let Some(((end, _), mut at)) = last else {
        spent[Spent::Waiting as usize] = block.cycles;
        return Walked { latency, steps: Vec::new(), spent };
    };
    let kind = |index: usize| Spent::on(issues.inst(index), issues.id(index).queue);
    spent[kind(at) as usize] += end - issues.cycle(at);
    spent[Spent::Waiting as usize] += block.cycles.saturating_sub(end);
    let mut steps = Vec::new();
    loop {
        let cycle = issues.cycle(at);
        let cause = earliest[at].cause;
        let between = cycle - cause.map_or(0, |cause| issues.cycle(cause.producer as usize));
        let gap = cause.map_or(0, |cause| u64::from(cause.gap).min(between));
        let step = Step { issue: at as u32, cycle, spent: kind(at), waiting: between - gap };
        steps.push(step);
        spent[Spent::Waiting as usize] += step.waiting;
        let Some(cause) = cause else { break };
        let travel = u64::from(cause.travel).min(gap);
        at = cause.producer as usize;
        spent[Spent::Travel as usize] += travel;
        spent[kind(at) as usize] += gap - travel;
    }
    steps.reverse();
    Walked { latency, steps, spent }
}

/// Longest paths. Producers stand before their readers, so that one pass is enough.
fn earliest(issues: &Issues, dependences: &Dependences) -> Vec<Earliest> {
    let mut all: Vec<Earliest> = Vec::with_capacity(issues.len());
    let mut predecessors: BTreeMap<Queue, u32> = BTreeMap::new();
    for index in 0..issues.len() {
        let mut early = Earliest::default();
        // Of equal causes the later producer: less of the chain is waiting.
        let mut best = (0, 0);
        for dependence in dependences.of(index) {
            let producer = &all[dependence.producer as usize];
            early.free = early.free.max(producer.free + u64::from(dependence.gap));
            let ordered = producer.ordered + u64::from(dependence.gap);
            let key = (ordered, issues.cycle(dependence.producer as usize) + u64::from(dependence.gap));
            if early.cause.is_none() || key > best {
                best = key;
                let (producer, gap, travel) = (dependence.producer, dependence.gap, dependence.travel);
                early.cause = Some(Cause { producer, gap, travel });
            }
            early.ordered = early.ordered.max(ordered);
        }
        if let Some(producer) = predecessors.insert(issues.id(index).queue, index as u32) {
            let ordered = all[producer as usize].ordered + 1;
            if ordered > early.ordered {
                early.ordered = ordered;
                early.cause = Some(Cause { producer, gap: 1, travel: 0 });
            }
        }
        all.push(early);
    }
    all
}
