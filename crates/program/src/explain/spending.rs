//! Where the cycles of an entry go, over all its chips: each cycle counts once, for the first of these that holds
//! somewhere.

use std::collections::BTreeMap;

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::spec::MachineSpec;

use super::kinds::Unit;
use super::{Error, ISSUES_MAX, issues};
use crate::program::{Entry, Program};

/// Cycles by what happens in them; together those of the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// A vector, matrix or switch unit of some chip works.
    pub compute: u64,
    /// None does, and a vector is on its way between chips, from the issue of its send to its arrival on a stream.
    pub exchange: u64,
    /// None of these, and memory is read or written, or a matrix loaded.
    pub memory: u64,
    /// Nothing of all this: results that are not yet there, and clocks that align.
    pub wait: u64,
}

/// Cycles in which something holds: one bit each.
#[derive(Clone, Default)]
struct Cycles(Vec<u64>);

impl Cycles {
    fn set(&mut self, from: u64, count: u64) {
        let words = (from + count).div_ceil(64) as usize;
        self.0.resize(self.0.len().max(words), 0);
        for cycle in from..from + count {
            self.0[(cycle / 64) as usize] |= 1 << (cycle % 64);
        }
    }

    /// Adds others, so many cycles later.
    fn add(&mut self, others: &Self, later: u64) {
        let (word, bit) = ((later / 64) as usize, later % 64);
        self.0.resize(self.0.len().max(word + others.0.len() + 1), 0);
        for (index, bits) in others.0.iter().enumerate() {
            self.0[word + index] |= bits << bit;
            if bit > 0 {
                self.0[word + index + 1] |= bits >> (64 - bit);
            }
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or_default()
    }
}

/// What a block does when.
#[derive(Default)]
struct Activity {
    compute: Cycles,
    memory: Cycles,
    /// Cycles of the issues of each link.
    sent: BTreeMap<u8, Vec<u64>>,
    received: BTreeMap<u8, Vec<u64>>,
}

/// Where the cycles of each entry go.
pub fn spending(program: &Program<'_>) -> Result<Vec<Spending>, Error> {
    let mut left = ISSUES_MAX;
    let mut activities = Vec::new();
    for block in &program.blocks {
        let issues = issues(block, &program.machine, left)?;
        left -= issues.len();
        let mut activity = Activity::default();
        // A clock that is brought back in line does nothing else, whatever queue it stands on.
        let works = |index: &usize| !matches!(issues.inst(*index), Inst::RuntimeDeskew { .. });
        for index in (0..issues.len()).filter(works) {
            let (queue, cycle) = (issues.id(index).queue, issues.cycle(index));
            activity.note(queue, cycle, duration(&(*issues.inst(index)).into(), queue, &program.machine).into());
        }
        activities.push(activity);
    }
    Ok(program.entries.iter().map(|entry| of_entry(program, entry, &activities)).collect())
}

impl Activity {
    fn note(&mut self, queue: Queue, cycle: u64, cycles: u64) {
        match (Unit::of(queue), queue) {
            (Unit::Alu | Unit::Reduce | Unit::Activate | Unit::Drain | Unit::Switch, _) => {
                self.compute.set(cycle, cycles);
            }
            (_, Queue::Send(link)) => self.sent.entry(link).or_default().push(cycle),
            (_, Queue::Receive(link)) => self.received.entry(link).or_default().push(cycle),
            _ => self.memory.set(cycle, cycles),
        }
    }
}

fn of_entry(program: &Program<'_>, entry: &Entry, activities: &[Activity]) -> Spending {
    let (mut compute, mut memory) = (Cycles::default(), Cycles::default());
    let mut sent: BTreeMap<(u32, u8), Vec<u64>> = BTreeMap::new();
    let mut received = sent.clone();
    // By chip, then by time: so the vectors of a link are in order.
    for instance in &entry.instances {
        let activity = &activities[instance.block as usize];
        compute.add(&activity.compute, instance.start);
        memory.add(&activity.memory, instance.start);
        for (all, own) in [(&mut sent, &activity.sent), (&mut received, &activity.received)] {
            for (link, cycles) in own {
                let cycles = cycles.iter().map(|cycle| instance.start + cycle);
                all.entry((instance.chip, *link)).or_default().extend(cycles);
            }
        }
    }
    let exchange = flights(program, &sent, &received, &program.machine);
    let mut spending = Spending::default();
    for word in 0..entry.cycles.div_ceil(64) as usize {
        let inside = (entry.cycles - 64 * word as u64).min(64);
        let all = if inside == 64 { u64::MAX } else { (1 << inside) - 1 };
        let compute = compute.word(word) & all;
        let exchange = exchange.word(word) & all & !compute;
        let memory = memory.word(word) & all & !compute & !exchange;
        spending.compute += u64::from(compute.count_ones());
        spending.exchange += u64::from(exchange.count_ones());
        spending.memory += u64::from(memory.count_ones());
        spending.wait += u64::from((all & !compute & !exchange & !memory).count_ones());
    }
    spending
}

/// Cycles in which a vector is on its way: the n-th that is taken from a link is the n-th that was sent.
fn flights(
    program: &Program<'_>,
    sent: &BTreeMap<(u32, u8), Vec<u64>>,
    received: &BTreeMap<(u32, u8), Vec<u64>>,
    spec: &MachineSpec,
) -> Cycles {
    let mut cycles = Cycles::default();
    for link in &program.links {
        let ends = sent.get(&(link.from_chip, link.from_link)).zip(received.get(&(link.to_chip, link.to_link)));
        for (sent, taken) in ends.into_iter().flat_map(|(sent, taken)| sent.iter().zip(taken)) {
            cycles.set(*sent, (taken + u64::from(spec.c2c.receive_delay)).saturating_sub(*sent));
        }
    }
    cycles
}
