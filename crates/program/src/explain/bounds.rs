//! Counts of issues, and the bounds that follow from counting.

use std::collections::BTreeMap;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::spec::MachineSpec;

use super::kinds::{Bound, Unit};
use crate::issues::Issues;

/// Issues by class of unit, and lower bounds but for the latency, which is 0 here.
pub fn of(issues: &Issues, spec: &MachineSpec) -> ([u64; Unit::ALL.len()], [u64; Bound::ALL.len()]) {
    let mut counts = [0_u64; Unit::ALL.len()];
    // Cycles that each queue's unit is taken.
    let mut busy: BTreeMap<Queue, u64> = BTreeMap::new();
    for index in 0..issues.len() {
        let queue = issues.id(index).queue;
        counts[Unit::of(queue) as usize] += 1;
        let cycles = match *issues.inst(index) {
            Inst::Activate { kind, .. } => u64::from(kind.activation_cycles()),
            Inst::Send { .. } => u64::from(spec.c2c.vector_cycles),
            // The unit behind its queue does nothing.
            Inst::RuntimeDeskew { .. } => 0,
            _ => 1,
        };
        *busy.entry(queue).or_default() += cycles;
        if let (Inst::Activate { kind, .. }, Queue::Activate(plane)) = (issues.inst(index), queue)
            && kind.takes_pair()
        {
            *busy.entry(Queue::Activate(plane.saturating_add(1))).or_default() += cycles;
        }
    }
    let busiest = |unit: Unit| {
        busy.iter().filter(|(queue, _)| Unit::of(**queue) == unit).map(|(_, cycles)| *cycles).max().unwrap_or(0)
    };
    let shared = |unit: Unit| counts[unit as usize].div_ceil(u64::from(unit.count(spec).max(1)));
    let mut bounds = [0; Bound::ALL.len()];
    bounds[Bound::Weights as usize] = busiest(Unit::Load);
    bounds[Bound::Matrix as usize] = busiest(Unit::Activate);
    bounds[Bound::Alu as usize] = shared(Unit::Alu);
    bounds[Bound::Reduce as usize] = shared(Unit::Reduce);
    bounds[Bound::Memory as usize] = busiest(Unit::Mem);
    bounds[Bound::Switch as usize] = switch(&busy, spec);
    bounds[Bound::Links as usize] = busiest(Unit::Send).max(busiest(Unit::Receive));
    (counts, bounds)
}

/// The queues of one switch unit can stand in for each other.
fn switch(busy: &BTreeMap<Queue, u64>, spec: &MachineSpec) -> u64 {
    let mut sides = BTreeMap::new();
    for (queue, cycles) in busy {
        if let Queue::Sxm(side, _) = queue {
            *sides.entry(side).or_insert(0) += cycles;
        }
    }
    let queues = u64::from(spec.sxm.queues_per_hemisphere.max(1));
    sides.into_values().max().map_or(0, |issues: u64| issues.div_ceil(queues))
}
