//! Programs by hand: instructions at cycles, in any order, become the texts of queues.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use lockstep_machine::access::duration;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stride, Uint};
use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

use crate::derive::derive;
use crate::file::ARITHMETIC_VERSION;
use crate::program::{BASES, Binding, BindingKind, Block, Content, Entry, Image, Instance, Program, QueueText, Word};
use crate::verify::Violation;

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
    /// Numbers that do not fill their rows, or have another count of byte planes than words were given.
    #[error("tensor {name}: {bytes} bytes for rows of {columns} numbers of {format} and {planes} byte planes")]
    Tensor {
        /// The tensor.
        name: String,
        /// Bytes given.
        bytes: usize,
        /// Numbers of a row.
        columns: usize,
        /// What the numbers are.
        format: Format,
        /// Byte planes given.
        planes: usize,
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
#[derive(Debug)]
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
        let placed = self.queues.entry(queue).or_default();
        let before = placed.range(..next(cycle, &inst, times)).next_back();
        if let Some((start, (taken, theirs))) = before
            && next(*start, taken, *theirs) > cycle
        {
            return Err(BuildError::Taken { queue, cycle, taken: *taken, wanted: inst });
        }
        placed.insert(cycle, (inst, times));
        Ok(())
    }

    /// The queues that issue anything.
    pub fn queues(&self) -> impl Iterator<Item = Queue> + '_ {
        self.queues.iter().filter(|(_, placed)| !placed.is_empty()).map(|(queue, _)| *queue)
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
                if times.issues > 1 {
                    insts.push(repeat(*times).encode());
                }
                now = next(*cycle, inst, *times);
                let last = cycle + u64::from(times.issues - 1) * u64::from(times.every);
                let ends = last + u64::from(duration(&(*inst).into(), queue, self.spec));
                block.cycles = block.cycles.max(ends);
            }
            block.queues.push(QueueText { queue, insts });
        }
        block
    }
}

/// Collects the parts of a program; what can be told from them is filled in at the end.
///
/// Parts are named by the numbers that their methods return. A number that was not returned is a mistake of the caller
/// and panics.
#[derive(Debug)]
pub struct ProgramBuilder<'a> {
    program: Program<'a>,
    /// How many blocks have a name, but for what follows a `#`.
    named: BTreeMap<String, u32>,
    /// Blocks by the hash of their name and their texts.
    hashed: HashMap<u64, Vec<u32>>,
}

impl<'a> ProgramBuilder<'a> {
    /// A program for one chip, without anything in it.
    pub fn new(name: &str, spec: &MachineSpec) -> Self {
        let program = Program {
            name: name.to_owned(),
            machine: spec.clone(),
            arithmetic_version: ARITHMETIC_VERSION,
            chips: 1,
            links: Vec::new(),
            images: Vec::new(),
            bindings: Vec::new(),
            blocks: Vec::new(),
            entries: Vec::new(),
        };
        Self { program, named: BTreeMap::new(), hashed: HashMap::new() }
    }

    /// The machine it is built for.
    pub fn spec(&self) -> &MachineSpec {
        &self.program.machine
    }

    /// The program so far: nothing is filled in yet.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// Makes it a program for so many chips.
    pub fn chips(&mut self, chips: u32) -> &mut Self {
        self.program.chips = chips;
        self
    }

    /// Joins the sending side of a chip's link to the receiving side of another's; each side is (chip, link).
    pub fn link(&mut self, from: (u32, u8), to: (u32, u8)) -> &mut Self {
        self.program.links.push(Cable { from_chip: from.0, from_link: from.1, to_chip: to.0, to_link: to.1 });
        self
    }

    /// Puts content in memory; returns the image's number.
    pub fn image(&mut self, name: &str, first: Word, vectors: u32, content: Content<'a>) -> u32 {
        self.program.images.push(Image { name: name.to_owned(), first, vectors, content });
        self.program.images.len() as u32 - 1
    }

    /// Puts little-endian numbers in memory, row by row, as byte planes: byte plane p in the words from `planes[p]` on,
    /// as an image `name.p`. A row takes as many vectors as it needs; lanes that it leaves free hold zeros. Returns the
    /// number of the lowest byte plane's image; those of the others follow.
    pub fn tensor(
        &mut self,
        name: &str,
        format: Format,
        columns: usize,
        bytes: &[u8],
        planes: &[Word],
    ) -> Result<u32, BuildError> {
        let width = usize::from(format.streams());
        let row_bytes = columns * width;
        if planes.len() != width || row_bytes == 0 || !bytes.len().is_multiple_of(row_bytes) {
            let (name, bytes) = (name.to_owned(), bytes.len());
            return Err(BuildError::Tensor { name, bytes, columns, format, planes: planes.len() });
        }
        let first_image = self.program.images.len() as u32;
        let padded = columns.next_multiple_of(self.program.machine.lanes() as usize);
        for (plane, first) in planes.iter().enumerate() {
            let mut content = Vec::with_capacity(bytes.len() / row_bytes * padded);
            for row in bytes.chunks(row_bytes) {
                content.extend(row.iter().skip(plane).step_by(width));
                content.resize(content.len().next_multiple_of(padded), 0);
            }
            let vectors = (content.len() / self.program.machine.lanes() as usize) as u32;
            self.image(&format!("{name}.{plane}"), *first, vectors, Content::Bytes(Cow::Owned(content)));
        }
        Ok(first_image)
    }

    /// Names words that the host writes before a run or reads after it, tile by tile, in each the byte planes from the
    /// lowest up; returns the binding's number.
    pub fn binding(
        &mut self,
        name: &str,
        kind: BindingKind,
        format: Format,
        elements: u32,
        words: impl IntoIterator<Item = Word>,
    ) -> u32 {
        let words = words.into_iter().collect();
        self.program.bindings.push(Binding { name: name.to_owned(), kind, format, elements, words });
        self.program.bindings.len() as u32 - 1
    }

    /// The number of a block, which is added unless one of its name has the same texts. Another block of a name is told
    /// apart by what follows a `#`; both belong to the phase that the name stands for.
    pub fn block(&mut self, block: &BlockBuilder<'_>) -> u32 {
        let mut block = block.finish();
        let mut hasher = DefaultHasher::new();
        (&block.name, &block.queues).hash(&mut hasher);
        let alike = self.hashed.entry(hasher.finish()).or_default();
        let is_same = |other: &Block| kind_of(&other.name) == block.name && other.queues == block.queues;
        if let Some(number) = alike.iter().find(|number| is_same(&self.program.blocks[**number as usize])) {
            return *number;
        }
        let number = self.program.blocks.len() as u32;
        alike.push(number);
        let before = self.named.entry(block.name.clone()).or_default();
        if *before > 0 {
            block.name = format!("{}#{before}", block.name);
        }
        *before += 1;
        self.program.blocks.push(block);
        number
    }

    /// Adds an entry without instances; returns its number.
    pub fn entry(&mut self, name: &str) -> u32 {
        self.program.entries.push(Entry { name: name.to_owned(), ..Entry::default() });
        self.program.entries.len() as u32 - 1
    }

    /// Runs a block on a chip, its cycle 0 at `start` of the entry; `offsets` are added to addresses, by base.
    pub fn instance(&mut self, entry: u32, block: u32, chip: u32, start: u64, offsets: [i32; BASES]) -> &mut Self {
        let instance = Instance { block, chip, start, offsets, imports: Vec::new() };
        self.program.entries[entry as usize].instances.push(instance);
        self
    }

    /// The cycle after the last effect of the instances of a chip in an entry: where the next can start.
    pub fn end(&self, entry: u32, chip: u32) -> u64 {
        let instances = self.program.entries[entry as usize].instances.iter().filter(|i| i.chip == chip);
        instances.map(|i| i.start + self.program.blocks[i.block as usize].cycles).max().unwrap_or(0)
    }

    /// The program, with flow, imports, cycles and phases filled in; or what is wrong with it.
    pub fn finish(mut self) -> Result<Program<'a>, Vec<Violation>> {
        for entry in &mut self.program.entries {
            entry.instances.sort_by_key(|instance| (instance.chip, instance.start));
        }
        derive(&mut self.program)?;
        Ok(self.program)
    }
}

/// What a block's name says but for what tells it from others.
fn kind_of(name: &str) -> &str {
    name.split_once('#').map_or(name, |(kind, _)| kind)
}

/// The cycle at which a queue can issue something else.
fn next(cycle: u64, inst: &Inst, times: Repetition) -> u64 {
    let own = match inst {
        Inst::RuntimeDeskew { cycles } => cycles.get().into(),
        _ => 1,
    };
    cycle + u64::from(times.issues - 1) * u64::from(times.every) + own
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_blocks_of_a_name_are_stored_once() {
        let spec = MachineSpec::preset("lockstep1").expect("a preset");
        let mut program = ProgramBuilder::new("test", &spec);
        let mut add = |name, cycles| {
            let mut block = BlockBuilder::new(name, &spec);
            let cycles = Uint::new(cycles).expect("few cycles");
            block.issue(0, Queue::Send(0), Inst::RuntimeDeskew { cycles }).expect("room");
            program.block(&block)
        };
        let blocks = [("align", 252), ("align", 504), ("align", 252), ("other", 252), ("align", 504)];
        assert_eq!(blocks.map(|(name, cycles)| add(name, cycles)), [0, 1, 0, 2, 1]);
        let names: Vec<&str> = program.program().blocks.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(names, ["align", "align#1", "other"]);
    }
}
