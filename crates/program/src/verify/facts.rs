//! What a block does: its issues, and their accesses sorted into kinds of places.

use std::collections::BTreeMap;
use std::fmt;

use lockstep_machine::access::{Access, Effect, Place, accesses};
use lockstep_machine::geometry::{Direction, Hemisphere, Position, Queue};
use lockstep_machine::legal;
use lockstep_machine::spec::MachineSpec;

use super::report::{Report, Violation, ViolationKind};
use crate::issues::{Issue, block_issues};
use crate::program::{Block, IssueId};

/// More issues than this in all blocks together are refused: a hostile program must not take all memory.
pub(crate) const ISSUES_MAX: usize = 16 << 20;

/// Blocks longer than this are refused: cycles stay far from the end of their range.
pub(crate) const CYCLES_MAX: u64 = 1 << 48;

/// Where and when a block is first run, so that what is wrong with it can be told in the time of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) chip: u32,
    pub(crate) start: u64,
}

/// A point on a diagonal of a stream, as one number: direction and stream (6 bits), the diagonal's key (50 bits), and how
/// far along the flow the point is (8 bits). Points of one diagonal differ in the lowest 8 bits alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point(u64);

impl Point {
    fn new(direction: Direction, stream: u8, position: Position, cycle: u64) -> Self {
        // Registers are fewer than 256, so keys are above -256.
        let (way, key, along) = match direction {
            Direction::East => (1, cycle + 256 - u64::from(position), u64::from(position)),
            Direction::West => (0, cycle + 256 + u64::from(position), 255 - u64::from(position)),
        };
        Self((way << 5 | u64::from(stream & 31)) << 58 | key << 8 | along)
    }

    pub(crate) fn same_diagonal(self, other: Self) -> bool {
        self.0 >> 8 == other.0 >> 8
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stream, along) = (self.0 >> 58 & 31, self.0 & 255);
        match self.0 >> 63 {
            0 => write!(f, "w{stream} at register {}", 255 - along),
            _ => write!(f, "e{stream} at register {along}"),
        }
    }
}

/// A value that enters a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamWrite {
    pub(crate) point: Point,
    pub(crate) issue: u32,
    pub(crate) result: u8,
    /// For a merge: the operand that what is underneath makes.
    pub(crate) under: Option<u32>,
    pub(crate) cycle: u64,
}

/// A unit that looks at a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamRead {
    pub(crate) point: Point,
    pub(crate) issue: u32,
    pub(crate) operand: u32,
    pub(crate) cycle: u64,
}

/// A use of a unit, an output or a bank in one cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment<P> {
    pub(crate) place: P,
    pub(crate) cycle: u64,
    pub(crate) issue: u32,
    /// The operand that is read, or the result that is written.
    pub(crate) number: u32,
}

/// An access to a place that outlives the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    pub(crate) cycle: u64,
    pub(crate) issue: u32,
    pub(crate) place: Place,
    pub(crate) effect: Effect,
    /// For a read, the operand, counted through the block; for a write, the result of the issue.
    pub(crate) number: u32,
}

/// Who produced an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Producer {
    /// The operand is read from a place that outlives the block.
    Lasting,
    /// It is not known, and that was reported.
    Unknown,
    /// Nobody: a merge over nothing.
    Nobody,
    /// A result of an issue.
    Issue(u32, u8),
}

/// What is known about a block without regard to where it runs.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) block: u32,
    pub(crate) site: Site,
    pub(crate) instanced: bool,
    pub(crate) issues: Vec<Issue>,
    /// For each issue its first operand, counted through the block; one more at the end.
    pub(crate) operands: Vec<u32>,
    /// For each operand, who produced it.
    pub(crate) producers: Vec<Producer>,
    /// By cycle, reads before writes.
    pub(crate) lasting: Vec<Lasting>,
    /// One more than the cycle of the last access.
    pub(crate) cycles: u64,
    /// From which cycle on the block leaves its chip's clock in line, if it does that.
    pub(crate) aligned: Option<u64>,
    ids: Ids,
}

/// Accesses that end with the block.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    pub(crate) stream_writes: Vec<StreamWrite>,
    pub(crate) stream_reads: Vec<StreamRead>,
    pub(crate) output_writes: Vec<Moment<Queue>>,
    pub(crate) output_reads: Vec<Moment<Queue>>,
    pub(crate) ports: Vec<Moment<Queue>>,
    pub(crate) banks: Vec<Moment<(Hemisphere, u8, u8)>>,
}

/// Finds issues by their names.
#[derive(Debug, Default)]
struct Ids {
    /// For each queue, the first place of its instructions in `starts`, and how many there are.
    queues: BTreeMap<Queue, (usize, usize)>,
    /// For each instruction, the first place of its issues in `issues`; one more at the end.
    starts: Vec<u32>,
    issues: Vec<u32>,
}

impl Ids {
    fn new(block: &Block, issues: &[Issue]) -> Self {
        let mut queues = BTreeMap::new();
        let mut insts = 0;
        for text in &block.queues {
            queues.insert(text.queue, (insts, text.insts.len()));
            insts += text.insts.len();
        }
        let at = |id: &IssueId| queues.get(&id.queue).map_or(0, |(first, _)| first + id.inst as usize);
        let mut starts = vec![0_u32; insts + 1];
        for issue in issues {
            starts[at(&issue.id) + 1] += 1;
        }
        for inst in 0..insts {
            starts[inst + 1] += starts[inst];
        }
        let mut by_id = vec![0; issues.len()];
        for (index, issue) in issues.iter().enumerate() {
            by_id[(starts[at(&issue.id)] + issue.id.issue) as usize] = index as u32;
        }
        Self { queues, starts, issues: by_id }
    }

    /// The issues of an instruction, in order.
    fn of(&self, queue: Queue, inst: u32) -> &[u32] {
        match self.queues.get(&queue) {
            Some((first, insts)) if (inst as usize) < *insts => {
                let at = first + inst as usize;
                &self.issues[self.starts[at] as usize..self.starts[at + 1] as usize]
            }
            _ => &[],
        }
    }
}

impl Facts {
    /// The issues of an instruction, in order, by their places in `issues`.
    pub(crate) fn issues_of(&self, queue: Queue, inst: u32) -> &[u32] {
        self.ids.of(queue, inst)
    }

    /// All instructions that issue something, each by its issues, in the order of queue and place.
    pub(crate) fn insts(&self) -> impl Iterator<Item = &[u32]> {
        self.ids.queues.iter().flat_map(|(queue, (_, insts))| (0..*insts as u32).map(|inst| self.ids.of(*queue, inst)))
    }

    /// An issue as reports name it.
    pub(crate) fn name(&self, issue: u32) -> String {
        let Issue { id, what, .. } = &self.issues[issue as usize];
        format!("`{}` (instruction {}, issue {})", what.inst, id.inst, id.issue)
    }

    /// A violation by an issue at a cycle of the block.
    pub(crate) fn violation(
        &self,
        kind: ViolationKind,
        site: Site,
        cycle: u64,
        issue: u32,
        message: String,
    ) -> Violation {
        Violation {
            kind,
            cycle: site.start.saturating_add(cycle),
            chip: site.chip,
            unit: Some(self.issues[issue as usize].id.queue),
            inst: Some(self.name(issue)),
            other: None,
            message,
        }
    }

    /// The other side of a clash.
    pub(crate) fn other(&self, issue: u32) -> (Queue, String) {
        (self.issues[issue as usize].id.queue, self.name(issue))
    }

    /// An operand's number within its issue.
    pub(crate) fn ordinal(&self, issue: u32, operand: u32) -> u8 {
        (operand - self.operands[issue as usize]) as u8
    }
}

/// Gathers what a block does; `None` where it does what no machine can, which is then reported.
pub(crate) fn gather(
    block: &Block,
    index: u32,
    site: Option<Site>,
    spec: &MachineSpec,
    issues_left: usize,
    report: &mut Report,
) -> Option<(Facts, Passing)> {
    let issues = issues(block, site.unwrap_or_default(), spec, issues_left, report)?;
    let mut facts = Facts { block: index, ids: Ids::new(block, &issues), ..Facts::default() };
    (facts.site, facts.instanced, facts.issues) = (site.unwrap_or_default(), site.is_some(), issues);
    if !legal_issues(&facts, spec, report) {
        return None;
    }
    let mut passing = Passing::default();
    facts.operands.push(0);
    for issue in 0..facts.issues.len() {
        let operands = sort_accesses(issue as u32, &mut facts, &mut passing, spec);
        facts.operands.push(operands);
    }
    facts.lasting.sort_by_key(|access| (access.cycle, !matches!(access.effect, Effect::Read { .. })));
    Some((facts, passing))
}

fn issues(
    block: &Block,
    site: Site,
    spec: &MachineSpec,
    issues_left: usize,
    report: &mut Report,
) -> Option<Vec<Issue>> {
    let mut illegal = |message: String| {
        let message = format!("block {}: {message}", block.name);
        report.add(|| Violation::whole(ViolationKind::Illegal, site.chip, site.start, message));
    };
    let order: BTreeMap<Queue, usize> = spec.queues().into_iter().zip(0..).collect();
    let mut last = None;
    for text in &block.queues {
        let place = order.get(&text.queue).copied();
        if place.is_none() || place <= last {
            illegal(format!("{} is unknown to {}, out of order or there twice", text.queue, spec.name));
            return None;
        }
        last = place;
    }
    let issues = match block_issues(block, spec, issues_left) {
        Ok(Some(issues)) => issues,
        Ok(None) => {
            illegal(format!("more than {ISSUES_MAX} issues up to and with this block"));
            return None;
        }
        Err(error) => {
            illegal(error.to_string());
            return None;
        }
    };
    if issues.last().is_some_and(|last| last.cycle >= CYCLES_MAX) {
        illegal(format!("more than {CYCLES_MAX} cycles"));
        return None;
    }
    Some(issues)
}

/// Whether the machine takes all issues; each instruction is reported once.
fn legal_issues(facts: &Facts, spec: &MachineSpec, report: &mut Report) -> bool {
    let mut legal = true;
    for of_inst in facts.insts() {
        for &issue in of_inst {
            let Issue { cycle, id, what } = &facts.issues[issue as usize];
            if let Err(error) = legal::check(&what.inst, id.queue, spec) {
                legal = false;
                report.add(|| facts.violation(ViolationKind::Illegal, facts.site, *cycle, issue, error.to_string()));
                break;
            }
        }
    }
    legal
}

/// Sorts the accesses of one issue into kinds of places; the block's operands up to and with this issue.
fn sort_accesses(index: u32, facts: &mut Facts, passing: &mut Passing, spec: &MachineSpec) -> u32 {
    let Issue { cycle, id, what } = facts.issues[index as usize];
    let first = facts.producers.len() as u32;
    let merges_from = passing.stream_writes.len();
    let (mut reads, mut results) = (0, 0);
    let with_banks = spec.mem.write_delay != 1;
    accesses(&what, id.queue, spec, &mut |Access { at, place, effect }| {
        let cycle = cycle + u64::from(at);
        facts.cycles = facts.cycles.max(cycle + 1);
        let mut number = 0;
        match effect {
            Effect::Use => {}
            Effect::Read { .. } => {
                number = first + reads;
                reads += 1;
                facts.producers.push(Producer::Lasting);
            }
            Effect::Write | Effect::Merge => {
                number = results;
                results += 1;
            }
        }
        let is_read = matches!(effect, Effect::Read { .. });
        match place {
            Place::Stream(direction, stream, position) => {
                let point = Point::new(direction, stream, position, cycle);
                if is_read {
                    passing.stream_reads.push(StreamRead { point, issue: index, operand: number, cycle });
                } else {
                    let under = (effect == Effect::Merge).then_some(0);
                    passing.stream_writes.push(StreamWrite { point, issue: index, result: number as u8, under, cycle });
                }
            }
            Place::Output(place) => {
                let list = if is_read { &mut passing.output_reads } else { &mut passing.output_writes };
                list.push(Moment { place, cycle, issue: index, number });
            }
            Place::Clock => facts.aligned = Some(cycle + 1),
            Place::Port(place) => passing.ports.push(Moment { place, cycle, issue: index, number }),
            _ => facts.lasting.push(Lasting { cycle, issue: index, place, effect, number }),
        }
        if with_banks && let Place::Word(side, slice, bank, _) | Place::Words(side, slice, bank, ..) = place {
            passing.banks.push(Moment { place: (side, slice, bank), cycle, issue: index, number });
        }
    });
    // What lies under a merge is an operand after the reads.
    for write in &mut passing.stream_writes[merges_from..] {
        if let Some(under) = &mut write.under {
            *under = facts.producers.len() as u32;
            facts.producers.push(Producer::Lasting);
        }
    }
    facts.producers.len() as u32
}
