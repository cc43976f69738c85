//! What a program is.

use std::borrow::Cow;

use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::operand::Format;
use lockstep_machine::inst::{INST_BYTES, Inst};
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

/// Everything that a run needs: the machine, the memory, the instructions, and what is expected of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Program<'a> {
    /// The program's name.
    pub name: String,
    /// The chip it is made for.
    pub machine: MachineSpec,
    /// The version of the arithmetic contract.
    pub arithmetic_version: u32,
    /// How many chips it runs on, numbered from 0.
    pub chips: u32,
    /// Links between its chips.
    pub links: Vec<Cable>,
    /// What memory holds before the first run.
    pub images: Vec<Image<'a>>,
    /// Where the host writes inputs and finds outputs.
    pub bindings: Vec<Binding>,
    /// Code, each once.
    pub blocks: Vec<Block>,
    /// The ways to run it, over one set of images.
    pub entries: Vec<Entry>,
}

/// A word of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    /// The chip.
    pub chip: u32,
    /// The side of the vector unit.
    pub hemisphere: Hemisphere,
    /// The slice, counted outward.
    pub slice: u8,
    /// The bank.
    pub bank: u8,
    /// The word within the bank.
    pub word: u16,
}

/// Consecutive words of one bank and what they hold before the first run. Images do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Name, such as a tensor's and a part's.
    pub name: String,
    /// The first word.
    pub first: Word,
    /// How many words.
    pub vectors: u32,
    /// The bytes.
    pub content: Content<'a>,
}

/// The bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// `vectors x lanes` bytes.
    Bytes(Cow<'a, [u8]>),
    /// Zeros.
    Zero,
    /// Not in this program, which was compiled from shapes alone: it can be timed but not run.
    Absent,
}

/// Whether the host writes or reads a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BindingKind {
    /// The host writes it before a run.
    Input,
    /// The host reads it after a run.
    Output,
}

/// A vector of numbers that the host writes or reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name, such as `x`.
    pub name: String,
    /// Direction.
    pub kind: BindingKind,
    /// What each number is.
    pub format: Format,
    /// How many numbers. Number i is in lane `i % lanes` of tile `i / lanes`.
    pub elements: u32,
    /// The words: for each tile, one word for each byte plane of the format, lowest first.
    pub words: Vec<Word>,
}

/// Code for one chip, to be run at any time after what it needs; no value is in flight when it starts or ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Name.
    pub name: String,
    /// From its start until the last effect of its last instruction.
    pub cycles: u64,
    /// The text of each queue that does something, in the order of [`MachineSpec::queues`].
    pub queues: Vec<QueueText>,
    /// For each operand, who is expected to have produced it; sorted.
    pub flow: Vec<FlowEdge>,
    /// How many origins its instances must name.
    pub imports: u32,
}

/// The instructions of one queue, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueText {
    /// The queue.
    pub queue: Queue,
    /// Its instructions.
    pub insts: Vec<[u8; INST_BYTES]>,
}

/// An instruction's issue: the `issue`-th (0 is the instruction itself, then its repetitions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssueId {
    /// The queue.
    pub queue: Queue,
    /// The instruction's place in the queue's text.
    pub inst: u32,
    /// Which issue of it.
    pub issue: u32,
}

/// For `count` consecutive issues of an instruction, where one operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowEdge {
    /// The first issue that reads.
    pub reader: IssueId,
    /// How many issues.
    pub count: u32,
    /// Which of the issue's reads, in the order in which `machine::access::accesses` makes them.
    pub operand: u8,
    /// Where the first issue's operand comes from.
    pub origin: Origin,
    /// How far the origin moves on from issue to issue: its issue, or its vector.
    pub step: i32,
}

/// Where an operand comes from. Inside a block's flow, what is older than the block is an `Import`, and never `Image`,
/// `Input` or `Sent`, which instances bind to imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From nothing: what a merge finds where no value is, or memory that nothing has written.
    Nothing,
    /// From a write of an issue of this block (in flow) or of the named block (in imports).
    Issue {
        /// The block, by its index.
        block: u32,
        /// The issue.
        id: IssueId,
        /// Which of its writes, in the order in which `machine::access::accesses` makes them.
        result: u8,
    },
    /// From what is bound to the instance's import, moved on by so many issues or vectors.
    Import {
        /// Which import.
        import: u32,
        /// How far the origin is moved on.
        offset: u32,
    },
    /// From an image's vector, as it was before the run.
    Image {
        /// The image, by its index.
        image: u32,
        /// The vector.
        vector: u32,
    },
    /// From an input binding's word.
    Input {
        /// The binding, by its index.
        binding: u32,
        /// The word, by its place in the binding.
        vector: u32,
    },
    /// From a vector that came over a link: the so manieth of the entry.
    Sent {
        /// The receiving link.
        link: u8,
        /// Counted from the entry's start.
        vector: u32,
    },
    /// From many: what a hash of all of them, in order, makes.
    Many(u64),
}

impl Origin {
    /// What `Many` adds up, wrapping, for its part at `index`: a hash of the index and of the origin's numbers.
    pub fn part_hash(&self, index: u64) -> u64 {
        let (tag, a, b, c, d) = match *self {
            Self::Nothing => (0, 0, 0, 0, 0),
            Self::Issue { block, id, result } => {
                (1, block, id.inst, id.issue, u64::from(result) | queue_number(id.queue) << 8)
            }
            Self::Import { import, offset } => (2, import, offset, 0, 0),
            Self::Image { image, vector } => (3, image, vector, 0, 0),
            Self::Input { binding, vector } => (4, binding, vector, 0, 0),
            Self::Sent { link, vector } => (5, link.into(), vector, 0, 0),
            Self::Many(hash) => (6, 0, 0, 0, hash),
        };
        // A multiplication mixes upward, a shift downward: after each word every bit depends on all words before it.
        [index, tag, a.into(), b.into(), c.into(), d].iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, word: &u64| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ mixed >> 29
        })
    }

    /// Whether another origin is the one that is `by` issues or vectors on: as if by [`Self::moved`], but quicker.
    #[inline]
    pub fn moves_to(&self, by: i64, other: &Self) -> bool {
        let on = |from: u32, to: u32| i64::from(from) + by == i64::from(to);
        match (self, other) {
            (Self::Issue { block, id, result }, Self::Issue { block: to_block, id: to, result: to_result }) => {
                (block, result, id.queue, id.inst) == (to_block, to_result, to.queue, to.inst) && on(id.issue, to.issue)
            }
            (Self::Import { import, offset }, Self::Import { import: to, offset: to_offset }) => {
                import == to && on(*offset, *to_offset)
            }
            (Self::Image { image, vector }, Self::Image { image: to, vector: to_vector }) => {
                image == to && on(*vector, *to_vector)
            }
            (Self::Input { binding, vector }, Self::Input { binding: to, vector: to_vector }) => {
                binding == to && on(*vector, *to_vector)
            }
            (Self::Sent { link, vector }, Self::Sent { link: to, vector: to_vector }) => {
                link == to && on(*vector, *to_vector)
            }
            (one, other) => one == other,
        }
    }

    /// The origin that is `by` issues or vectors on; `None` where that does not exist.
    pub fn moved(&self, by: i64) -> Option<Self> {
        let add = |n: u32| u32::try_from(i64::from(n) + by).ok();
        Some(match *self {
            Self::Issue { block, id, result } => {
                Self::Issue { block, id: IssueId { issue: add(id.issue)?, ..id }, result }
            }
            Self::Import { import, offset } => Self::Import { import, offset: add(offset)? },
            Self::Image { image, vector } => Self::Image { image, vector: add(vector)? },
            Self::Input { binding, vector } => Self::Input { binding, vector: add(vector)? },
            Self::Sent { link, vector } => Self::Sent { link, vector: add(vector)? },
            Self::Nothing | Self::Many(_) => *self,
        })
    }
}

/// The origin of a table: what `Many` makes of the origins of its words, in order. Consecutive vectors of an image are
/// one part, any other word is one by itself, so that large tables are cheap.
#[derive(Clone, Debug, Default)]
pub struct TableOrigin {
    hash: u64,
    /// Words so far.
    words: u64,
    /// The run that may still grow: its first word's place and origin, and how many words it has.
    run: Option<(u64, Origin, u32)>,
}

impl TableOrigin {
    /// Adds a word, or, from an image, so many words with consecutive vectors.
    pub fn push(&mut self, origin: Origin, count: u32) {
        let at = self.words;
        self.words += u64::from(count);
        if let Some((_, Origin::Image { image, vector }, held)) = &mut self.run
            && origin == (Origin::Image { image: *image, vector: *vector + *held })
        {
            *held += count;
            return;
        }
        self.end_run();
        self.run = Some((at, origin, count));
    }

    fn end_run(&mut self) {
        if let Some((at, origin, count)) = self.run.take() {
            self.hash = self.hash.wrapping_add(origin.part_hash(at).wrapping_mul(2 * u64::from(count) + 1));
        }
    }

    /// The table's origin.
    pub fn finish(mut self) -> Origin {
        self.end_run();
        Origin::Many(self.hash)
    }
}

/// A number for a queue that does not depend on the machine; files use it too.
pub fn queue_number(queue: Queue) -> u64 {
    let side = |h: Hemisphere| u64::from(h == Hemisphere::East);
    match queue {
        Queue::Mem(h, slice) => u64::from(slice) | side(h) << 8,
        Queue::Alu(index) => 1 << 16 | u64::from(index),
        Queue::Reduce(index) => 2 << 16 | u64::from(index),
        Queue::Load(plane) => 3 << 16 | u64::from(plane),
        Queue::Activate(plane) => 4 << 16 | u64::from(plane),
        Queue::Drain(plane) => 5 << 16 | u64::from(plane),
        Queue::Sxm(h, index) => 6 << 16 | u64::from(index) | side(h) << 8,
        Queue::Send(link) => 7 << 16 | u64::from(link),
        Queue::Receive(link) => 8 << 16 | u64::from(link),
    }
}

/// One way to run the program, from a quiet machine to a quiet machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Name, such as `decode`.
    pub name: String,
    /// What runs where and when, in the order of chip and start.
    pub instances: Vec<Instance>,
    /// Names for spans of time; together they cover the entry.
    pub phases: Vec<Phase>,
    /// The predicted cycles.
    pub cycles: u64,
}

impl Entry {
    /// What runs on each of so many chips, in order.
    pub fn by_chip(&self, chips: u32) -> Vec<Vec<&Instance>> {
        let mut instances = vec![Vec::new(); chips as usize];
        for instance in &self.instances {
            instances[instance.chip as usize].push(instance);
        }
        instances
    }
}

impl Block {
    /// Whether it only aligns its chip's clock.
    pub fn aligns(&self) -> bool {
        let aligning = |bytes: &[u8; INST_BYTES]| matches!(Inst::decode(*bytes), Ok(Inst::RuntimeDeskew { .. }));
        matches!(&self.queues[..], [queue] if queue.insts.iter().any(aligning))
    }
}

/// A block, at a time, on a chip. Instances of one chip do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The block, by its index.
    pub block: u32,
    /// The chip.
    pub chip: u32,
    /// The cycle at which the block's cycle 0 falls.
    pub start: u64,
    /// Added to words, by base.
    pub offsets: [i32; BASES],
    /// What the block's imports stand for here.
    pub imports: Vec<Origin>,
}

/// Bases of addresses.
pub const BASES: usize = 16;

/// A named span of an entry's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Name, such as `layers`.
    pub name: String,
    /// Its first cycle.
    pub start: u64,
    /// How many.
    pub cycles: u64,
}
