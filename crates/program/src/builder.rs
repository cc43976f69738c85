//! Programs by hand: instructions at cycles, in any order, become the texts of queues.

use std::collections::BTreeMap;

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stride, Uint};
use lockstep_machine::spec::MachineSpec;

use crate::program::{Block, QueueText};

/// A schedule that no text can express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two instructions on one queue in one cycle, or inside a repetition.
    #[error("{queue} cycle {cycle}: is taken by `{taken}`, cannot issue `{wanted}`; move one of them")]
    Taken {
        /// The queue.
        queue: Queue,
        /// The cycle.
        cycle: u64,
        /// What is there.
        taken: Inst,
        /// What was asked for.
        wanted: Inst,
    },
    /// The machine has no such queue, or the queue does not take such an instruction.
    #[error("{queue} does not take `{inst}` on {machine}")]
    Queue {
        /// The queue.
        queue: Queue,
        /// The instruction.
        inst: Inst,
        /// The machine.
        machine: String,
    },
}

/// How an instruction is issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// Issues in all, at least 1.
    pub issues: u16,
    /// Cycles between issues.
    pub every: u16,
    /// Added to its addresses each time.
    pub word_stride: i16,
    /// Added to its row or first vector each time.
    pub row_stride: i16,
}

impl Repetition {
    /// Issued once.
    pub const ONCE: Self = Self { issues: 1, every: 1, word_stride: 0, row_stride: 0 };
}

/// Collects the instructions of a block.
pub struct BlockBuilder<'a> {
    spec: &'a MachineSpec,
    name: String,
    queues: BTreeMap<Queue, BTreeMap<u64, (Inst, Repetition)>>,
}

impl<'a> BlockBuilder<'a> {
    /// A block without instructions.
    pub fn new(name: &str, spec: &'a MachineSpec) -> Self {
        Self { spec, name: name.to_owned(), queues: BTreeMap::new() }
    }

    /// The machine it is built for.
    pub fn spec(&self) -> &'a MachineSpec {
        self.spec
    }

    /// Issues an instruction once.
    pub fn issue(&mut self, cycle: u64, queue: Queue, inst: Inst) -> Result<(), BuildError> {
        self.repeat(cycle, queue, inst, Repetition::ONCE)
    }

    /// Issues an instruction several times.
    pub fn repeat(&mut self, cycle: u64, queue: Queue, inst: Inst, times: Repetition) -> Result<(), BuildError> {
        if !self.spec.has_queue(queue) || !inst.class().runs_on(queue) {
            return Err(BuildError::Queue { queue, inst, machine: self.spec.name.clone() });
        }
        let last = |start: u64, t: Repetition| start + u64::from(t.issues - 1) * u64::from(t.every);
        let placed = self.queues.entry(queue).or_default();
        let before = placed.range(..=last(cycle, times)).next_back();
        if let Some((start, (taken, theirs))) = before
            && last(*start, *theirs) >= cycle
        {
            return Err(BuildError::Taken { queue, cycle, taken: *taken, wanted: inst });
        }
        placed.insert(cycle, (inst, times));
        Ok(())
    }

    /// The block: texts with `nop` between instructions, and the cycles until the last effect. Its flow is not yet known.
    pub fn finish(&self) -> Block {
        let mut block = Block { name: self.name.clone(), ..Block::default() };
        for queue in self.spec.queues() {
            let Some(placed) = self.queues.get(&queue).filter(|placed| !placed.is_empty()) else { continue };
            let mut insts = Vec::new();
            let mut now = 0;
            for (cycle, (inst, times)) in placed {
                pad(&mut insts, cycle - now);
                insts.push(inst.encode());
                now = cycle + 1;
                if times.issues > 1 {
                    insts.push(repeat(*times).encode());
                    now += u64::from(times.issues - 1) * u64::from(times.every);
                }
                let ends = now - 1 + u64::from(duration(&(*inst).into(), queue, self.spec));
                block.cycles = block.cycles.max(ends);
            }
            block.queues.push(QueueText { queue, insts });
        }
        block
    }
}

/// Fills `cycles` cycles without instructions.
fn pad(insts: &mut Vec<[u8; 16]>, mut cycles: u64) {
    while cycles > 0 {
        let part = cycles.min(u64::from(u32::MAX));
        insts.push(Inst::Nop { cycles: Uint::new(part as u32).unwrap_or_default() }.encode());
        cycles -= part;
    }
}

fn repeat(times: Repetition) -> Inst {
    let number = |n: u16| Uint::new(u32::from(n)).unwrap_or_default();
    Inst::Repeat {
        count: number(times.issues - 1),
        every: number(times.every),
        word_stride: Stride(times.word_stride),
        row_stride: Stride(times.row_stride),
    }
}
