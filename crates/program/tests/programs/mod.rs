//! Programs that hang together and mean nothing: any names, instructions, places and origins.
#![allow(dead_code, clippy::unwrap_used)]

#[path = "../../../machine/tests/common/mod.rs"]
pub(crate) mod insts;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::operand::Format;
use lockstep_machine::inst::{Class, Inst};
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::file::ARITHMETIC_VERSION;
use lockstep_program::program::{
    Binding, BindingKind, Block, Content, Entry, FlowEdge, Image, Instance, IssueId, Origin, Phase, Program, QueueText,
    Word,
};
use proptest::prelude::*;

/// splitmix64: equal seeds give equal programs and mutants everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn u32(&mut self, end: u32) -> u32 {
        self.below(end.into()) as u32
    }
}

/// Any program.
pub(crate) fn program() -> impl Strategy<Value = Program<'static>> {
    let insts = proptest::collection::vec(insts::inst(), 0..60);
    (any::<u64>(), insts).prop_map(|(seed, insts)| random_program(seed, &insts))
}

const NAMES: [&str; 8] = ["a", "blk.0 q", "\"", "\\ # x", "日本", "line\nend", "end", "\u{85}\u{7f}\t"];

/// The program of a seed, made of these instructions.
pub(crate) fn random_program(seed: u64, insts: &[Inst]) -> Program<'static> {
    let mut maker = Maker { random: Random(seed), machine: MachineSpec::default(), chips: 0, names: BTreeSet::new() };
    maker.machine = maker.machine();
    maker.chips = maker.random.u32(4) + 1;
    let mut program = Program {
        name: maker.name(),
        machine: maker.machine.clone(),
        arithmetic_version: ARITHMETIC_VERSION,
        chips: maker.chips,
        links: maker.links(),
        images: maker.images(),
        bindings: maker.bindings(),
        blocks: Vec::new(),
        entries: Vec::new(),
    };
    for (index, insts) in insts.chunks(20).enumerate() {
        let block = maker.block(index as u32, insts);
        program.blocks.push(block);
    }
    program.entries = (0..maker.random.below(3)).map(|_| maker.entry(&program)).collect();
    program
}

struct Maker {
    random: Random,
    machine: MachineSpec,
    chips: u32,
    names: BTreeSet<String>,
}

impl Maker {
    fn machine(&mut self) -> MachineSpec {
        let preset = |name| MachineSpec::preset(name).unwrap();
        match self.random.below(3) {
            0 => preset("lockstep1"),
            1 => preset("tsp2020"),
            _ => MachineSpec { name: "mine-1.b".to_owned(), superlanes: 2, ..preset("lockstep1") },
        }
    }

    fn name(&mut self) -> String {
        let name = format!("{}{}", NAMES[self.random.below(8) as usize], self.names.len());
        self.names.insert(name.clone());
        name
    }

    fn word(&mut self) -> Word {
        Word {
            chip: self.random.u32(self.chips),
            hemisphere: [Hemisphere::West, Hemisphere::East][self.random.below(2) as usize],
            slice: self.random.u32(self.machine.mem.slices_per_hemisphere) as u8,
            bank: self.random.u32(2) as u8,
            word: self.random.u32(self.machine.words_per_bank()) as u16,
        }
    }

    fn links(&mut self) -> Vec<Cable> {
        let links = self.machine.c2c.links;
        let link = |random: &mut Random, chips| (random.u32(chips), random.u32(links) as u8);
        let count = self.random.below(4);
        (0..count)
            .map(|_| {
                let (from_chip, from_link) = link(&mut self.random, self.chips);
                let (to_chip, to_link) = link(&mut self.random, self.chips);
                Cable { from_chip, from_link, to_chip, to_link }
            })
            .collect()
    }

    fn images(&mut self) -> Vec<Image<'static>> {
        let lanes = self.machine.lanes();
        let count = self.random.below(5);
        (0..count)
            .map(|index| {
                let vectors = self.random.u32(3) + 1;
                // Each has a slice of its own.
                let first = Word { slice: index as u8, word: self.random.u32(1000) as u16, ..self.word() };
                let content = match self.random.below(4) {
                    0 => Content::Zero,
                    1 => Content::Absent,
                    _ => {
                        let bytes = (0..vectors * lanes).map(|_| self.random.next() as u8);
                        Content::Bytes(Cow::Owned(bytes.collect()))
                    }
                };
                Image { name: self.name(), first, vectors, content }
            })
            .collect()
    }

    fn bindings(&mut self) -> Vec<Binding> {
        let count = self.random.below(4);
        (0..count)
            .map(|_| {
                let format = Format::ALL[self.random.below(7) as usize];
                let elements = self.random.u32(700) + 1;
                let mut words = Vec::new();
                for _ in 0..elements.div_ceil(self.machine.lanes()) {
                    let first = Word { slice: self.random.u32(30) as u8, ..self.word() };
                    let beside = self.random.below(2) == 0;
                    words.extend(
                        (0..format.streams()).map(|plane| {
                            if beside { Word { slice: first.slice + plane, ..first } } else { self.word() }
                        }),
                    );
                }
                let kind = [BindingKind::Input, BindingKind::Output][self.random.below(2) as usize];
                Binding { name: self.name(), kind, format, elements, words }
            })
            .collect()
    }

    /// A queue that takes this instruction.
    fn queue(&mut self, inst: Inst) -> Option<Queue> {
        let queues = self.machine.queues();
        let takes: Vec<Queue> = queues.into_iter().filter(|queue| inst.class().runs_on(*queue)).collect();
        // A few queues get many instructions.
        let among = if inst.class() == Class::Control { takes.len() } else { takes.len().min(3) };
        (among > 0).then(|| takes[self.random.below(among as u64) as usize])
    }

    fn block(&mut self, index: u32, insts: &[Inst]) -> Block {
        let places: Vec<Queue> = self.machine.queues();
        let mut texts: BTreeMap<usize, QueueText> = BTreeMap::new();
        for inst in insts {
            let control = inst.class() == Class::Control && !texts.is_empty();
            let queue = if control {
                texts.values().nth(self.random.below(texts.len() as u64) as usize).map(|text| text.queue)
            } else {
                self.queue(*inst)
            };
            let Some(queue) = queue else { continue };
            let place = places.iter().position(|known| *known == queue).unwrap();
            let text = texts.entry(place).or_insert(QueueText { queue, insts: Vec::new() });
            text.insts.push(inst.encode());
        }
        let queues = texts.into_values().collect();
        let (name, cycles, imports) = (self.name(), self.random.below(1 << 40), self.random.u32(3));
        let mut block = Block { name, cycles, queues, flow: Vec::new(), imports };
        let mut flow = BTreeSet::new();
        for _ in 0..self.random.below(8) {
            flow.extend(self.edge(index, &block));
        }
        block.flow = flow.into_iter().collect();
        block
    }

    /// Any issue of a block, and how many there are from it on.
    fn issue(&mut self, block: &Block) -> Option<(IssueId, u32)> {
        let text = block.queues.get(self.random.below(block.queues.len().max(1) as u64) as usize)?;
        let inst = self.random.below(text.insts.len() as u64) as usize;
        let issues = match text.insts.get(inst + 1).map(|bytes| Inst::decode(*bytes).unwrap()) {
            Some(Inst::Repeat { count, .. }) => 1 + count.get(),
            _ => 1,
        };
        let issue = self.random.u32(issues);
        Some((IssueId { queue: text.queue, inst: inst as u32, issue }, issues - issue))
    }

    fn edge(&mut self, index: u32, block: &Block) -> Option<FlowEdge> {
        let (reader, most) = self.issue(block)?;
        let count = self.random.u32(most) + 1;
        let (origin, step) = match self.random.below(4) {
            0 => (Origin::Nothing, 0),
            1 => (Origin::Many(self.random.next()), 0),
            2 if block.imports > 0 => {
                let import = self.random.u32(block.imports);
                (Origin::Import { import, offset: self.random.u32(9) }, self.random.u32(4) as i32)
            }
            _ => {
                let (id, left) = self.issue(block)?;
                let origin = Origin::Issue { block: index, id, result: self.random.u32(3) as u8 };
                (origin, i32::from(left >= count))
            }
        };
        Some(FlowEdge { reader, count, operand: self.random.u32(12) as u8, origin, step })
    }

    fn entry(&mut self, program: &Program<'_>) -> Entry {
        let mut entry = Entry { name: self.name(), cycles: self.random.below(1 << 50), ..Entry::default() };
        for _ in 0..self.random.below(3) {
            let (start, cycles) = (self.random.below(1000), self.random.below(1000));
            entry.phases.push(Phase { name: self.name(), start, cycles });
        }
        for _ in 0..self.random.below(4).min(program.blocks.len() as u64 * 4) {
            let block = self.random.u32(program.blocks.len() as u32);
            let mut offsets = [0; 16];
            (0..self.random.below(4)).for_each(|_| offsets[self.random.below(16) as usize] = self.random.next() as i32);
            let imports = (0..program.blocks[block as usize].imports).map(|_| self.import(program)).collect();
            let (chip, start) = (self.random.u32(program.chips), self.random.below(1 << 40));
            entry.instances.push(Instance { block, chip, start, offsets, imports });
        }
        entry.instances.sort_by_key(|instance| (instance.chip, instance.start));
        entry
    }

    fn import(&mut self, program: &Program<'_>) -> Origin {
        let input = program.bindings.iter().position(|binding| binding.kind == BindingKind::Input);
        match self.random.below(6) {
            0 => Origin::Many(self.random.next()),
            1 => Origin::Sent { link: self.random.u32(16) as u8, vector: self.random.u32(99) },
            2 if !program.images.is_empty() => {
                let image = self.random.u32(program.images.len() as u32);
                let vector = self.random.u32(program.images[image as usize].vectors);
                Origin::Image { image, vector }
            }
            3 if input.is_some() => {
                let binding = input.unwrap();
                let vector = self.random.u32(program.bindings[binding].words.len() as u32);
                Origin::Input { binding: binding as u32, vector }
            }
            4 => {
                let block = self.random.u32(program.blocks.len() as u32);
                let issue = self.issue(&program.blocks[block as usize]);
                issue.map_or(Origin::Nothing, |(id, _)| Origin::Issue { block, id, result: self.random.u32(2) as u8 })
            }
            _ => Origin::Nothing,
        }
    }
}

/// A small program with something of everything.
pub(crate) fn small() -> Program<'static> {
    let insts = [
        "mem bank0=read:0+b0:e0 bank1=write:7+b3:w2",
        "repeat count=3 every=2 word_stride=1",
        "nop cycles=4",
        "mem bank0=read:1+b0:e1",
        "alu op=add a=e0:f32 b=imm imm=0x3f800000 to=e4:f32",
        "alu op=identity a=alu.0 to=both8:f32",
        "drain row=3 format=f32 to=w8",
        "sync",
    ];
    let insts: Vec<Inst> = insts.iter().map(|text| lockstep_machine::inst::parse(text).unwrap()).collect();
    let full = |program: &Program<'_>| {
        let imports = program.entries.iter().flat_map(|entry| &entry.instances).map(|instance| instance.imports.len());
        let ends_in_bytes = matches!(program.images.last().map(|image| &image.content), Some(Content::Bytes(_)));
        let flow = program.blocks.iter().map(|block| block.flow.len()).sum::<usize>();
        let parts = [program.links.len(), program.bindings.len(), program.entries.len()];
        ends_in_bytes
            && parts.iter().all(|count| *count > 0)
            && flow > 2
            && imports.sum::<usize>() > 2
            && program.machine.superlanes == 2
    };
    (0..100_000).map(|seed| random_program(seed, &insts)).find(full).unwrap()
}
