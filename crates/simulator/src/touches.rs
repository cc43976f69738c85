//! What the instructions of a block touch: told once for an instruction, whose repetitions move on from there.

use std::ops::Range;

use lockstep_machine::access::{Access, Effect, Place, accesses};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Stride;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::issues::{Issue, Issues};

use crate::edges::{Edges, NONE};

/// An access of an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    /// Where its first issue makes it.
    pub(crate) place: Place,
    pub(crate) effect: Effect,
    /// Cycles after the issue.
    pub(crate) at: u32,
    /// Which operand the edges are asked about, if any; a merge's is what is underneath.
    pub(crate) operand: u32,
    /// The operand's or the result's number.
    pub(crate) ordinal: u8,
    /// By how many words and rows each issue moves on from the one before.
    strides: (Stride, Stride),
}

/// The accesses of a block's instructions.
#[derive(Debug, Default)]
pub(crate) struct Touches {
    all: Vec<Touch>,
    runs: Vec<Run>,
}

/// The accesses of one instruction, in the order in which linking takes them: where each kind of them ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) first: u32,
    /// Reads of what is in flight, with the issue.
    pub(crate) reads: u32,
    /// What comes later, and uses of ports.
    pub(crate) others: u32,
    /// Reads of what lasts.
    pub(crate) lasting: u32,
    /// Writes of what lasts, with the issue: they come after all reads of its cycle, and nothing else of it asks for
    /// them.
    pub(crate) written: u32,
    /// Cycles after the issue of the last access.
    pub(crate) last: u32,
    /// Whether its repetitions differ from it in rows, which must be lawful.
    pub(crate) moves_rows: bool,
}

impl Touch {
    /// Where an issue of the instruction makes it.
    #[inline(always)]
    pub(crate) fn place_of(&self, nth: u32) -> Place {
        let (words, rows) = self.strides;
        self.place.moved(nth as i32 * i32::from(words.0), nth as i32 * i32::from(rows.0))
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self.effect, Effect::Read { .. })
    }

    /// Which of the kinds of [`Run`] it is, counted from 0.
    fn kind(&self) -> usize {
        let in_flight = matches!(self.place, Place::Stream(..) | Place::Output(_));
        match self.effect {
            Effect::Read { .. } if !in_flight => 2,
            Effect::Read { .. } if self.at == 0 => 0,
            Effect::Write | Effect::Merge if !in_flight && self.at == 0 => 3,
            _ => 1,
        }
    }
}

impl Touches {
    pub(crate) fn new(issues: &Issues) -> Self {
        Self { all: Vec::with_capacity(4 * issues.runs()), runs: vec![Run::default(); issues.runs()] }
    }

    /// Adds the accesses of an instruction, at its first issue.
    pub(crate) fn add(
        &mut self,
        (run, strides): (usize, (Stride, Stride)),
        issue: &Issue,
        spec: &MachineSpec,
        edges: Option<&Edges<'_>>,
    ) {
        let id = issue.id;
        let (mut reads, mut writes) = (0_u8, 0_u8);
        let moves_rows = matches!(id.queue, Queue::Load(_) | Queue::Activate(_) | Queue::Drain(_));
        let mut of = Run { first: self.all.len() as u32, moves_rows, ..Run::default() };
        let operands = edges.map_or(0..0, |edges| edges.operands(id));
        let operand = |ordinal: u8| operands.clone().nth(ordinal.into()).unwrap_or(NONE);
        let mut kinds = [0; 4];
        accesses(&issue.what, id.queue, spec, &mut |access| {
            let Access { at, place, effect } = access;
            let (ordinal, operand) = match effect {
                Effect::Read { .. } => (reads, operand(reads)),
                Effect::Merge => (writes, operand(reads)),
                Effect::Write => (writes, NONE),
                Effect::Use => (0, NONE),
            };
            match effect {
                Effect::Read { .. } => reads += 1,
                Effect::Write | Effect::Merge => writes += 1,
                Effect::Use => {}
            }
            of.last = of.last.max(at);
            let touch = Touch { place, effect, at, operand, ordinal, strides };
            kinds[touch.kind()] += 1;
            self.all.push(touch);
        });
        self.all[of.first as usize..].sort_by_key(Touch::kind);
        of.reads = of.first + kinds[0];
        of.others = of.reads + kinds[1];
        of.lasting = of.others + kinds[2];
        of.written = of.lasting + kinds[3];
        self.runs[run] = of;
    }

    pub(crate) fn of(&self, run: usize) -> Run {
        self.runs[run]
    }

    pub(crate) fn get(&self, touch: u32) -> &Touch {
        &self.all[touch as usize]
    }

    pub(crate) fn all(&self, touches: Range<u32>) -> &[Touch] {
        &self.all[touches.start as usize..touches.end as usize]
    }
}
