//! Straight-line programs over vectors: each step is placed in the first cycle in which its operands, its unit and the
//! streams are free.
//!
//! A value appears at the output of an ALU or a reducer for one cycle; a reader of that cycle takes it there. For any
//! other reader it is kept on its way by an identity, or put on a stream to memory and read again: the instruction that
//! made it gets a destination when the first such reader comes. A word is written once, so memory has no hazards beyond
//! the wait for its writer. Delays and places come from the machine's description alone.

pub(crate) mod attention;
pub(crate) mod batch;
pub(crate) mod cache;
pub(crate) mod embedding;
pub(crate) mod ensemble;
pub(crate) mod matrix;
pub(crate) mod memory;
pub(crate) mod numbers;
mod repeat;
mod reserve;
pub(crate) mod section;
pub(crate) mod switch;
pub(crate) mod timeline;
mod vector;

use lockstep_machine::geometry::{Direction, Hemisphere, Position, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Address, AluOp, Destination, Format, Immediate, ReduceOp, Slot, Source};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::Word;

use crate::error::Error;
use crate::place::layout::{Layout, Run};
use matrix::Plane;
use memory::ANY;
use reserve::Reservations;
use timeline::Timeline;

/// Cycles tried for one step.
pub(crate) const HORIZON: u64 = 20_000;

/// Identities in a row that keep an output until it is used.
pub(crate) const IDENTITIES: usize = 5;

/// Copies made at most to keep the operands of one step apart.
pub(crate) const COPIES: usize = 6;

/// A vector of numbers, or several bytes of them: by its place in the composer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) usize);

/// What a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Value(Value),
    Immediate(u32),
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<f32> for Operand {
    fn from(value: f32) -> Self {
        Self::Immediate(value.to_bits())
    }
}

impl From<i32> for Operand {
    fn from(value: i32) -> Self {
        Self::Immediate(value as u32)
    }
}

/// A value's byte planes in memory.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) words: Vec<Word>,
    pub(crate) format: Format,
    /// The first cycle in which a read finds it.
    pub(crate) ready: u64,
}

impl Stored {
    pub(crate) fn hemisphere(&self) -> Hemisphere {
        self.words[0].hemisphere
    }
}

/// An instruction whose output is the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producer {
    pub(crate) queue: Queue,
    pub(crate) issued: u64,
    /// The cycle in which readers find it at the output.
    pub(crate) appears: u64,
}

/// Where a value can be had.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// How it is stored.
    pub(crate) format: Format,
    pub(crate) producers: Vec<Producer>,
    pub(crate) stored: Vec<Stored>,
    /// A row of accumulators: plane, row, first cycle of a drain.
    row: Option<(u8, u16, u64)>,
    /// How it was computed.
    made: Option<Made>,
    /// The value with zeros in place of the lower 16 bits, where that can be had sooner.
    rough: Option<Value>,
}

/// How a value is computed.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    Alu(AluOp, Vec<Operand>),
    Reduce(ReduceOp, u32, Vec<Value>),
}

/// A point to go back to.
pub(crate) struct Mark(usize, usize);

/// A change of a value or of memory that can be taken back.
#[derive(Debug)]
pub(crate) enum Step {
    Producer(usize),
    Stored(usize),
    Word(Word),
}

/// Writes one block.
#[derive(Debug)]
pub(crate) struct Composer<'a, 'l> {
    pub(crate) spec: &'a MachineSpec,
    /// Words that nothing else of the program has are free for the block's own values.
    pub(crate) layout: Layout,
    codebooks: &'l [([i8; 16], Vec<Run>)],
    /// Cycles from one turn of a loop to the next.
    interval: Option<u64>,
    /// Identities in a row that may keep an output until it is used.
    pub(crate) identities: usize,
    /// No operation is placed before.
    not_before: u64,
    /// Whether an operand that no way leads to is computed once more.
    repeats: bool,
    pub(crate) taken: Reservations<'a>,
    pub(crate) planes: Vec<Plane>,
    name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) steps: Vec<Step>,
    /// Rows that were gathered, by index and table.
    gathered: Vec<((Value, Run), Value)>,
    /// Largest magnitudes that are known otherwise than by a reduction, and of what they are.
    largest: Vec<(Vec<Value>, Value)>,
}

impl<'a, 'l> Composer<'a, 'l> {
    pub(crate) fn new(
        name: &str,
        spec: &'a MachineSpec,
        layout: &Layout,
        codebooks: &'l [([i8; 16], Vec<Run>)],
        interval: Option<u64>,
    ) -> Self {
        let planes = vec![Plane::default(); spec.planes() as usize];
        let taken = Reservations::new(spec, interval);
        let (name, layout) = (name.to_owned(), layout.clone());
        Self {
            spec,
            layout,
            codebooks,
            interval,
            identities: IDENTITIES,
            not_before: 0,
            repeats: false,
            taken,
            planes,
            name,
            nodes: Vec::new(),
            steps: Vec::new(),
            gathered: Vec::new(),
            largest: Vec::new(),
        }
    }

    /// The block, its instructions in the texts of their queues.
    pub(crate) fn finish(self) -> Result<BlockBuilder<'a>, Error> {
        let mut timeline = Timeline::new(&self.name, self.spec);
        timeline.straight(self);
        timeline.finish()
    }

    /// Whether this is the body of a loop.
    pub(crate) fn is_loop(&self) -> bool {
        self.interval.is_some()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.taken.mark(), self.steps.len())
    }

    pub(crate) fn rollback(&mut self, mark: &Mark) {
        self.taken.rollback(mark.0);
        while self.steps.len() > mark.1 {
            match self.steps.pop() {
                Some(Step::Producer(node)) => drop(self.nodes[node].producers.pop()),
                Some(Step::Stored(node)) => drop(self.nodes[node].stored.pop()),
                Some(Step::Word(word)) => self.layout.untake(word),
                None => return,
            }
        }
    }

    /// Tries cycles from `from` on until `attempt` succeeds; what a failed attempt took is given back.
    pub(crate) fn first<T>(
        &mut self,
        what: &str,
        from: u64,
        mut attempt: impl FnMut(&mut Self, u64) -> Option<T>,
    ) -> Result<T, Error> {
        // In a loop all cycles come round again; a value may still have to wait for its memory.
        let horizon = self.interval.map_or(HORIZON, |interval| 3 * interval + 64);
        for cycle in from..from + horizon {
            let mark = self.mark();
            if let Some(found) = attempt(self, cycle) {
                return Ok(found);
            }
            self.rollback(&mark);
        }
        Err(Error::NoSlot { what: format!("{}: {what}", self.name), from, tried: HORIZON })
    }

    /// As [`Self::first`], but an operand that no way leads to is computed once more.
    pub(crate) fn first_repeating<T>(
        &mut self,
        what: &str,
        from: u64,
        attempt: impl FnMut(&mut Self, u64) -> Option<T>,
    ) -> Result<T, Error> {
        self.repeats = true;
        let found = self.first(what, from, attempt);
        self.repeats = false;
        found
    }

    fn push(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value(self.nodes.len() - 1)
    }

    /// A value of which memory holds several copies.
    pub(crate) fn copied(&mut self, copies: &[Stored]) -> Value {
        let format = copies[0].format;
        self.push(Node { format, producers: Vec::new(), stored: copies.to_vec(), row: None, made: None, rough: None })
    }

    /// A value that is in memory.
    pub(crate) fn stored(&mut self, stored: Stored) -> Value {
        let format = stored.format;
        self.push(Node { format, producers: Vec::new(), stored: vec![stored], row: None, made: None, rough: None })
    }

    /// A row of a plane's accumulators as f32, i32 or i64, that can be drained from `ready` on.
    pub(crate) fn accumulated_as(&mut self, format: Format, plane: u8, row: u16, ready: u64) -> Value {
        let row = Some((plane, row, ready));
        self.push(Node { format, producers: Vec::new(), stored: Vec::new(), row, made: None, rough: None })
    }

    /// The same as f32.
    pub(crate) fn accumulated(&mut self, plane: u8, row: u16, ready: u64) -> Value {
        self.accumulated_as(Format::F32, plane, row, ready)
    }

    /// Takes a value's row of accumulators away from it.
    pub(crate) fn leave_row(&mut self, value: Value) -> Option<(u8, u16)> {
        self.nodes[value.0].row.take().map(|(plane, row, _)| (plane, row))
    }

    /// A value that `producer` makes.
    pub(crate) fn produced(&mut self, producer: Producer, format: Format, made: Made) -> Value {
        self.push(Node {
            format,
            producers: vec![producer],
            stored: Vec::new(),
            row: None,
            made: Some(made),
            rough: None,
        })
    }

    /// Something whose upper 16 bits are the value's, and that can be had sooner where they come first.
    pub(crate) fn rough(&self, value: Value) -> Value {
        self.nodes[value.0].rough.unwrap_or(value)
    }

    pub(crate) fn set_rough(&mut self, value: Value, rough: Value) {
        self.nodes[value.0].rough = Some(rough);
    }

    /// The format in which the value goes to memory from now on.
    pub(crate) fn keep_as(&mut self, value: Value, format: Format) {
        self.nodes[value.0].format = format;
    }

    /// The value's copies in memory.
    pub(crate) fn copies(&self, value: Value) -> &[Stored] {
        &self.nodes[value.0].stored
    }

    /// Cycles between the vector unit and a place.
    pub(crate) fn distance(&self, position: Position) -> u64 {
        u64::from(position.abs_diff(self.spec.vxm_position()))
    }

    pub(crate) fn slice_position(&self, word: &Word) -> Position {
        self.spec.position(Queue::Mem(word.hemisphere, word.slice))
    }

    /// The first cycle in which the vector unit can have the value.
    pub(crate) fn earliest(&self, value: Value) -> u64 {
        let node = &self.nodes[value.0];
        let outputs = node.producers.iter().map(|producer| producer.appears);
        let memory = node.stored.iter().map(|stored| {
            let far = stored.words.iter().map(|word| self.distance(self.slice_position(word))).max();
            stored.ready + u64::from(self.spec.mem.read_delay) + far.unwrap_or_default()
        });
        let row = node.row.iter().map(|(plane, _, ready)| ready + 1 + self.drain_distance(*plane));
        outputs.chain(memory).chain(row).min().unwrap_or_default()
    }

    fn drain_distance(&self, plane: u8) -> u64 {
        self.distance(self.spec.position(Queue::Drain(plane)))
    }

    /// Computes what is wanted beside `value`, of which the longest chain takes `ahead` cycles, just before it comes:
    /// what comes early would have to wait in memory.
    pub(crate) fn beside<T>(
        &mut self,
        value: Value,
        ahead: u64,
        compute: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = self.not_before;
        self.not_before = before.max(self.earliest(value).saturating_sub(ahead));
        let computed = compute(self);
        self.not_before = before;
        computed
    }

    /// Applies an operation in the first cycle that allows it.
    pub(crate) fn alu(&mut self, op: AluOp, operands: &[Operand]) -> Result<Value, Error> {
        let from = operands.iter().map(|operand| match operand {
            Operand::Value(value) => self.earliest(*value),
            Operand::Immediate(_) => 0,
        });
        let from = from.max().unwrap_or_default().max(self.not_before);
        self.separate(operands)?;
        let what = format!("alu {op}");
        let mut attempt = |c: &mut Self, cycle| c.try_alu(op, operands, cycle);
        let producer = match self.first(&what, from, &mut attempt) {
            Err(Error::NoSlot { .. }) => {
                self.leave_apart(operands)?;
                self.first_repeating(&what, from, attempt)?
            }
            done => done?,
        };
        let format = match op {
            AluOp::AddI64 => Format::I64,
            _ if is_integer(op) => Format::I32,
            _ => Format::F32,
        };
        Ok(self.produced(producer, format, Made::Alu(op, operands.to_vec())))
    }

    /// Brings operands to memory that are not there yet, where there is a way, and then makes copies of those that
    /// share a slice: a value's only way may lead into another operand's slices whatever the cycle in which both are
    /// wanted.
    fn leave_apart(&mut self, operands: &[Operand]) -> Result<(), Error> {
        for operand in operands {
            let Operand::Value(value) = *operand else { continue };
            let node = &self.nodes[value.0];
            if node.stored.is_empty() && node.row.is_none() {
                let left =
                    self.spill(value, Hemisphere::East, ANY).or_else(|| self.spill(value, Hemisphere::West, ANY));
                // What an ALU gives is computed once more where it is wanted.
                if let (None, Some(Made::Reduce(op, boundary, values))) = (left, self.nodes[value.0].made.clone()) {
                    self.reduce_to_memory(value, op, boundary, &values)?;
                }
            }
        }
        self.separate(operands)
    }

    /// Sees to it that operands that can only come from memory have copies that one cycle can read: a slice reads once.
    fn separate(&mut self, operands: &[Operand]) -> Result<(), Error> {
        let kept: Vec<Value> = operands
            .iter()
            .filter_map(|operand| match operand {
                Operand::Value(value) if !self.nodes[value.0].stored.is_empty() => Some(*value),
                _ => None,
            })
            .collect();
        let mut sides = [Hemisphere::West, Hemisphere::East].into_iter().cycle();
        for _ in 0..COPIES {
            let Some(clashing) = (1..kept.len()).find(|end| !self.together(&kept[..=*end])) else { return Ok(()) };
            let side = sides.next().unwrap_or(Hemisphere::West);
            self.put(kept[clashing], side, ANY)?;
        }
        Ok(())
    }

    /// Whether there is a copy of each value such that no two copies share a slice.
    fn together(&self, values: &[Value]) -> bool {
        fn choose(nodes: &[Node], values: &[Value], used: &mut Vec<(Hemisphere, u8)>) -> bool {
            let Some((first, rest)) = values.split_first() else { return true };
            nodes[first.0].stored.iter().any(|stored| {
                let before = used.len();
                let free = stored.words.iter().all(|word| !used[..before].contains(&(word.hemisphere, word.slice)));
                used.extend(stored.words.iter().map(|word| (word.hemisphere, word.slice)));
                let fits = free && choose(nodes, rest, used);
                used.truncate(before);
                fits
            })
        }
        let mut distinct = values.to_vec();
        distinct.dedup();
        choose(&self.nodes, &distinct, &mut Vec::new())
    }

    pub(crate) fn try_alu(&mut self, op: AluOp, operands: &[Operand], cycle: u64) -> Option<Producer> {
        let mut sources = [Source::None; 3];
        let mut immediate = 0;
        for (place, operand) in operands.iter().enumerate() {
            let before = operands[..place].iter().position(|other| other == operand);
            sources[place] = match (before, operand) {
                (Some(before), _) => sources[before],
                (None, Operand::Value(value)) => self.source(*value, cycle)?,
                (None, Operand::Immediate(bits)) => {
                    immediate = *bits;
                    Source::Immediate
                }
            };
        }
        let [a, b, c] = sources;
        let inst = Inst::Alu { op, a, b, c, imm: Immediate(immediate), to: Destination::NONE };
        let appears = cycle + u64::from(op.delay(self.spec));
        let alus = self.spec.vxm.alus as u8;
        let feeds = |to| sources.iter().all(|s| !matches!(s, Source::Alu(from) if !self.spec.alu_feeds(*from, to)));
        let ready: Vec<u8> =
            (0..alus).filter(|alu| feeds(*alu) && self.taken.is_free(Queue::Alu(*alu), cycle)).collect();
        let alu = ready.into_iter().find(|alu| self.taken.output(Queue::Alu(*alu), appears))?;
        self.taken.issue(Queue::Alu(alu), cycle, inst);
        Some(Producer { queue: Queue::Alu(alu), issued: cycle, appears })
    }

    /// The value as an operand of the vector unit in a cycle: from an output, through an identity, from accumulators, or
    /// from memory.
    pub(crate) fn source(&mut self, value: Value, cycle: u64) -> Option<Source> {
        if let Some(source) = self.output_source(value, cycle) {
            return Some(source);
        }
        if let Some(source) = self.identity_source(value, cycle, self.identities) {
            return Some(source);
        }
        if let Some((plane, row, ready)) = self.nodes[value.0].row {
            return self.drain(self.nodes[value.0].format, plane, row, ready, cycle);
        }
        if self.nodes[value.0].stored.is_empty() {
            // Sides in turn, so that a side whose words clash with another operand's is not tried for ever.
            let sides = [Hemisphere::East, Hemisphere::West];
            let [one, other] = if cycle.is_multiple_of(2) { sides } else { [sides[1], sides[0]] };
            if self.spill(value, one, ANY).or_else(|| self.spill(value, other, ANY)).is_none() {
                return self.repeated(value, cycle);
            }
        }
        (0..self.nodes[value.0].stored.len()).find_map(|copy| {
            let stored = self.nodes[value.0].stored[copy].clone();
            let format = stored.format;
            self.read(&stored, self.spec.vxm_position(), cycle).map(|stream| Source::Stream(stream, format))
        })
    }

    /// The value computed once more, in the cycle in which it is wanted.
    fn repeated(&mut self, value: Value, cycle: u64) -> Option<Source> {
        let made = self.nodes[value.0].made.clone().filter(|_| self.repeats);
        let Some(Made::Alu(op, operands)) = made else { return None };
        let issued = cycle.checked_sub(op.delay(self.spec).into())?;
        let producer = self.try_alu(op, &operands, issued)?;
        self.add_producer(value, producer);
        self.output_source(value, cycle)
    }

    fn output_source(&self, value: Value, cycle: u64) -> Option<Source> {
        let producer = self.nodes[value.0].producers.iter().find(|producer| producer.appears == cycle)?;
        match producer.queue {
            Queue::Alu(index) => Some(Source::Alu(index)),
            Queue::Reduce(index) => Some(Source::Reduce(index)),
            _ => None,
        }
    }

    /// Keeps an output for some more delays.
    fn identity_source(&mut self, value: Value, cycle: u64, most: usize) -> Option<Source> {
        let before = cycle.checked_sub(AluOp::Identity.delay(self.spec).into())?;
        if self.output_source(value, before).is_none() {
            if most == 1 {
                return None;
            }
            self.identity_source(value, before, most - 1)?;
        }
        let producer = self.try_alu(AluOp::Identity, &[value.into()], before)?;
        self.add_producer(value, producer);
        self.output_source(value, cycle)
    }

    pub(crate) fn add_producer(&mut self, value: Value, producer: Producer) {
        self.nodes[value.0].producers.push(producer);
        self.steps.push(Step::Producer(value.0));
    }

    fn drain(&mut self, format: Format, plane: u8, row: u16, ready: u64, cycle: u64) -> Option<Source> {
        let queue = Queue::Drain(plane);
        let (from, to) = (self.spec.position(queue), self.spec.vxm_position());
        let issued = cycle.checked_sub(1 + self.drain_distance(plane)).filter(|issued| *issued >= ready)?;
        let direction = self.spec.plane_hemisphere(plane).inward();
        let number = self.streams(direction, format.streams(), format.streams(), from, issued + 1, to)?;
        let stream = Stream { direction, number };
        let inst = Inst::Drain { row: Uint::new(row.into())?, format, to: stream };
        self.taken.issue(queue, issued, inst).then(|| self.drained(plane, row, issued))?;
        Some(Source::Stream(stream, format))
    }

    /// Takes the highest free group of `count` streams whose number is a multiple of `align`; gives its first number.
    pub(crate) fn streams(
        &mut self,
        direction: Direction,
        count: u8,
        align: u8,
        from: Position,
        cycle: u64,
        to: Position,
    ) -> Option<u8> {
        let groups = (self.spec.streams as u8 - count) / align + 1;
        (0..groups).rev().map(|group| group * align).find(|number| {
            let mark = self.taken.mark();
            let free = (0..count).all(|plane| {
                let stream = Stream { direction, number: number + plane };
                self.taken.stream(stream, from, cycle, to)
            });
            if !free {
                self.taken.rollback(mark);
            }
            free
        })
    }
}

/// Whether an operation's results are integers.
fn is_integer(op: AluOp) -> bool {
    matches!(
        op,
        AluOp::Exponent
            | AluOp::Ceil
            | AluOp::RoundEven
            | AluOp::IntegerAdd
            | AluOp::IntegerSubtract
            | AluOp::IntegerMultiply
            | AluOp::IntegerMinimum
            | AluOp::IntegerMaximum
            | AluOp::IntegerLess
            | AluOp::IntegerEqual
            | AluOp::Less
            | AluOp::LessEqual
            | AluOp::Equal
            | AluOp::And
            | AluOp::Or
            | AluOp::Xor
            | AluOp::ShiftLeft
            | AluOp::ShiftRight
    )
}

/// The instruction with the bases of its addresses.
fn with_bases(queue: Queue, inst: Inst, layout: &Layout) -> Inst {
    let Queue::Mem(side, slice) = queue else { return inst };
    let based = |bank: u8, address: Address| Address { base: layout.base(side, slice, bank, address.word), ..address };
    let slot = |bank, slot| match slot {
        Slot::Idle => Slot::Idle,
        Slot::Read(address, stream) => Slot::Read(based(bank, address), stream),
        Slot::Write(address, stream) => Slot::Write(based(bank, address), stream),
    };
    match inst {
        Inst::Mem { bank0, bank1 } => Inst::Mem { bank0: slot(0, bank0), bank1: slot(1, bank1) },
        Inst::Gather { index, address, bank, log2_interleave, residue, count, quiet, to } => {
            let address = based(bank.get() as u8, address);
            Inst::Gather { index, address, bank, log2_interleave, residue, count, quiet, to }
        }
        Inst::Scatter { index, address, bank, log2_interleave, residue, count, from } => {
            let address = based(bank.get() as u8, address);
            Inst::Scatter { index, address, bank, log2_interleave, residue, count, from }
        }
        other => other,
    }
}
