//! What a queue's text issues, and when.

use lockstep_machine::access::Repeated;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Stride;
use lockstep_machine::inst::{Class, DecodeError, INST_BYTES, Inst};
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
    /// The block aligns its chip and does something else too.
    #[error("{queue} instruction {inst}: a block that aligns its chip has one runtime_deskew and does nothing else")]
    Align {
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

/// An instruction with its repetitions.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u64,
    queue: Queue,
    inst: Inst,
    /// Its place in its queue's text.
    place: u32,
    /// Further issues, each so many cycles after the one before.
    count: u16,
    every: u16,
    word_stride: Stride,
    row_stride: Stride,
}

/// One issue of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    cycle: u64,
    run: u32,
    issue: u32,
}

/// All issues of a block's units, sorted by cycle, then by queue. Control instructions issue nothing, but for `ifetch`,
/// which reads a stream, and `runtime_deskew`, which changes the clock. An issue takes few bytes: it is told when it is
/// asked for.
#[derive(Clone, Debug, Default)]
pub struct Issues {
    runs: Vec<Run>,
    steps: Vec<Step>,
}

impl Issues {
    /// The cost is that of the unrolled repetitions: at most `limit` issues, `None` in `Ok` where there are more.
    pub fn of(block: &Block, spec: &MachineSpec, limit: usize) -> Result<Option<Self>, TextError> {
        let barrier_cycles = spec.time.barrier_cycles.into();
        let barrier_end = notify_cycle(block, spec)?.map(|cycle| cycle + barrier_cycles);
        let mut runs = Vec::with_capacity(block.queues.iter().map(|text| text.insts.len()).sum());
        let mut total = 0;
        for text in &block.queues {
            let walk = Walk { queue: text.queue, insts: &text.insts, barrier_end, barrier_cycles, limit };
            walk.run(&mut runs, &mut total)?;
            if total > limit {
                return Ok(None);
            }
        }
        check_alignment(&runs)?;
        Ok(Some(Self { steps: by_cycle(&runs, total), runs }))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The cycle of an issue.
    #[inline]
    pub fn cycle(&self, index: usize) -> u64 {
        self.steps[index].cycle
    }

    /// Who an issue is.
    #[inline]
    pub fn id(&self, index: usize) -> IssueId {
        let Step { run, issue, .. } = self.steps[index];
        let Run { queue, place, .. } = self.runs[run as usize];
        IssueId { queue, inst: place, issue }
    }

    /// Which issue of its instruction an issue is.
    #[inline]
    pub fn nth(&self, index: usize) -> u32 {
        self.steps[index].issue
    }

    /// By how many words and rows each issue of an instruction moves on from the one before; the instruction is told by
    /// its number among those that issue something.
    pub fn strides(&self, run: usize) -> (Stride, Stride) {
        let Run { word_stride, row_stride, .. } = self.runs[run];
        (word_stride, row_stride)
    }

    /// How many instructions issue something.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The instruction of an issue, by its number among those that issue something.
    #[inline]
    pub fn run(&self, index: usize) -> usize {
        self.steps[index].run as usize
    }

    /// By how many words and rows an issue has moved on from its instruction.
    #[inline]
    pub fn moved(&self, index: usize) -> (i32, i32) {
        let Step { run, issue, .. } = self.steps[index];
        let run = &self.runs[run as usize];
        (issue as i32 * i32::from(run.word_stride.0), issue as i32 * i32::from(run.row_stride.0))
    }

    /// The instruction of an issue, its row not moved on.
    #[inline]
    pub fn inst(&self, index: usize) -> &Inst {
        &self.runs[self.steps[index].run as usize].inst
    }

    /// An issue.
    #[inline]
    pub fn get(&self, index: usize) -> Issue {
        let Step { cycle, run, issue } = self.steps[index];
        let run = &self.runs[run as usize];
        // Rows and words were held against their ranges when the text was read.
        let what = run.inst.repeated(issue, run.word_stride, run.row_stride).unwrap_or(run.inst.into());
        Issue { cycle, id: IssueId { queue: run.queue, inst: run.place, issue }, what }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Issue> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// The issues of [`Issues::of`], each in full.
pub fn block_issues(block: &Block, spec: &MachineSpec, limit: usize) -> Result<Option<Vec<Issue>>, TextError> {
    Ok(Issues::of(block, spec, limit)?.map(|issues| issues.iter().collect()))
}

impl Run {
    fn steps(self, run: usize) -> impl Iterator<Item = Step> {
        let step =
            move |issue| Step { cycle: self.start + u64::from(issue) * u64::from(self.every), run: run as u32, issue };
        (0..=self.count.into()).map(step)
    }
}

/// Unrolls runs, sorted by cycle. Within a queue issues are in order already; equal cycles keep the block's order of
/// queues.
fn by_cycle(runs: &[Run], total: usize) -> Vec<Step> {
    let steps = || runs.iter().enumerate().flat_map(|(at, run)| run.steps(at));
    let last = runs.iter().map(|run| run.start + u64::from(run.count) * u64::from(run.every)).max().unwrap_or(0);
    if last > 4 * total as u64 {
        let mut steps: Vec<Step> = steps().collect();
        steps.sort_by_key(|step| step.cycle);
        return steps;
    }
    // There are hardly more cycles than issues: count them, and each issue's place is known.
    let mut places = vec![0_u32; last as usize + 1];
    steps().for_each(|step| places[step.cycle as usize] += 1);
    let mut sum = 0;
    for place in &mut places {
        sum += std::mem::replace(place, sum);
    }
    let mut sorted = vec![Step::default(); total];
    for step in steps() {
        let place = &mut places[step.cycle as usize];
        sorted[*place as usize] = step;
        *place += 1;
    }
    sorted
}

/// The cycle of the block's `notify`, if it has one. Only control instructions may come before it.
fn notify_cycle(block: &Block, spec: &MachineSpec) -> Result<Option<u64>, TextError> {
    let notify = Inst::Notify {}.encode();
    let barrier_cycles = spec.time.barrier_cycles.into();
    let mut found = None;
    for QueueText { queue, insts } in &block.queues {
        let Some(inst) = insts.iter().position(|bytes| *bytes == notify) else { continue };
        let walk = Walk { queue: *queue, insts: &insts[..inst], barrier_end: None, barrier_cycles, limit: usize::MAX };
        let cycle = walk.run(&mut Vec::new(), &mut 0)?;
        if found.replace(cycle).is_some() {
            return Err(TextError::Barrier { queue: *queue, inst: inst as u32 });
        }
    }
    Ok(found)
}

/// While a chip's clock is brought back in line its cycles have no even length: it must not do anything else meanwhile.
fn check_alignment(runs: &[Run]) -> Result<(), TextError> {
    match runs.iter().find(|run| matches!(run.inst, Inst::RuntimeDeskew { .. })) {
        Some(run) if runs.len() > 1 => Err(TextError::Align { queue: run.queue, inst: run.place }),
        _ => Ok(()),
    }
}

/// Instructions of one queue with their cycles, before repetitions are unrolled.
struct Walk<'a> {
    queue: Queue,
    insts: &'a [[u8; INST_BYTES]],
    barrier_end: Option<u64>,
    barrier_cycles: u64,
    limit: usize,
}

impl Walk<'_> {
    /// Adds the text's runs and the number of their issues, up to one more than the limit; returns the cycle at which the
    /// next instruction after the text would be issued.
    fn run(&self, runs: &mut Vec<Run>, total: &mut usize) -> Result<u64, TextError> {
        let queue = self.queue;
        let mut cycle = 0_u64;
        let mut repeatable = false;
        for (place, bytes) in self.insts.iter().enumerate() {
            let at = place as u32;
            let decoded = Inst::decode(*bytes);
            let inst = match &decoded {
                Ok(inst) => inst,
                Err(source) => return Err(TextError::Decode { queue, inst: at, source: source.clone() }),
            };
            let follows = std::mem::take(&mut repeatable);
            match *inst {
                Inst::Nop { cycles } | Inst::RuntimeDeskew { cycles } if cycles.get() == 0 => {
                    return Err(TextError::NoCycles { queue, inst: at });
                }
                Inst::Nop { cycles } => cycle += u64::from(cycles.get()),
                Inst::Sync {} | Inst::Notify {} => {
                    cycle = match self.barrier_end {
                        Some(end) if cycle + self.barrier_cycles <= end => end,
                        _ => return Err(TextError::Barrier { queue, inst: at }),
                    };
                }
                Inst::Repeat { count, every, word_stride, row_stride } => {
                    let run = runs.last_mut().filter(|_| follows).ok_or(TextError::Repeat { queue, inst: at })?;
                    if count.get() == 0 || every.get() == 0 {
                        return Err(TextError::NoCycles { queue, inst: at });
                    }
                    // Rows and words move on evenly: if the last ones are in range, all are.
                    let told = (count.get() as usize).min((self.limit - *total).saturating_add(1));
                    if run.inst.repeated(told as u32, word_stride, row_stride).is_none() {
                        return Err(TextError::Repeat { queue, inst: at });
                    }
                    (run.count, run.every) = (count.get() as u16, every.get() as u16);
                    (run.word_stride, run.row_stride) = (word_stride, row_stride);
                    *total += told;
                    cycle = run.start + u64::from(count.get()) * u64::from(every.get()) + 1;
                }
                Inst::Deskew {} | Inst::Transmit {} => cycle += 1,
                _ => {
                    let still = Stride(0);
                    let (count, every, word_stride, row_stride) = (0, 0, still, still);
                    runs.push(Run {
                        start: cycle,
                        queue,
                        inst: *inst,
                        place: at,
                        count,
                        every,
                        word_stride,
                        row_stride,
                    });
                    *total += 1;
                    // Control is not repeated.
                    repeatable = inst.class() != Class::Control;
                    cycle += match inst {
                        Inst::RuntimeDeskew { cycles } => cycles.get().into(),
                        _ => 1,
                    };
                }
            }
            if *total > self.limit {
                break;
            }
        }
        Ok(cycle)
    }
}
