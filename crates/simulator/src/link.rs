//! Linking: the instructions of a block become a tape whose operands are known, or a fault.
//!
//! Timing never depends on values, so this is done once a block. Cycles are gone through in order. In each, all reads
//! come before all writes. Streams are kept as rings: for each stream, the value on each of the diagonals that are on
//! the chip now. What a block finds on arrival (memory, arrays, accumulators, links) differs from instance to instance
//! and is listed, in order, for [`crate::check`].

use lockstep_machine::access::{Effect, Place};
use lockstep_machine::geometry::{Direction, Hemisphere, Position, Queue};
use lockstep_machine::legal::check;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::issues::{Issue, Issues};
use lockstep_program::program::{Block, Origin};

use crate::edges::{Cursors, Edges};
use crate::fault::{FaultKind, LocalFault};
use crate::tape::{self, NO_SLOT, Op, Part, Recorded};
use crate::touches::{Touch, Touches};
use crate::{say, supply};

/// Room for writes of one cycle, to begin with.
const CALENDAR_ROOM: usize = 32;

/// More issues than this in one block are refused: a hostile program must not take all memory.
const ISSUES_MAX: usize = 64 << 20;

/// Accesses of one issue to what outlives the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    first: u32,
    end: u32,
    issue: u32,
}

/// One of them, in its block: what is not asked is not made.
#[derive(Clone, Copy)]
pub(crate) struct LastingAccess<'a> {
    block: &'a LinkedBlock,
    pub(crate) touch: &'a Touch,
    pub(crate) issue: u32,
    /// Which issue of its instruction.
    pub(crate) nth: u32,
}

impl LastingAccess<'_> {
    pub(crate) fn cycle(&self) -> u64 {
        self.block.issues.cycle(self.issue as usize) + u64::from(self.touch.at)
    }

    #[inline(always)]
    pub(crate) fn place(&self) -> Place {
        self.touch.place_of(self.nth)
    }
}

/// What linking makes of a block.
#[derive(Debug, Default)]
pub(crate) struct LinkedBlock {
    pub(crate) issues: Issues,
    pub(crate) tape: Vec<Op>,
    /// Slots of the operands that are values in flight, op by op.
    pub(crate) operands: Vec<u32>,
    /// Slots of the results that are values in flight, op by op; `NO_SLOT` where nobody reads one.
    pub(crate) results: Vec<u32>,
    /// How many slots the tape needs.
    pub(crate) slots: u32,
    touches: Touches,
    lasting: Vec<Lasting>,
    /// One more than the cycle of the last access.
    pub(crate) cycles: u64,
    /// From which cycle on it leaves its chip's clock in line, if it aligns it.
    pub(crate) aligned: Option<u64>,
    /// Registers that values moved by until their last reader, and values that were put on streams.
    pub(crate) hops: u64,
    pub(crate) driven: u64,
}

impl LinkedBlock {
    /// Accesses to what outlives the block, in the order in which they happen.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = LastingAccess<'_>> {
        self.lasting.iter().flat_map(move |&Lasting { first, end, issue }| {
            let nth = self.issues.nth(issue as usize);
            self.touches.all(first..end).iter().map(move |touch| LastingAccess { block: self, touch, issue, nth })
        })
    }
}

/// Who produced a value in flight, and the number by which readers know it.
#[derive(Clone, Copy, Debug)]
struct Segment {
    key: i64,
    position: Position,
    value: u32,
    issue: u32,
    /// How far its farthest reader is.
    reach: u16,
    result: u8,
    merge: bool,
}

const EMPTY: Segment =
    Segment { key: i64::MIN, position: 0, value: NO_SLOT, issue: NO_SLOT, reach: 0, result: 0, merge: false };

/// A write that was issued and has not happened yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    touch: u32,
    issue: u32,
    value: u32,
    /// For a merge: which operand entry takes what is underneath.
    under: u32,
}

struct Linker<'a> {
    spec: &'a MachineSpec,
    block: u32,
    issues: Issues,
    edges: Option<(&'a Edges<'a>, Cursors)>,
    ring: usize,
    streams: Vec<Segment>,
    outputs: Vec<(u64, u32, u32)>,
    ports: Vec<(u64, u32)>,
    calendar: Vec<Vec<Pending>>,
    late_reads: Vec<Vec<(u32, u32, u32)>>,
    queue_index: QueueIndex,
    hops: u64,
    driven: u64,
    /// Operands so far, lasting ones included.
    reads: u64,
    /// Whether the tape is wanted; without it, the next four stay as they are.
    tape: bool,
    values: u32,
    operands: Vec<u32>,
    results: Vec<u32>,
    ops: Vec<Op>,
    touches: Touches,
    lasting: Vec<Lasting>,
    /// Writes of lasting places in the cycle at hand.
    written: Vec<Lasting>,
    last_cycle: u64,
    aligned: Option<u64>,
}

/// Numbers for queues, without searching.
#[derive(Clone, Debug)]
struct QueueIndex {
    alus: usize,
    reducers: usize,
}

impl QueueIndex {
    fn new(spec: &MachineSpec) -> Self {
        Self { alus: spec.vxm.alus as usize, reducers: spec.vxm.reduce_units as usize }
    }

    /// A number for an ALU or a reducer.
    fn output(&self, queue: Queue) -> usize {
        match queue {
            Queue::Alu(index) => index as usize,
            Queue::Reduce(index) => self.alus + index as usize,
            _ => 0,
        }
    }

    /// A number for a unit that can be busy for more than a cycle.
    fn port(queue: Queue) -> usize {
        match queue {
            Queue::Activate(plane) => plane as usize,
            Queue::Send(link) => 64 + link as usize,
            _ => 0,
        }
    }
}

/// Links a block; with `edges`, its operands are compared with those. With `tape`, the block can be run.
pub(crate) fn link(
    block: &Block,
    index: u32,
    spec: &MachineSpec,
    edges: Option<&Edges<'_>>,
    tape: bool,
) -> Result<LinkedBlock, LocalFault> {
    let illegal =
        |queue: Option<Queue>, message: String| LocalFault { kind: FaultKind::Illegal, cycle: 0, queue, message };
    let issues = Issues::of(block, spec, ISSUES_MAX)
        .map_err(|error| illegal(None, error.to_string()))?
        .ok_or_else(|| illegal(None, format!("block {}: more than {ISSUES_MAX} issues", block.name)))?;
    for text in &block.queues {
        if !spec.has_queue(text.queue) {
            return Err(illegal(Some(text.queue), format!("{} has no {}", spec.name, text.queue)));
        }
    }
    supply::check(&issues, spec)?;
    Linker::new(spec, index, issues, edges, tape).run()
}

impl<'a> Linker<'a> {
    fn new(spec: &'a MachineSpec, block: u32, issues: Issues, edges: Option<&'a Edges<'a>>, tape: bool) -> Self {
        let ring = (spec.positions() as usize + 2).next_power_of_two();
        let queue_index = QueueIndex::new(spec);
        let taped = if tape { issues.len() } else { 0 };
        let longest = longest_delay(spec).next_power_of_two() as usize;
        Self {
            spec,
            block,
            edges: edges.map(|edges| (edges, edges.cursors())),
            ring,
            streams: vec![EMPTY; 64 * ring],
            outputs: vec![(u64::MAX, NO_SLOT, NO_SLOT); queue_index.alus + queue_index.reducers],
            ports: vec![(u64::MAX, NO_SLOT); 128],
            calendar: (0..longest).map(|_| Vec::with_capacity(CALENDAR_ROOM)).collect(),
            late_reads: vec![Vec::new(); longest],
            queue_index,
            hops: 0,
            driven: 0,
            reads: 0,
            tape,
            values: 0,
            operands: Vec::with_capacity(taped),
            results: Vec::with_capacity(taped),
            ops: Vec::with_capacity(taped),
            touches: Touches::new(&issues),
            lasting: Vec::with_capacity(issues.len()),
            written: Vec::new(),
            last_cycle: 0,
            aligned: None,
            issues,
        }
    }

    fn run(mut self) -> Result<LinkedBlock, LocalFault> {
        let mut next = 0;
        let mut pending = 0_usize;
        let mut cycle = if self.issues.is_empty() { 0 } else { self.issues.cycle(0) };
        while next < self.issues.len() || pending > 0 {
            if pending == 0 {
                // Nothing is on its way: skip to the next issue.
                cycle = cycle.max(self.issues.cycle(next));
            }
            while next < self.issues.len() && self.issues.cycle(next) == cycle {
                pending += self.issue(next as u32)?;
                next += 1;
            }
            pending -= self.finish_cycle(cycle)?;
            cycle += 1;
        }
        self.into_block()
    }

    /// Takes an issue's reads of this cycle and notes its later accesses; returns how many those are.
    fn issue(&mut self, index: u32) -> Result<usize, LocalFault> {
        let (run, cycle) = (self.issues.run(index as usize), self.issues.cycle(index as usize));
        self.check_lawful(index, run)?;
        let touches = self.touches.of(run);
        self.last_cycle = self.last_cycle.max(cycle + u64::from(touches.last));
        if self.tape {
            let (operands, results) = (self.operands.len() as u32, self.results.len() as u32);
            self.ops.push(Op { issue: index, operands, results, part: Part::Whole });
        }
        for touch in touches.first..touches.reads {
            let entry = self.operand();
            self.read(cycle, index, touch, entry)?;
        }
        let mut later = 0;
        for touch in touches.reads..touches.others {
            later += self.access(cycle, index, touch)?;
        }
        if touches.others < touches.lasting {
            self.reads += u64::from(touches.lasting - touches.others);
            self.lasting.push(Lasting { first: touches.others, end: touches.lasting, issue: index });
        }
        if touches.lasting < touches.written {
            self.written.push(Lasting { first: touches.lasting, end: touches.written, issue: index });
        }
        Ok(later)
    }

    /// Holds an issue against the rules, and a first one's accesses are noted.
    fn check_lawful(&mut self, index: u32, run: usize) -> Result<(), LocalFault> {
        let nth = self.issues.nth(index as usize);
        // Repetitions differ from their instruction in addresses, which are held against banks later, and in rows.
        if nth > 0 && !self.touches.of(run).moves_rows {
            return Ok(());
        }
        let issue = self.issues.get(index as usize);
        let (inst, queue) = (&issue.what.inst, issue.id.queue);
        check(inst, queue, self.spec)
            .map_err(|error| LocalFault::new(FaultKind::Illegal, issue.cycle, queue, format!("{inst}: {error}")))?;
        if nth == 0 {
            let edges = self.edges.as_ref().map(|(edges, _)| *edges);
            self.touches.add((run, self.issues.strides(run)), &issue, self.spec, edges);
        }
        Ok(())
    }

    /// Notes an access that comes later, or a port's use; returns how many were noted.
    fn access(&mut self, cycle: u64, issue: u32, touch: u32) -> Result<usize, LocalFault> {
        let Touch { place, effect, at, .. } = self.touches.get(touch);
        let when = cycle + u64::from(*at);
        let bucket = (when as usize) & (self.calendar.len() - 1);
        match *effect {
            Effect::Use => {
                match *place {
                    Place::Port(queue) => self.use_port(when, queue, issue)?,
                    _ => self.aligned = Some(when + 1),
                }
                return Ok(0);
            }
            Effect::Read { .. } => {
                let entry = self.operand();
                self.late_reads[bucket].push((issue, touch, entry));
            }
            Effect::Write | Effect::Merge => {
                let (merge, on_stream) = (*effect == Effect::Merge, matches!(place, Place::Stream(..)));
                let in_flight = on_stream || matches!(place, Place::Output(_));
                self.driven += u64::from(on_stream);
                let value = if in_flight { self.result() } else { NO_SLOT };
                let under = if in_flight && merge { self.operand() } else { NO_SLOT };
                self.calendar[bucket].push(Pending { touch, issue, value, under });
            }
        }
        Ok(1)
    }

    /// A new operand's entry, if there is to be a tape.
    fn operand(&mut self) -> u32 {
        self.reads += 1;
        if self.tape {
            self.operands.push(NO_SLOT);
        }
        self.operands.len().saturating_sub(1) as u32
    }

    fn take(&mut self, entry: u32, value: u32) {
        if let Some(operand) = self.operands.get_mut(entry as usize) {
            *operand = value;
        }
    }

    /// A new value in flight.
    fn result(&mut self) -> u32 {
        self.values += 1;
        if self.tape {
            self.results.push(self.values - 1);
        }
        self.values - 1
    }

    /// Reads and then writes that fall on this cycle; returns how many.
    fn finish_cycle(&mut self, cycle: u64) -> Result<usize, LocalFault> {
        let bucket = (cycle as usize) & (self.calendar.len() - 1);
        let reads = std::mem::take(&mut self.late_reads[bucket]);
        for (issue, touch, entry) in &reads {
            self.read(cycle, *issue, *touch, *entry)?;
        }
        let mut writes = std::mem::take(&mut self.calendar[bucket]);
        for write in &writes {
            self.write(cycle, write)?;
        }
        self.lasting.append(&mut self.written);
        let done = reads.len() + writes.len();
        writes.clear();
        self.calendar[bucket] = writes;
        Ok(done)
    }

    fn diagonal(&self, direction: Direction, stream: u8, position: Position, cycle: u64) -> (usize, i64) {
        let (key, way) = match direction {
            Direction::East => (cycle as i64 - i64::from(position), 32),
            Direction::West => (cycle as i64 + i64::from(position), 0),
        };
        let row = way + usize::from(stream & 31);
        (row * self.ring + (key as usize & (self.ring - 1)), key)
    }

    fn read(&mut self, cycle: u64, issue: u32, touch: u32, entry: u32) -> Result<(), LocalFault> {
        let place = &self.touches.get(touch).place;
        let (value, from, result) = match *place {
            Place::Stream(direction, stream, position) => {
                let (at, key) = self.diagonal(direction, stream, position, cycle);
                let segment = &mut self.streams[at];
                if segment.key != key {
                    let message = format!("nothing is on {}", say::place(place));
                    return Err(self.fault(FaultKind::EmptyRead, cycle, issue, &message));
                }
                let reach = position.abs_diff(segment.position) as u16;
                self.hops += u64::from(reach.saturating_sub(segment.reach));
                segment.reach = segment.reach.max(reach);
                (segment.value, segment.issue, segment.result)
            }
            Place::Output(queue) => {
                let (when, value, from) = self.outputs[self.queue_index.output(queue)];
                if when.wrapping_add(1) != cycle {
                    let message = format!("{queue} has no output in this cycle");
                    return Err(self.fault(FaultKind::EmptyRead, cycle, issue, &message));
                }
                (value, from, 0)
            }
            _ => return Ok(()),
        };
        self.take(entry, value);
        self.check_edge(cycle, issue, touch, from, result)
    }

    fn check_edge(&mut self, cycle: u64, issue: u32, touch: u32, from: u32, result: u8) -> Result<(), LocalFault> {
        let Some((edges, cursors)) = &mut self.edges else { return Ok(()) };
        let (id, reader) = (self.issues.id(from as usize), self.issues.nth(issue as usize));
        let expected = edges.expected(cursors, self.touches.get(touch).operand, reader);
        if let Some((&Origin::Issue { block, id: claimed, result: r }, by)) = expected
            && (block, r, claimed.queue, claimed.inst) == (self.block, result, id.queue, id.inst)
            && i64::from(claimed.issue) + by == i64::from(id.issue)
        {
            return Ok(());
        }
        let found = Origin::Issue { block: self.block, id, result };
        let expected = expected.and_then(|(origin, by)| origin.moved(by));
        let (found, expected) = (say::origin(Some(found)), say::origin(expected));
        let message = format!("operand {} comes from {found}, the program says {expected}", self.number(issue, touch));
        Err(self.fault(FaultKind::WrongProducer, cycle, issue, &message))
    }

    /// The number of an operand. What a quiet gather finds under itself is one like any other: the one after its reads.
    fn number(&self, issue: u32, touch: u32) -> u8 {
        let Touch { effect, ordinal, .. } = *self.touches.get(touch);
        let of = self.touches.of(self.issues.run(issue as usize));
        let reads = self.touches.all(of.first..of.written).iter().filter(|touch| touch.is_read());
        if effect == Effect::Merge { reads.count() as u8 } else { ordinal }
    }

    fn write(&mut self, cycle: u64, write: &Pending) -> Result<(), LocalFault> {
        let &Pending { touch, issue, value, under } = write;
        let &Touch { place, effect, ordinal, .. } = self.touches.get(touch);
        match place {
            Place::Stream(direction, stream, position) => {
                let (at, key) = self.diagonal(direction, stream, position, cycle);
                let there = self.streams[at];
                let merge = effect == Effect::Merge;
                if there.key == key && there.position == position && !(merge && there.merge) {
                    let other = self.issues.get(there.issue as usize);
                    let (place, by) = (say::place(&place), other.id.queue);
                    let message = format!("{place} is driven by {by} `{}` too", other.what.inst);
                    return Err(self.fault(FaultKind::StreamClash, cycle, issue, &message));
                }
                if merge && there.key == key {
                    self.take(under, there.value);
                    self.check_edge(cycle, issue, touch, there.issue, there.result)?;
                } else if merge {
                    self.check_nothing(cycle, issue, touch)?;
                }
                self.streams[at] = Segment { key, position, value, issue, reach: 0, result: ordinal, merge };
            }
            Place::Output(queue) => {
                let output = &mut self.outputs[self.queue_index.output(queue)];
                if output.0 == cycle {
                    return Err(self.fault(FaultKind::PortClash, cycle, issue, "two results appear in one cycle"));
                }
                *output = (cycle, value, issue);
            }
            _ => self.lasting.push(Lasting { first: touch, end: touch + 1, issue }),
        }
        Ok(())
    }

    /// A quiet gather has found nothing under itself.
    fn check_nothing(&mut self, cycle: u64, issue: u32, touch: u32) -> Result<(), LocalFault> {
        let Some((edges, cursors)) = &mut self.edges else { return Ok(()) };
        let reader = self.issues.nth(issue as usize);
        let expected = edges.expected(cursors, self.touches.get(touch).operand, reader);
        let expected = expected.map(|(origin, _)| *origin);
        if expected == Some(Origin::Nothing) {
            return Ok(());
        }
        let message = format!("merges over nothing, the program says {}", say::origin(expected));
        Err(self.fault(FaultKind::WrongProducer, cycle, issue, &message))
    }

    fn use_port(&mut self, cycle: u64, queue: Queue, issue: u32) -> Result<(), LocalFault> {
        // A unit is used for a few cycles from the issue on; issues come in the order of their cycles, so it is enough
        // to keep until when it is busy.
        let port = &mut self.ports[QueueIndex::port(queue)];
        let busy = port.0 != u64::MAX && port.0 >= cycle && port.1 != issue;
        let (_, other) = *port;
        *port = (cycle, issue);
        if busy {
            let by = self.issues.get(other as usize);
            let message = format!("{queue} is busy with {} `{}`", by.id.queue, by.what.inst);
            return Err(self.fault(FaultKind::PortClash, cycle, issue, &message));
        }
        Ok(())
    }

    fn fault(&self, kind: FaultKind, cycle: u64, issue: u32, message: &str) -> LocalFault {
        issue_fault(&self.issues.get(issue as usize), kind, cycle, message)
    }

    /// Each operand has an edge, or is found to have none; so edges that are about more operands than there are, are
    /// about some that are not there, or about one twice.
    fn check_claims(&self) -> Result<(), LocalFault> {
        let operands = self.reads;
        let claimed = self.edges.as_ref().map_or(0, |(edges, _)| edges.operands);
        if claimed <= operands {
            return Ok(());
        }
        let message = format!("the flow of block {} is about {claimed} operands, it has {operands}", self.block);
        Err(LocalFault { kind: FaultKind::WrongProducer, cycle: 0, queue: None, message })
    }

    /// Orders the tape and gives values their slots.
    fn into_block(self) -> Result<LinkedBlock, LocalFault> {
        self.check_claims()?;
        let Self { spec, issues, touches, lasting, last_cycle, aligned, values, hops, driven, tape, .. } = self;
        let cycles = if issues.is_empty() { 0 } else { last_cycle + 1 };
        let mut block =
            LinkedBlock { issues, touches, lasting, cycles, aligned, hops, driven, ..LinkedBlock::default() };
        check_banks(&block)?;
        if tape {
            let (ops, operands, results) = (&self.ops, &self.operands, &self.results);
            tape::lay_out(&mut block, spec, &Recorded { ops, operands, results, values });
        }
        Ok(block)
    }
}

/// A fault of an instruction.
pub(crate) fn issue_fault(issue: &Issue, kind: FaultKind, cycle: u64, message: &str) -> LocalFault {
    let Issue { id, what, .. } = issue;
    let message = format!("`{}` (instruction {}, issue {}): {message}", what.inst, id.inst, id.issue);
    LocalFault::new(kind, cycle, id.queue, message)
}

/// A bank is read or written once a cycle. Two slots of one instruction name two banks, so only a write that comes later
/// than its issue can meet another instruction's access.
fn check_banks(block: &LinkedBlock) -> Result<(), LocalFault> {
    let mut used = [[(u64::MAX, NO_SLOT); 2]; 2 * 256];
    for access in block.lasting() {
        let (Place::Word(side, slice, bank, _) | Place::Words(side, slice, bank, ..)) = access.touch.place else {
            continue;
        };
        let now = access.cycle();
        let (cycle, by) =
            &mut used[usize::from(side == Hemisphere::East) * 256 + usize::from(slice)][usize::from(bank)];
        if *cycle == now && *by != access.issue {
            let other = block.issues.get(*by as usize);
            let message = format!("bank {bank} is in use by {} `{}`", other.id.queue, other.what.inst);
            let issue = block.issues.get(access.issue as usize);
            return Err(issue_fault(&issue, FaultKind::BankClash, now, &message));
        }
        (*cycle, *by) = (now, access.issue);
    }
    Ok(())
}

/// A number above the delay of every access.
fn longest_delay(spec: &MachineSpec) -> u32 {
    let reduce = spec.reduce_delay(spec.lanes());
    let switch = spec.sxm.permute_delay.max(spec.sxm.shift_delay).max(spec.sxm.transpose_delay) + spec.stagger();
    let vector = spec.vxm.delay.max(spec.vxm.divide_delay).max(spec.vxm.exp32_delay).max(spec.vxm.square_root_delay);
    let memory = spec.mem.read_delay.max(spec.mem.gather_delay).max(spec.mem.write_delay);
    let link = (spec.c2c.send_delay + spec.c2c.vector_cycles).max(spec.c2c.receive_delay);
    let fetch = spec.instruction.fetch_bytes.div_ceil(spec.lanes());
    reduce.max(switch).max(vector).max(memory).max(link).max(spec.sxm.distribute_delay).max(fetch) + 4
}
