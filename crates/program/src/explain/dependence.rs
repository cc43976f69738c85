//! Who waits for whom within a block, and how long at least.
//!
//! A block's flow edges name the producer of each operand; the timing rules say when a producer leaves its result and
//! when a reader takes it. On streams and at outputs the difference is fixed; what lies in memory, arrays and
//! accumulators may lie longer. An install waits for all loads since the one before; a table that is looked up counts
//! as older than the block.

use std::collections::BTreeMap;

use lockstep_machine::access::{Access, Effect, Place, accesses};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::spec::MachineSpec;

use crate::issues::Issues;
use crate::program::{Block, IssueId, Origin};

/// An issue that another waits for. Issues are named by their places in [`Issues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependence {
    /// Who produces; before the reader in the order of issues.
    pub producer: u32,
    /// Cycles between the two issues, at least.
    pub gap: u32,
    /// How many of these the value moves along stream registers.
    pub travel: u32,
    /// Which slot of the reader waits: the two of a memory instruction have nothing to do with each other; else 0.
    pub slot: u8,
    /// Which slot of the producer it waits for.
    pub producer_slot: u8,
}

/// All dependences of a block, by reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependences {
    /// For each issue the first of its dependences; one more at the end.
    starts: Vec<u32>,
    list: Vec<Dependence>,
}

impl Dependences {
    /// The dependences of the block of this index. Edges about issues that are not there, or that come later than their
    /// reader, are left out.
    pub fn new(block: &Block, index: u32, issues: &Issues, spec: &MachineSpec) -> Self {
        let names = Names::new(block, issues);
        let mut found = Vec::new();
        // A sound block has one edge for an operand; more than this is no sound block, and must not take all memory.
        let limit = 64 * issues.len();
        for edge in &block.flow {
            let Origin::Issue { block: of, id, result } = edge.origin else { continue };
            let (Some(reader), Some(producer)) = (names.find(edge.reader), names.find(id)) else { continue };
            if of != index || found.len() > limit {
                continue;
            }
            let timing = read(issues, reader, edge.operand, spec).zip(write(issues, producer, result, spec));
            let Some((gap, travel)) = timing.and_then(|(read, write)| distance(&write, &read)) else { continue };
            // Each slot in use has one operand and one result, in order.
            let slot = |issue: u32, number: u8| match issues.inst(issue as usize) {
                Inst::Mem { .. } => number.min(1),
                _ => 0,
            };
            let (slot, producer_slot) = (slot(reader, edge.operand), slot(producer, result));
            for past in 0..edge.count {
                let moved = edge.origin.moved(i64::from(past) * i64::from(edge.step));
                let reader = edge.reader.issue.checked_add(past).map(|issue| IssueId { issue, ..edge.reader });
                let (Some(reader), Some(Origin::Issue { id, .. })) = (reader.and_then(|id| names.find(id)), moved)
                else {
                    break;
                };
                if let Some(producer) = names.find(id).filter(|producer| *producer < reader) {
                    found.push((reader, Dependence { producer, gap, travel, slot, producer_slot }));
                }
            }
        }
        installs(issues, &mut found);
        found.sort_unstable();
        // Byte planes of one value are one dependence.
        found.dedup();
        Self::from_sorted(issues.len(), &found)
    }

    fn from_sorted(issues: usize, found: &[(u32, Dependence)]) -> Self {
        let mut starts = vec![0; issues + 1];
        for (reader, _) in found {
            starts[*reader as usize + 1] += 1;
        }
        for at in 0..issues {
            starts[at + 1] += starts[at];
        }
        Self { starts, list: found.iter().map(|(_, dependence)| *dependence).collect() }
    }

    /// What an issue waits for, by the place of the producer.
    pub fn of(&self, issue: usize) -> &[Dependence] {
        &self.list[self.starts[issue] as usize..self.starts[issue + 1] as usize]
    }
}

/// An install waits for each load since the last one.
fn installs(issues: &Issues, found: &mut Vec<(u32, Dependence)>) {
    let mut loads: BTreeMap<Queue, Vec<u32>> = BTreeMap::new();
    for index in 0..issues.len() {
        let queue = issues.id(index).queue;
        match issues.inst(index) {
            Inst::Load { .. } | Inst::Scale { .. } => loads.entry(queue).or_default().push(index as u32),
            Inst::Install { .. } => {
                let waits = loads.remove(&queue).unwrap_or_default().into_iter();
                found.extend(waits.map(|producer| {
                    (index as u32, Dependence { producer, gap: 1, travel: 0, slot: 0, producer_slot: 0 })
                }));
            }
            _ => {}
        }
    }
}

/// The read that an operand's number means; what lies under a merge is an operand after the reads.
fn read(issues: &Issues, issue: u32, operand: u8, spec: &MachineSpec) -> Option<Access> {
    let issue = issues.get(issue as usize);
    let (mut reads, mut merges) = (Vec::new(), Vec::new());
    accesses(&issue.what, issue.id.queue, spec, &mut |access| match (access.effect, access.place) {
        (Effect::Read { .. }, _) => reads.push(access),
        (Effect::Merge, Place::Stream(..)) => merges.push(access),
        _ => {}
    });
    reads.into_iter().chain(merges).nth(operand.into())
}

fn write(issues: &Issues, issue: u32, result: u8, spec: &MachineSpec) -> Option<Access> {
    let issue = issues.get(issue as usize);
    let mut writes = Vec::new();
    accesses(&issue.what, issue.id.queue, spec, &mut |access| {
        if matches!(access.effect, Effect::Write | Effect::Merge) {
            writes.push(access);
        }
    });
    writes.into_iter().nth(result.into())
}

/// Cycles between the issues, at least, and how many of them on the way; nothing where no such pair can be.
fn distance(write: &Access, read: &Access) -> Option<(u32, u32)> {
    let (settled, travel) = match (write.place, read.place) {
        (Place::Stream(_, _, from), Place::Stream(_, _, to)) => (0, from.abs_diff(to)),
        _ => match read.effect {
            Effect::Read { age } => (age.max(1), 0),
            _ => (1, 0),
        },
    };
    let gap = (write.at + settled + travel).checked_sub(read.at)?;
    Some((gap, travel.min(gap)))
}

/// Finds issues by their names.
struct Names {
    /// For each queue, the first place of its instructions in `starts`, and how many there are.
    queues: BTreeMap<Queue, (usize, usize)>,
    /// For each instruction the first place of its issues in `places`; one more at the end.
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl Names {
    fn new(block: &Block, issues: &Issues) -> Self {
        let mut queues = BTreeMap::new();
        let mut insts = 0;
        for text in &block.queues {
            queues.entry(text.queue).or_insert((insts, text.insts.len()));
            insts += text.insts.len();
        }
        let at = |id: &IssueId| queues.get(&id.queue).map_or(0, |(first, _)| first + id.inst as usize);
        let mut starts = vec![0_u32; insts + 1];
        for index in 0..issues.len() {
            starts[at(&issues.id(index)) + 1] += 1;
        }
        for inst in 0..insts {
            starts[inst + 1] += starts[inst];
        }
        // Issues of an instruction come in order.
        let mut next = starts.clone();
        let mut places = vec![0; issues.len()];
        for index in 0..issues.len() {
            let next = &mut next[at(&issues.id(index))];
            places[*next as usize] = index as u32;
            *next += 1;
        }
        Self { queues, starts, places }
    }

    fn find(&self, id: IssueId) -> Option<u32> {
        let (first, insts) = self.queues.get(&id.queue)?;
        let at = first + Some(id.inst as usize).filter(|inst| inst < insts)?;
        self.places[self.starts[at] as usize..self.starts[at + 1] as usize].get(id.issue as usize).copied()
    }
}
