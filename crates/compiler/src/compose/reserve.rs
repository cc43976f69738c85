//! What is taken: instructions by queue and cycle, streams by diagonal, outputs and ports by cycle. Every step can be
//! taken back, so that a caller may try a cycle and go on to the next.
//!
//! In the body of a loop that starts anew every `interval` cycles, what is taken in a cycle is taken in all cycles that
//! are whole intervals away (modulo scheduling: Rau, "Iterative modulo scheduling", 1994).

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::{Direction, Position, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Stream;
use lockstep_machine::inst::operand::Slot;
use lockstep_machine::spec::MachineSpec;

/// A stream's diagonal: what a value that flows along it keeps.
type Diagonal = (Direction, u8, i64);

/// One step that can be taken back.
#[derive(Debug)]
enum Step {
    Issue((Queue, u64), Option<Inst>),
    Segment(Diagonal),
    Output((Queue, u64)),
    Bank((Queue, u8, u64)),
    Port((u8, u64)),
    Span(Queue),
}

/// Everything that is taken.
#[derive(Debug)]
pub(crate) struct Reservations<'a> {
    spec: &'a MachineSpec,
    interval: Option<u64>,
    issues: BTreeMap<(Queue, u64), Inst>,
    /// The cycles of the issues that share a queue's slot.
    slots: BTreeMap<(Queue, u64), Vec<u64>>,
    /// Issues of each queue.
    loads: BTreeMap<Queue, u32>,
    /// Spans of diagonals, from a producer to its last reader, in the direction of flow.
    streams: BTreeMap<Diagonal, Vec<(i64, i64)>>,
    outputs: BTreeSet<(Queue, u64)>,
    /// Banks of memory slices, which serve one access a cycle.
    banks: BTreeSet<(Queue, u8, u64)>,
    ports: BTreeSet<(u8, u64)>,
    /// From the first to the last cycle in which a queue works on one thing.
    spans: BTreeMap<Queue, Vec<(u64, u64)>>,
    steps: Vec<Step>,
}

impl<'a> Reservations<'a> {
    /// Nothing is taken; `interval` is that of a loop.
    pub(crate) fn new(spec: &'a MachineSpec, interval: Option<u64>) -> Self {
        Self {
            spec,
            interval,
            issues: BTreeMap::new(),
            slots: BTreeMap::new(),
            loads: BTreeMap::new(),
            streams: BTreeMap::new(),
            outputs: BTreeSet::new(),
            banks: BTreeSet::new(),
            ports: BTreeSet::new(),
            spans: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// The cycle within the interval.
    fn slot(&self, cycle: u64) -> u64 {
        self.interval.map_or(cycle, |interval| cycle % interval)
    }

    /// A point to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.steps.len()
    }

    /// Takes back all steps since the mark.
    pub(crate) fn rollback(&mut self, mark: usize) {
        while self.steps.len() > mark {
            match self.steps.pop() {
                Some(Step::Issue(key, Some(before))) => drop(self.issues.insert(key, before)),
                Some(Step::Issue(key, None)) => {
                    self.issues.remove(&key);
                    let slot = self.slot(key.1);
                    self.slots.get_mut(&(key.0, slot)).map(Vec::pop);
                    *self.loads.entry(key.0).or_default() -= 1;
                }
                Some(Step::Segment(diagonal)) => {
                    self.streams.get_mut(&diagonal).map(Vec::pop);
                }
                Some(Step::Output(key)) => {
                    self.outputs.remove(&key);
                }
                Some(Step::Bank(key)) => {
                    self.banks.remove(&key);
                }
                Some(Step::Port(key)) => {
                    self.ports.remove(&key);
                }
                Some(Step::Span(queue)) => {
                    self.spans.get_mut(&queue).map(Vec::pop);
                }
                None => return,
            }
        }
    }

    /// The shortest interval in which the units could issue all this.
    pub(crate) fn least_interval(&self) -> u64 {
        let mut busy: BTreeMap<(u8, Option<Queue>), u64> = BTreeMap::new();
        for ((queue, _), inst) in &self.issues {
            let key = match queue {
                Queue::Alu(_) => (0, None),
                Queue::Reduce(_) => (1, None),
                Queue::Mem(..) => (2, None),
                other => (3, Some(*other)),
            };
            let cycles = match inst {
                Inst::Activate { kind, .. } => kind.activation_cycles().into(),
                _ => 1,
            };
            *busy.entry(key).or_default() += cycles;
        }
        let units = |class: u8| match class {
            0 => u64::from(self.spec.vxm.alus),
            1 => u64::from(self.spec.vxm.reduce_units),
            2 => 2 * u64::from(self.spec.mem.slices_per_hemisphere),
            _ => 1,
        };
        busy.into_iter().map(|((class, _), cycles)| cycles.div_ceil(units(class))).max().unwrap_or(1)
    }

    /// All instructions with their queues and cycles.
    pub(crate) fn into_issues(self) -> BTreeMap<(Queue, u64), Inst> {
        self.issues
    }

    /// How many instructions a queue issues.
    pub(crate) fn load(&self, queue: Queue) -> u32 {
        self.loads.get(&queue).copied().unwrap_or_default()
    }

    /// Whether a queue issues nothing in a cycle.
    pub(crate) fn is_free(&self, queue: Queue, cycle: u64) -> bool {
        self.slots.get(&(queue, self.slot(cycle))).is_none_or(Vec::is_empty)
    }

    /// The instruction issued there.
    pub(crate) fn inst(&self, queue: Queue, cycle: u64) -> Option<Inst> {
        self.issues.get(&(queue, cycle)).copied()
    }

    /// Issues an instruction; a read and a write of different banks of a slice become one.
    pub(crate) fn issue(&mut self, queue: Queue, cycle: u64, inst: Inst) -> bool {
        let before = self.inst(queue, cycle);
        let Some(merged) = before.map_or(Some(inst), |before| merge(before, inst)) else { return false };
        // What other cycles of the slot issue happens in the same cycle of another turn of the loop.
        let others = self.slots.get(&(queue, self.slot(cycle))).into_iter().flatten().filter(|other| **other != cycle);
        let all = others.map(|other| self.issues[&(queue, *other)]).try_fold(merged, merge);
        if all.is_none() {
            return false;
        }
        let mark = self.mark();
        if !self.banks(queue, cycle, inst) {
            self.rollback(mark);
            return false;
        }
        self.replace(queue, cycle, merged);
        true
    }

    /// Takes the banks that a memory instruction reads and writes, when it does.
    fn banks(&mut self, queue: Queue, cycle: u64, inst: Inst) -> bool {
        let interval = self.interval;
        let mut take = |bank: u8, cycle: u64| {
            let cycle = interval.map_or(cycle, |interval| cycle % interval);
            let free = self.banks.insert((queue, bank, cycle));
            if free {
                self.steps.push(Step::Bank((queue, bank, cycle)));
            }
            free
        };
        let written = cycle + u64::from(self.spec.mem.write_delay) - 1;
        match inst {
            Inst::Mem { bank0, bank1 } => [(0, bank0), (1, bank1)].into_iter().all(|(bank, slot)| match slot {
                Slot::Idle => true,
                Slot::Read(..) => take(bank, cycle),
                Slot::Write(..) => take(bank, written),
            }),
            Inst::Gather { bank, .. } => take(bank.get() as u8, cycle),
            Inst::Scatter { bank, .. } => take(bank.get() as u8, written),
            _ => true,
        }
    }

    /// Puts an instruction in the place of the one issued there.
    pub(crate) fn replace(&mut self, queue: Queue, cycle: u64, inst: Inst) {
        let before = self.issues.insert((queue, cycle), inst);
        if before.is_none() {
            self.slots.entry((queue, self.slot(cycle))).or_default().push(cycle);
            *self.loads.entry(queue).or_default() += 1;
        }
        self.steps.push(Step::Issue((queue, cycle), before));
    }

    /// Takes an output for the cycle in which a result appears.
    pub(crate) fn output(&mut self, queue: Queue, cycle: u64) -> bool {
        let cycle = self.slot(cycle);
        let free = self.outputs.insert((queue, cycle));
        if free {
            self.steps.push(Step::Output((queue, cycle)));
        }
        free
    }

    /// Takes a plane's multipliers for a cycle.
    pub(crate) fn port(&mut self, plane: u8, cycle: u64) -> bool {
        let cycle = self.slot(cycle);
        let free = self.ports.insert((plane, cycle));
        if free {
            self.steps.push(Step::Port((plane, cycle)));
        }
        free
    }

    /// The last cycle up to which a queue that is free in `from` works on nothing; in a loop none is known.
    pub(crate) fn free_until(&self, queue: Queue, from: u64) -> Option<u64> {
        let taken =
            self.spans.get(&queue).into_iter().flatten().filter(|span| self.interval.is_none() && from <= span.1);
        match taken.map(|span| span.0).min() {
            Some(next) => next.checked_sub(1).filter(|last| *last >= from),
            None => Some(u64::MAX),
        }
    }

    /// Takes a queue from one cycle to another, both included, for one piece of work.
    pub(crate) fn exclusive(&mut self, queue: Queue, from: u64, to: u64) -> bool {
        // The later of two spans begins so many cycles behind the other, in turns of the loop.
        let interval = self.interval;
        let apart = |a: (u64, u64), b: (u64, u64)| match interval {
            None => a.1 < b.0 || b.1 < a.0,
            Some(interval) => {
                let behind = (b.0 % interval + interval - a.0 % interval) % interval;
                behind > a.1 - a.0 && behind + (b.1 - b.0) < interval
            }
        };
        let fits = interval.is_none_or(|interval| to - from < interval);
        let spans = self.spans.entry(queue).or_default();
        if !fits || spans.iter().any(|taken| !apart(*taken, (from, to))) {
            return false;
        }
        spans.push((from, to));
        self.steps.push(Step::Span(queue));
        true
    }

    /// Takes a stream from a producer, where the value appears in `cycle`, to its last reader downstream.
    pub(crate) fn stream(&mut self, stream: Stream, from: Position, cycle: u64, to: Position) -> bool {
        if u32::from(stream.number) >= self.spec.streams {
            return false;
        }
        let (from, to, cycle) = (i64::from(from), i64::from(to), cycle as i64);
        let (key, span) = match stream.direction {
            Direction::East => (cycle - from, (from, to)),
            Direction::West => (cycle + from, (-from, -to)),
        };
        let key = self.interval.map_or(key, |interval| key.rem_euclid(interval as i64));
        let diagonal = (stream.direction, stream.number, key);
        let spans = self.streams.entry(diagonal).or_default();
        // Readers at a later producer's register still see what arrives, so spans may touch.
        if span.0 >= span.1 || spans.iter().any(|taken| span.0 < taken.1 && taken.0 < span.1) {
            return false;
        }
        spans.push(span);
        self.steps.push(Step::Segment(diagonal));
        true
    }
}

/// One instruction that does what two memory instructions do, if a slice can.
pub(crate) fn merge(one: Inst, other: Inst) -> Option<Inst> {
    let (Inst::Mem { bank0: a0, bank1: a1 }, Inst::Mem { bank0: b0, bank1: b1 }) = (one, other) else { return None };
    let either = |a: Slot, b: Slot| match (a, b) {
        (slot, Slot::Idle) | (Slot::Idle, slot) => Some(slot),
        _ => None,
    };
    let (bank0, bank1) = (either(a0, b0)?, either(a1, b1)?);
    let reads = [bank0, bank1].iter().filter(|slot| matches!(slot, Slot::Read(..))).count();
    (reads == 1).then_some(Inst::Mem { bank0, bank1 })
}
