//! Whether a program hangs together: names, counts, indices and places, without a word about time.
//!
//! Files and texts are read through this one list of rules, so whoever holds a decoded or parsed program may index with
//! what it says. Hazards, flow and cycles are the verifier's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::topology::CHIPS_MAX;

use crate::program::{BindingKind, Block, Content, Entry, FlowEdge, Instance, IssueId, Origin, Program, Word};

/// Bytes of the longest name.
pub const NAME_BYTES_MAX: usize = 255;
/// No cycle of a program is this late, so that sums of a few cycles stay far from the end of `u64`.
pub const CYCLES_END: u64 = 1 << 60;

/// A part of a program, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The program's own fields.
    Program,
    /// A link.
    Link(usize),
    /// An image.
    Image(usize),
    /// A binding.
    Binding(usize),
    /// A block.
    Block(usize),
    /// A block's queue, by its place in the block.
    Queue(usize, usize),
    /// A block's flow edge.
    Flow(usize, usize),
    /// An entry.
    Entry(usize),
    /// An entry's instance.
    Instance(usize, usize),
    /// An entry's phase.
    Phase(usize, usize),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => write!(f, "program"),
            Self::Link(index) => write!(f, "link {index}"),
            Self::Image(index) => write!(f, "image {index}"),
            Self::Binding(index) => write!(f, "binding {index}"),
            Self::Block(index) => write!(f, "block {index}"),
            Self::Queue(block, index) => write!(f, "block {block} queue {index}"),
            Self::Flow(block, index) => write!(f, "block {block} flow edge {index}"),
            Self::Entry(index) => write!(f, "entry {index}"),
            Self::Instance(entry, index) => write!(f, "entry {entry} instance {index}"),
            Self::Phase(entry, index) => write!(f, "entry {entry} phase {index}"),
        }
    }
}

/// One thing that does not hang together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{item} {name:?}: {message}")]
pub struct FormError {
    /// Which part.
    pub item: Item,
    /// Its name, or that of what it belongs to; long ones are cut.
    pub name: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What is wrong with a program, up to `limit` faults.
pub fn check_form(program: &Program<'_>, limit: usize) -> Vec<FormError> {
    let texts = program.blocks.iter().map(|b| b.queues.iter().map(|t| (t.queue, &*t.insts)).collect()).collect();
    let mut checker = Checker { program, texts, limit, errors: Vec::new() };
    checker.program();
    checker.images();
    checker.bindings();
    checker.blocks();
    let mut names = BTreeSet::new();
    for (index, entry) in program.entries.iter().enumerate() {
        checker.name(Item::Entry(index), &entry.name, &mut names);
        checker.entry(index, entry);
    }
    checker.errors
}

/// The beginning of a name, for a message.
pub(crate) fn short(name: &str) -> String {
    name.chars().take(60).collect()
}

type Texts<'a> = BTreeMap<Queue, &'a [[u8; 16]]>;

struct Checker<'a> {
    program: &'a Program<'a>,
    /// The queues of each block.
    texts: Vec<Texts<'a>>,
    limit: usize,
    errors: Vec<FormError>,
}

impl<'a> Checker<'a> {
    fn must(&mut self, holds: bool, item: Item, name: &str, message: impl FnOnce() -> String) {
        if !holds && self.errors.len() < self.limit {
            self.errors.push(FormError { item, name: short(name), message: message() });
        }
    }

    fn fail_on(&mut self, result: Result<(), String>, item: Item, name: &str) {
        if let Err(message) = result {
            self.must(false, item, name, || message);
        }
    }

    fn name(&mut self, item: Item, name: &'a str, known: &mut BTreeSet<&'a str>) {
        let bytes = name.len();
        self.must((1..=NAME_BYTES_MAX).contains(&bytes), item, name, || {
            format!("its name has {bytes} bytes, it must have 1 to {NAME_BYTES_MAX}")
        });
        self.must(known.insert(name), item, name, || "another of its kind has this name; rename one".to_owned());
    }

    fn program(&mut self) {
        let program = self.program;
        self.name(Item::Program, &program.name, &mut BTreeSet::new());
        let chips = program.chips;
        self.must((1..=CHIPS_MAX).contains(&chips), Item::Program, &program.name, || {
            format!("has {chips} chips, it must have 1 to {CHIPS_MAX}")
        });
        let links = program.machine.c2c.links;
        for (index, link) in program.links.iter().enumerate() {
            let name = || format!("{}.{} -> {}.{}", link.from_chip, link.from_link, link.to_chip, link.to_link);
            let chip_known = link.from_chip < chips && link.to_chip < chips;
            self.must(chip_known, Item::Link(index), &name(), || format!("the program has {chips} chips"));
            let side_known = u32::from(link.from_link.max(link.to_link)) < links;
            self.must(side_known, Item::Link(index), &name(), || format!("a chip has {links} links"));
        }
    }

    /// A word that exists.
    fn word(&self, word: Word) -> Result<(), String> {
        let spec = &self.program.machine;
        let (chips, slices, words) = (self.program.chips, spec.mem.slices_per_hemisphere, spec.words_per_bank());
        if word.chip >= chips {
            return Err(format!("chip {}: the program has {chips} chips", word.chip));
        }
        if u32::from(word.slice) >= slices {
            return Err(format!("slice {}: a hemisphere has {slices} slices", word.slice));
        }
        if word.bank >= 2 {
            return Err(format!("bank {}: a slice has banks 0 and 1", word.bank));
        }
        if u32::from(word.word) >= words {
            return Err(format!("word {}: a bank has {words} words", word.word));
        }
        Ok(())
    }

    fn images(&mut self) {
        let program = self.program;
        let lanes = u64::from(program.machine.lanes());
        let words = u64::from(program.machine.words_per_bank());
        let mut names = BTreeSet::new();
        for (index, image) in program.images.iter().enumerate() {
            let item = Item::Image(index);
            self.name(item, &image.name, &mut names);
            self.fail_on(self.word(image.first), item, &image.name);
            let vectors = u64::from(image.vectors);
            let fits = vectors > 0 && u64::from(image.first.word) + vectors <= words;
            self.must(fits, item, &image.name, || {
                format!("has {vectors} vectors from word {}: a bank has {words} words", image.first.word)
            });
            if let Content::Bytes(bytes) = &image.content {
                let (is, wanted) = (bytes.len() as u64, vectors * lanes);
                self.must(is == wanted, item, &image.name, || {
                    format!("has {is} bytes, {vectors} vectors of {lanes} lanes have {wanted}")
                });
            }
        }
        let bank = |w: Word| (w.chip, w.hemisphere, w.slice, w.bank);
        let mut order: Vec<u32> = (0..program.images.len() as u32).collect();
        order.sort_unstable_by_key(|i| program.images[*i as usize].first);
        for pair in order.windows(2) {
            let (low, high) = (&program.images[pair[0] as usize], &program.images[pair[1] as usize]);
            let apart = bank(low.first) != bank(high.first)
                || u64::from(low.first.word) + u64::from(low.vectors) <= u64::from(high.first.word);
            self.must(apart, Item::Image(pair[1] as usize), &high.name, || {
                format!("lies over image {} {:?}; move one of them", pair[0], short(&low.name))
            });
        }
    }

    fn bindings(&mut self) {
        let program = self.program;
        let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
        for (index, binding) in program.bindings.iter().enumerate() {
            let item = Item::Binding(index);
            let names = if binding.kind == BindingKind::Input { &mut inputs } else { &mut outputs };
            self.name(item, &binding.name, names);
            let planes = u64::from(binding.format.streams());
            let wanted = u64::from(binding.elements.div_ceil(program.machine.lanes())) * planes;
            let is = binding.words.len() as u64;
            self.must(binding.elements > 0 && is == wanted, item, &binding.name, || {
                let (count, format) = (binding.elements, binding.format);
                format!("has {is} words, {count} elements of {format} have {wanted} (at least one)")
            });
            for word in &binding.words {
                self.fail_on(self.word(*word), item, &binding.name);
            }
        }
    }

    fn blocks(&mut self) {
        let program = self.program;
        let places: BTreeMap<Queue, usize> =
            program.machine.queues().into_iter().enumerate().map(|(place, queue)| (queue, place)).collect();
        let mut names = BTreeSet::new();
        for (index, block) in program.blocks.iter().enumerate() {
            self.name(Item::Block(index), &block.name, &mut names);
            self.must(block.cycles < CYCLES_END, Item::Block(index), &block.name, || "takes too long".to_owned());
            let mut least = 0;
            for (at, text) in block.queues.iter().enumerate() {
                let item = Item::Queue(index, at);
                let place = places.get(&text.queue).copied();
                let (queue, machine) = (text.queue, short(&program.machine.name));
                self.must(place.is_some(), item, &block.name, || format!("{machine} has no queue {queue}"));
                let ordered = place.is_none_or(|place| place >= least);
                self.must(ordered, item, &block.name, || format!("{queue} is out of the machine's order, or twice"));
                least = place.map_or(least, |place| place + 1);
                self.must(!text.insts.is_empty(), item, &block.name, || format!("{queue} is empty; leave it out"));
                for (inst, bytes) in text.insts.iter().enumerate() {
                    let fault = match Inst::decode(*bytes) {
                        Ok(decoded) if decoded.class().runs_on(queue) => continue,
                        Ok(decoded) => format!("{queue} instruction {inst}: takes no {}", decoded.mnemonic()),
                        Err(error) => format!("{queue} instruction {inst}: {error}"),
                    };
                    self.must(false, item, &block.name, || fault);
                }
            }
            self.flow(index, block);
        }
    }

    fn flow(&mut self, index: usize, block: &Block) {
        for (at, edge) in block.flow.iter().enumerate() {
            let item = Item::Flow(index, at);
            let ordered = at == 0 || block.flow[at - 1] < *edge;
            self.must(ordered, item, &block.name, || "flow edges must be sorted, each once".to_owned());
            self.fail_on(self.edge(index, block, edge), item, &block.name);
        }
    }

    fn edge(&self, index: usize, block: &Block, edge: &FlowEdge) -> Result<(), String> {
        let issues = self.issues(index, edge.reader)?;
        if edge.count == 0 || u64::from(edge.reader.issue) + u64::from(edge.count) > issues {
            return Err(format!("reads for {} issues, the instruction has {issues}", edge.count));
        }
        // Only an instance knows from where an import is moved on: it may well go back.
        let step = if matches!(edge.origin, Origin::Import { .. }) { 0 } else { edge.step };
        let last = edge.origin.moved(i64::from(step) * i64::from(edge.count - 1));
        let last = last.ok_or_else(|| "its step leads to an origin before the first".to_owned())?;
        for origin in [edge.origin, last] {
            match origin {
                Origin::Issue { block, .. } if block as usize != index => {
                    return Err(format!("its origin is in block {block}; what other blocks make is an import"));
                }
                Origin::Issue { id, .. } => self.issue(index, id)?,
                Origin::Import { import, .. } if import >= block.imports => {
                    return Err(format!("import {import}: the block has {}", block.imports));
                }
                Origin::Image { .. } | Origin::Input { .. } | Origin::Sent { .. } => {
                    return Err("its origin is older than the block; make it an import".to_owned());
                }
                Origin::Import { .. } | Origin::Nothing | Origin::Many(_) => {}
            }
        }
        Ok(())
    }

    /// How often an instruction is issued.
    fn issues(&self, block: usize, id: IssueId) -> Result<u64, String> {
        let text = self.texts[block].get(&id.queue).copied().unwrap_or_default();
        let at = id.inst as usize;
        if at >= text.len() {
            return Err(format!("{} has no instruction {at} in block {block}", id.queue));
        }
        Ok(match text.get(at + 1).map(|bytes| Inst::decode(*bytes)) {
            Some(Ok(Inst::Repeat { count, .. })) => 1 + u64::from(count.get()),
            _ => 1,
        })
    }

    fn issue(&self, block: usize, id: IssueId) -> Result<(), String> {
        let issues = self.issues(block, id)?;
        let known = u64::from(id.issue) < issues;
        known.then_some(()).ok_or_else(|| format!("issue {}: the instruction has {issues}", id.issue))
    }

    fn entry(&mut self, index: usize, entry: &'a Entry) {
        self.must(entry.cycles < CYCLES_END, Item::Entry(index), &entry.name, || "takes too long".to_owned());
        for (at, phase) in entry.phases.iter().enumerate() {
            let item = Item::Phase(index, at);
            self.name(item, &phase.name, &mut BTreeSet::new());
            let early = phase.start < CYCLES_END && phase.cycles < CYCLES_END;
            self.must(early, item, &phase.name, || "is too late or takes too long".to_owned());
        }
        for (at, instance) in entry.instances.iter().enumerate() {
            let item = Item::Instance(index, at);
            let before = at.checked_sub(1).map(|before| &entry.instances[before]);
            let ordered = before.is_none_or(|b| (b.chip, b.start) <= (instance.chip, instance.start));
            self.must(ordered, item, &entry.name, || "instances stand in the order of chip and start".to_owned());
            self.fail_on(self.instance(instance), item, &entry.name);
        }
    }

    fn instance(&self, instance: &Instance) -> Result<(), String> {
        let program = self.program;
        let block = program.blocks.get(instance.block as usize);
        let block = block.ok_or_else(|| format!("block {}: there are {}", instance.block, program.blocks.len()))?;
        if instance.chip >= program.chips {
            return Err(format!("chip {}: the program has {} chips", instance.chip, program.chips));
        }
        if instance.start >= CYCLES_END {
            return Err("starts too late".to_owned());
        }
        let (is, wanted) = (instance.imports.len(), block.imports as usize);
        if is != wanted {
            return Err(format!("has {is} imports, block {:?} has {wanted}", short(&block.name)));
        }
        instance.imports.iter().try_for_each(|origin| self.import(*origin))
    }

    fn import(&self, origin: Origin) -> Result<(), String> {
        let program = self.program;
        match origin {
            Origin::Nothing | Origin::Many(_) => Ok(()),
            Origin::Import { .. } => Err("an import of an instance cannot be an import again".to_owned()),
            Origin::Issue { block, id, .. } if (block as usize) < program.blocks.len() => {
                self.issue(block as usize, id)
            }
            Origin::Issue { block, .. } => Err(format!("block {block}: there are {}", program.blocks.len())),
            Origin::Image { image, vector } => match program.images.get(image as usize) {
                Some(found) if vector < found.vectors => Ok(()),
                Some(found) => Err(format!("vector {vector}: image {:?} has {}", short(&found.name), found.vectors)),
                None => Err(format!("image {image}: there are {}", program.images.len())),
            },
            Origin::Input { binding, vector } => match program.bindings.get(binding as usize) {
                Some(found) if found.kind == BindingKind::Output => {
                    Err(format!("binding {binding} {:?} is an output", short(&found.name)))
                }
                Some(found) if (vector as usize) < found.words.len() => Ok(()),
                Some(found) => Err(format!("word {vector}: input {:?} has {}", short(&found.name), found.words.len())),
                None => Err(format!("binding {binding}: there are {}", program.bindings.len())),
            },
            Origin::Sent { link, .. } if u32::from(link) < program.machine.c2c.links => Ok(()),
            Origin::Sent { link, .. } => Err(format!("link {link}: a chip has {}", program.machine.c2c.links)),
        }
    }
}

/// A hemisphere's number in files.
pub(crate) fn side_number(side: Hemisphere) -> u8 {
    u8::from(side == Hemisphere::East)
}
