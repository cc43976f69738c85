//! Blocks and entries while their lines are being read.

use std::collections::BTreeMap;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::{Inst, TABLE, parse as parse_inst};

use super::error::Wrong;
use super::print::after;
use super::words::unknown;
use crate::form::Item;
use crate::program::{Block, Entry, FlowEdge, Instance, Phase, QueueText};

/// Where each part of the program stands.
pub(super) type Lines = BTreeMap<Item, usize>;

/// A block's queue.
pub(super) struct QueueDraft {
    pub(super) line: usize,
    pub(super) text: QueueText,
    /// Whether the queue's name was understood; if not, instructions are read for their own errors.
    known: bool,
    /// The cycle of the next instruction; none after a barrier.
    cycle: Option<u64>,
}

impl QueueDraft {
    pub(super) fn new(line: usize, queue: Option<Queue>) -> Self {
        let text = QueueText { queue: queue.unwrap_or(Queue::Alu(u8::MAX)), insts: Vec::new() };
        Self { line, text, known: queue.is_some(), cycle: Some(0) }
    }

    /// Reads a line with an instruction, and its cycle if it is given.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Wrong> {
        let code = line.split('#').next().unwrap_or_default();
        let trimmed = code.trim_ascii_start();
        let start = code.len() - trimmed.len();
        let inst_start = match trimmed.strip_prefix('@') {
            None => start,
            Some(timed) => {
                let digits = timed.find(|c: char| !c.is_ascii_digit()).unwrap_or(timed.len());
                self.wait(&timed[..digits], start)?;
                start + 1 + digits
            }
        };
        let inst_start = skip_blanks(code, inst_start);
        let mnemonic = code[inst_start..].split_ascii_whitespace().next().unwrap_or_default();
        if !mnemonic.is_empty() && TABLE.iter().all(|definition| definition.mnemonic != mnemonic) {
            return Err(unknown(mnemonic, inst_start));
        }
        let inst = parse_inst(&code[inst_start..]).map_err(|error| {
            let (message, hint) = error.message.split_once("; ").unwrap_or((&error.message, ""));
            Wrong::new(inst_start + error.offset, message, hint)
        })?;
        if self.known && !inst.class().runs_on(self.text.queue) {
            let message = format!("{} takes no {}", self.text.queue, inst.mnemonic());
            return Err(Wrong::new(inst_start, message, "move it below another `queue`"));
        }
        self.cycle = self.cycle.and_then(|cycle| after(&inst, cycle));
        self.text.insts.push(inst.encode());
        Ok(())
    }

    /// Fills the cycles until the one that is written.
    fn wait(&mut self, cycle: &str, offset: usize) -> Result<(), Wrong> {
        let wrong = |message, hint| Wrong::new(offset, message, hint);
        let target: u64 = cycle.parse().map_err(|_| wrong("@ needs a cycle".to_owned(), "write @12 and a blank"))?;
        let now = self.cycle.ok_or_else(|| {
            wrong("the cycle is not known after a barrier".to_owned(), "leave @ out and wait with `nop cycles=N`")
        })?;
        let gap = target.checked_sub(now).ok_or_else(|| {
            wrong(format!("@{target}: the queue issues its next instruction at {now} or later"), "give a later cycle")
        })?;
        let cycles = u32::try_from(gap).ok().and_then(Uint::new);
        let cycles = cycles.ok_or_else(|| wrong(format!("@{target}: more than 2^32 cycles later"), "write nops"))?;
        if gap > 0 {
            self.text.insts.push(Inst::Nop { cycles }.encode());
        }
        self.cycle = Some(target);
        Ok(())
    }
}

/// The offset of the first byte from `offset` on that is no blank.
fn skip_blanks(line: &str, offset: usize) -> usize {
    let rest = line.get(offset..).unwrap_or_default();
    offset + rest.len() - rest.trim_ascii_start().len()
}

/// A block.
#[derive(Default)]
pub(super) struct BlockDraft {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) cycles: Option<u64>,
    pub(super) imports: Option<u32>,
    pub(super) flow: Option<Vec<(usize, FlowEdge)>>,
    pub(super) queues: Vec<QueueDraft>,
}

impl BlockDraft {
    /// Whether all that could be derived is given, `None` if only some is.
    pub(super) fn given(&self) -> Option<bool> {
        match (self.cycles, self.imports, &self.flow) {
            (Some(_), Some(_), Some(_)) => Some(true),
            (None, None, None) => Some(false),
            _ => None,
        }
    }

    /// The block, its queues in the order of `places`; edges sorted.
    pub(super) fn finish(mut self, index: usize, places: &BTreeMap<Queue, usize>, lines: &mut Lines) -> Block {
        lines.insert(Item::Block(index), self.line);
        self.queues.sort_by_key(|draft| places.get(&draft.text.queue).copied());
        let mut flow = self.flow.unwrap_or_default();
        flow.sort_by_key(|(_, edge)| *edge);
        lines.extend(self.queues.iter().enumerate().map(|(at, draft)| (Item::Queue(index, at), draft.line)));
        lines.extend(flow.iter().enumerate().map(|(at, (line, _))| (Item::Flow(index, at), *line)));
        Block {
            name: self.name,
            cycles: self.cycles.unwrap_or_default(),
            queues: self.queues.into_iter().map(|draft| draft.text).collect(),
            flow: flow.into_iter().map(|(_, edge)| edge).collect(),
            imports: self.imports.unwrap_or_default(),
        }
    }
}

/// An entry.
#[derive(Default)]
pub(super) struct EntryDraft {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) cycles: Option<u64>,
    pub(super) instances: Vec<(usize, Instance)>,
    pub(super) phases: Vec<(usize, Phase)>,
}

impl EntryDraft {
    /// Whether all that could be derived is given, `None` if only some is; phases may stand in either.
    pub(super) fn given(&self) -> Option<bool> {
        let imports = self.instances.iter().any(|(_, instance)| !instance.imports.is_empty());
        match self.cycles {
            Some(_) => Some(true),
            None if imports => None,
            None => Some(false),
        }
    }

    /// The entry, its instances sorted by chip and start.
    pub(super) fn finish(mut self, index: usize, lines: &mut Lines) -> Entry {
        lines.insert(Item::Entry(index), self.line);
        self.instances.sort_by_key(|(_, instance)| (instance.chip, instance.start));
        lines.extend(self.instances.iter().enumerate().map(|(at, (line, _))| (Item::Instance(index, at), *line)));
        lines.extend(self.phases.iter().enumerate().map(|(at, (line, _))| (Item::Phase(index, at), *line)));
        Entry {
            name: self.name,
            instances: self.instances.into_iter().map(|(_, instance)| instance).collect(),
            phases: self.phases.into_iter().map(|(_, phase)| phase).collect(),
            cycles: self.cycles.unwrap_or_default(),
        }
    }
}
