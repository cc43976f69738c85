//! A block's flow edges, looked up in the order of its issues.

use std::ops::Range;

use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_program::program::{Block, FlowEdge, IssueId, Origin};

/// No edge, and no operand that has one.
pub(crate) const NONE: u32 = u32::MAX;
/// Numbers that [`code`] gives to queues.
const QUEUES: usize = 512;

/// Edges by reading instruction and operand, each list in the order of issues.
pub(crate) struct Edges<'a> {
    flow: &'a [FlowEdge],
    /// For each queue, where its instructions begin in `insts`.
    texts: Vec<u32>,
    /// For each instruction, where its operands begin in `first`; the next one's begin is their end.
    insts: Vec<u32>,
    /// For each operand, its first edge.
    first: Vec<u32>,
    /// For each edge, the next one of its operand.
    next: Vec<u32>,
    /// How many operands all edges are about.
    pub(crate) operands: u64,
}

/// How far an instance's issues have come in the edges.
pub(crate) struct Cursors(Vec<u32>);

/// A small number for a queue.
fn code(queue: Queue) -> usize {
    let side = |hemisphere| usize::from(hemisphere == Hemisphere::East);
    match queue {
        Queue::Mem(hemisphere, slice) => side(hemisphere) << 6 | usize::from(slice & 63),
        Queue::Sxm(hemisphere, index) => 128 + (side(hemisphere) << 5 | usize::from(index & 31)),
        Queue::Alu(index) => 192 + usize::from(index & 15),
        Queue::Reduce(index) => 208 + usize::from(index & 15),
        Queue::Load(plane) => 224 + usize::from(plane & 15),
        Queue::Activate(plane) => 240 + usize::from(plane & 15),
        Queue::Drain(plane) => 256 + usize::from(plane & 15),
        Queue::Send(link) => 272 + usize::from(link & 63),
        Queue::Receive(link) => 336 + usize::from(link & 63),
    }
}

impl<'a> Edges<'a> {
    pub(crate) fn new(block: &'a Block) -> Self {
        let flow = &block.flow[..];
        let mut texts = vec![NONE; QUEUES];
        let mut total = 0_u32;
        for text in &block.queues {
            texts[code(text.queue)] = total;
            total += text.insts.len() as u32;
        }
        let place = |edge: &FlowEdge| {
            let text = texts[code(edge.reader.queue)];
            let at = text.saturating_add(edge.reader.inst);
            (text != NONE && at < total).then_some(at as usize)
        };
        // How many operands each instruction has edges for, then where they begin.
        let mut insts = vec![0_u32; total as usize + 1];
        for edge in flow {
            if let Some(at) = place(edge) {
                insts[at + 1] = insts[at + 1].max(u32::from(edge.operand) + 1);
            }
        }
        for at in 1..insts.len() {
            insts[at] += insts[at - 1];
        }
        let operands = insts[total as usize] as usize;
        let (mut first, mut last, mut next) = (vec![NONE; operands], vec![NONE; operands], vec![NONE; flow.len()]);
        for (index, edge) in flow.iter().enumerate() {
            let Some(at) = place(edge) else { continue };
            let operand = insts[at] as usize + usize::from(edge.operand);
            match std::mem::replace(&mut last[operand], index as u32) {
                NONE => first[operand] = index as u32,
                before => next[before as usize] = index as u32,
            }
        }
        Self { flow, texts, insts, first, next, operands: flow.iter().map(|edge| u64::from(edge.count)).sum() }
    }

    /// The beginning of every list: issues of one instruction are then asked for in their order.
    pub(crate) fn cursors(&self) -> Cursors {
        Cursors(self.first.clone())
    }

    /// The numbers of an instruction's operands, by which [`Self::expected`] is asked about them.
    pub(crate) fn operands(&self, reader: IssueId) -> Range<u32> {
        let at = self.texts[code(reader.queue)] as usize + reader.inst as usize;
        match self.insts.get(at..at + 2) {
            Some([first, end]) => *first..*end,
            _ => 0..0,
        }
    }

    /// What the program says about an operand of an issue: an origin, and how far it has moved on.
    pub(crate) fn expected(&self, cursors: &mut Cursors, operand: u32, issue: u32) -> Option<(&Origin, i64)> {
        let cursor = cursors.0.get_mut(operand as usize)?;
        while let Some(edge) = self.flow.get(*cursor as usize) {
            let past = issue.checked_sub(edge.reader.issue)?;
            if past < edge.count {
                return Some((&edge.origin, i64::from(past) * i64::from(edge.step)));
            }
            *cursor = self.next[*cursor as usize];
        }
        None
    }
}
