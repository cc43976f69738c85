//! What a queue's text issues, and when.

use lockstep_machine::access::Repeated;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::{Stride, Uint};
use lockstep_machine::inst::{DecodeError, Inst};
use lockstep_machine::spec::MachineSpec;

use crate::program::{Block, IssueId, QueueText};

/// One instruction issued at one cycle of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Cycle from the block's start.
    pub cycle: u64,
    /// Who it is.
    pub id: IssueId,
    /// What it is, moved on by its repetition.
    pub what: Repeated,
}

/// A text whose issues cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Bytes that are no instruction.
    #[error("{queue} instruction {inst}: {source}")]
    Decode {
        /// The queue.
        queue: Queue,
        /// The instruction's place.
        inst: u32,
        /// What is wrong.
        source: DecodeError,
    },
    /// A repetition of nothing, of control, or beyond a row's range.
    #[error("{queue} instruction {inst}: repeat needs a unit's instruction before it, and counts and rows in range")]
    Repeat {
        /// The queue.
        queue: Queue,
        /// The instruction's place.
        inst: u32,
    },
    /// A `nop`, `runtime_deskew` or `repeat` of no cycles.
    #[error("{queue} instruction {inst}: takes no cycle; it must take at least one")]
    NoCycles {
        /// The queue.
        queue: Queue,
        /// The instruction's place.
        inst: u32,
    },
    /// The block has more than one `notify`, or a `sync` after it, or without it.
    #[error("{queue} instruction {inst}: a block has one notify, and each sync is issued no later than it")]
    Barrier {
        /// The queue.
        queue: Queue,
        /// The instruction's place.
        inst: u32,
    },
}

/// Instructions of one queue with their cycles, before repetitions are unrolled.
struct Walk<'a> {
    text: &'a QueueText,
    barrier_end: Option<u64>,
    barrier_cycles: u64,
}

/// All issues of a block's units, sorted by cycle, then by queue. Control instructions issue nothing, but for `ifetch`,
/// which reads a stream.
///
/// The cost is that of the unrolled repetitions: at most `limit` issues, `None` in `Ok` where there are more.
pub fn block_issues(block: &Block, spec: &MachineSpec, limit: usize) -> Result<Option<Vec<Issue>>, TextError> {
    let barrier_end = notify_cycle(block, spec)?.map(|cycle| cycle + u64::from(spec.time.barrier_cycles));
    // Only a repetition is decoded here, for its count: room is made for all issues at once.
    let none = Uint::default();
    let opcode = Inst::Repeat { count: none, every: none, word_stride: Stride(0), row_stride: Stride(0) }.encode()[0];
    let repeated = |bytes: &[u8; 16]| match (bytes[0] == opcode).then(|| Inst::decode(*bytes)) {
        Some(Ok(Inst::Repeat { count, .. })) => count.get() as usize,
        _ => 1,
    };
    let insts = block.queues.iter().flat_map(|text| &text.insts);
    let mut issues = Vec::with_capacity(insts.map(repeated).fold(0, usize::saturating_add).min(limit).min(1 << 20));
    for text in &block.queues {
        let walk = Walk { text, barrier_end, barrier_cycles: spec.time.barrier_cycles.into() };
        if !walk.run(limit, &mut issues)? {
            return Ok(None);
        }
    }
    Ok(Some(by_cycle(issues)))
}

/// Sorts by cycle. Within a queue issues are in order already; equal cycles keep the block's order of queues.
fn by_cycle(mut issues: Vec<Issue>) -> Vec<Issue> {
    let last = issues.iter().map(|issue| issue.cycle).max().unwrap_or(0);
    if last > 4 * issues.len() as u64 {
        issues.sort_by_key(|issue| issue.cycle);
        return issues;
    }
    // There are hardly more cycles than issues: count them, and each issue's place is known.
    let mut ends = vec![0_u32; last as usize + 1];
    for issue in &issues {
        ends[issue.cycle as usize] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        total += *end;
        *end = total;
    }
    let mut order = vec![0_u32; issues.len()];
    for (index, issue) in issues.iter().enumerate().rev() {
        let end = &mut ends[issue.cycle as usize];
        *end -= 1;
        order[*end as usize] = index as u32;
    }
    order.into_iter().map(|index| issues[index as usize]).collect()
}

/// The cycle of the block's `notify`, if it has one. Only control instructions may come before it.
fn notify_cycle(block: &Block, spec: &MachineSpec) -> Result<Option<u64>, TextError> {
    let mut found = None;
    for text in &block.queues {
        let Some(inst) = text.insts.iter().position(|bytes| *bytes == (Inst::Notify {}).encode()) else { continue };
        let before = QueueText { queue: text.queue, insts: text.insts[..inst].to_vec() };
        let walk = Walk { text: &before, barrier_end: None, barrier_cycles: spec.time.barrier_cycles.into() };
        let cycle = walk.end()?;
        if found.replace(cycle).is_some() {
            return Err(TextError::Barrier { queue: text.queue, inst: inst as u32 });
        }
    }
    Ok(found)
}

impl Walk<'_> {
    /// The cycle at which the next instruction after the text would be issued.
    fn end(&self) -> Result<u64, TextError> {
        self.walk(&mut |_, _, _| Ok(true)).map(|(cycle, _)| cycle)
    }

    /// Adds the text's issues; `false` if that would make more than `limit`.
    fn run(&self, limit: usize, issues: &mut Vec<Issue>) -> Result<bool, TextError> {
        let queue = self.text.queue;
        let mut push = |cycle, id, what| {
            issues.push(Issue { cycle, id: IssueId { queue, ..id }, what });
            Ok(issues.len() <= limit)
        };
        self.walk(&mut push).map(|(_, complete)| complete)
    }

    fn walk(
        &self,
        push: &mut impl FnMut(u64, IssueId, Repeated) -> Result<bool, TextError>,
    ) -> Result<(u64, bool), TextError> {
        let queue = self.text.queue;
        let mut cycle = 0_u64;
        let mut previous: Option<(u64, u32, Inst)> = None;
        for (place, bytes) in self.text.insts.iter().enumerate() {
            let at = place as u32;
            let inst = Inst::decode(*bytes).map_err(|source| TextError::Decode { queue, inst: at, source })?;
            let decoded = previous.take();
            match inst {
                Inst::Nop { cycles } | Inst::RuntimeDeskew { cycles } => {
                    if cycles.get() == 0 {
                        return Err(TextError::NoCycles { queue, inst: at });
                    }
                    cycle += u64::from(cycles.get());
                }
                Inst::Sync {} | Inst::Notify {} => {
                    let end = match (self.barrier_end, inst) {
                        (Some(end), _) if cycle + self.barrier_cycles <= end => end,
                        _ => return Err(TextError::Barrier { queue, inst: at }),
                    };
                    cycle = end;
                }
                Inst::Repeat { count, every, word_stride, row_stride } => {
                    let (start, of, repeated) = decoded.ok_or(TextError::Repeat { queue, inst: at })?;
                    if count.get() == 0 || every.get() == 0 {
                        return Err(TextError::NoCycles { queue, inst: at });
                    }
                    for issue in 1..=count.get() {
                        let what = repeated
                            .repeated(issue, word_stride, row_stride)
                            .ok_or(TextError::Repeat { queue, inst: at })?;
                        cycle = start + u64::from(issue) * u64::from(every.get());
                        if !push(cycle, IssueId { queue, inst: of, issue }, what)? {
                            return Ok((cycle, false));
                        }
                    }
                    cycle += 1;
                }
                Inst::Deskew {} | Inst::Transmit {} => cycle += 1,
                _ => {
                    if !push(cycle, IssueId { queue, inst: at, issue: 0 }, inst.into())? {
                        return Ok((cycle, false));
                    }
                    // Control is not repeated.
                    previous = (!matches!(inst, Inst::Fetch { .. })).then_some((cycle, at, inst));
                    cycle += 1;
                }
            }
        }
        Ok((cycle, true))
    }
}
