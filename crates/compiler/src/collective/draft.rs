//! A collective in the making, and how it becomes a program.

use std::collections::BTreeMap;

use lockstep_machine::access::aligned_cycles_max;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::system::SystemSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, BindingKind, Word};

use super::Method;
use super::deliver::{Delivery, deliver};
use crate::chips::Chips;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::compose::Stored;
use crate::compose::ensemble::Ensemble;
use crate::emit::links;
use crate::error::Error;
use crate::place::layout::{Layout, Zone};

/// Slices of a hemisphere that values lie in, if it has so many: those next to the links. A chip of a node gets four
/// byte planes from each of seven others and has four of its own; one cycle reads all of them if each lies in another
/// slice.
const SLICES: u8 = 32;

/// What all chips do.
pub(super) struct Draft<'a> {
    system: &'a SystemSpec,
    name: &'static str,
    pub(super) method: Method,
    pub(super) ensemble: Ensemble<'a, 'static>,
    /// Values that the host writes or reads, by chip, in the order of their vectors.
    pub(super) inputs: BTreeMap<u32, Vec<Vec<Word>>>,
    pub(super) outputs: BTreeMap<u32, Vec<Vec<Word>>>,
    /// The most cables that a value depends on one after the other.
    pub(super) hops: u32,
    /// Words given out on a chip's side, so that the next lie in other slices.
    given: BTreeMap<(u32, Hemisphere), usize>,
}

/// A draft whose code is written.
pub(super) struct Finished<'a> {
    draft: Parts<'a>,
    blocks: Vec<BlockBuilder<'a>>,
    /// Cycles of the longest block.
    pub(super) cycles: u64,
    pub(super) method: Method,
    pub(super) hops: u32,
}

struct Parts<'a> {
    system: &'a SystemSpec,
    name: &'static str,
    inputs: BTreeMap<u32, Vec<Vec<Word>>>,
    outputs: BTreeMap<u32, Vec<Vec<Word>>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(system: &'a SystemSpec, name: &'static str, method: Method) -> Self {
        let spec = system.machine();
        let mut layout = Layout::new(spec);
        let end = layout.far.end.max(1);
        layout.values = Zone { first: end.saturating_sub(SLICES), end };
        let chips = (0..system.chips).map(|_| Composer::new(name, spec, &layout, &[], None)).collect();
        let ensemble = Ensemble::new(chips, spec, Vec::new()).aligned();
        let [inputs, outputs] = [BTreeMap::new(), BTreeMap::new()];
        Self { system, name, method, ensemble, inputs, outputs, hops: 0, given: BTreeMap::new() }
    }

    /// New words on a chip, one for each byte plane of a format: in turn over the slices, from the links inward, and over
    /// the banks.
    pub(super) fn words(&mut self, chip: u32, side: Hemisphere, format: Format) -> Result<Vec<Word>, Error> {
        let layout = &mut self.ensemble.chips[chip as usize].layout;
        let Zone { first, end } = layout.values;
        let given = self.given.entry((chip, side)).or_default();
        let mut words = Vec::new();
        for _ in 0..format.streams() {
            let (slice, lap) = (*given % usize::from(end - first), *given / usize::from(end - first));
            let next = layout.next(side, end - 1 - slice as u8, (lap % 2) as u8);
            let word = next.ok_or_else(|| Error::memory("a vector of a collective", 1, layout.values))?;
            layout.take(word);
            words.push(word);
            *given += 1;
        }
        Ok(words)
    }

    /// An output's next vector.
    pub(super) fn output(&mut self, chip: u32, side: Hemisphere, format: Format) -> Result<Vec<Word>, Error> {
        let words = self.words(chip, side, format)?;
        self.outputs.entry(chip).or_default().push(words.clone());
        Ok(words)
    }

    /// An input's next vector.
    pub(super) fn input(&mut self, chip: u32, side: Hemisphere, format: Format) -> Result<Stored, Error> {
        let words = self.words(chip, side, format)?;
        self.inputs.entry(chip).or_default().push(words.clone());
        Ok(Stored { words, format, ready: 0 })
    }

    /// Sends everything on its way, behind what was sent before.
    pub(super) fn deliver(&mut self, deliveries: &[Delivery]) -> Result<Vec<Vec<Stored>>, Error> {
        let delivered = deliver(&mut self.ensemble, deliveries)?;
        self.hops += delivered.hops;
        Ok(delivered.arrived)
    }

    /// Sends one value on its way, without counting its hops.
    pub(super) fn deliver_alone(&mut self, delivery: &Delivery) -> Result<Vec<Stored>, Error> {
        let delivered = deliver(&mut self.ensemble, std::slice::from_ref(delivery))?;
        Ok(delivered.arrived.into_iter().flatten().collect())
    }

    /// Writes the code.
    pub(super) fn finish(self) -> Result<Finished<'a>, Error> {
        let Self { system, name, method, inputs, outputs, hops, ensemble, .. } = self;
        let blocks = ensemble.finish()?;
        let cycles = blocks.iter().map(|block| block.finish().cycles).max().unwrap_or_default();
        let most = aligned_cycles_max(system.machine()).unwrap_or_default();
        if cycles > most {
            let expected = format!("at most {most}, for which aligned clocks stay in line: use fewer vectors");
            return Err(Error::shape(format!("cycles of {name} ({method})"), cycles, expected));
        }
        Ok(Finished { draft: Parts { system, name, inputs, outputs }, blocks, cycles, method, hops })
    }
}

impl Finished<'_> {
    /// The program: chips that do anything align, and begin together.
    pub(super) fn program(self, format: Format) -> Result<Program<'static>, Error> {
        let Parts { system, name, inputs, outputs } = self.draft;
        let spec = system.machine();
        let mut program = ProgramBuilder::new(name, spec);
        program.chips(system.chips);
        links(&mut program, Chips::from(system), (0..).zip(&self.blocks));
        for (kind, letter, all) in [(BindingKind::Input, "x", inputs), (BindingKind::Output, "y", outputs)] {
            for (chip, vectors) in all {
                let elements = vectors.len() as u32 * spec.lanes();
                let words = vectors.into_iter().flatten().map(|word| Word { chip, ..word });
                program.binding(&format!("{letter}.{chip}"), kind, format, elements, words);
            }
        }
        let busy: Vec<u32> = (0..)
            .zip(&self.blocks)
            .filter(|(_, block)| block.queues().next().is_some())
            .map(|(chip, _)| chip)
            .collect();
        let clock = Clock::of(Chips::from(system), busy.clone());
        let entry = program.entry(name);
        let starts: BTreeMap<u32, u64> = clock.start().collect();
        let align = match starts.values().next() {
            Some(cycles) => Some(program.block(&clock.block(*cycles)?)),
            None => None,
        };
        for chip in busy {
            let number = program.block(&self.blocks[chip as usize]);
            let start = starts.get(&chip).copied().unwrap_or_default();
            if let Some(align) = align {
                program.instance(entry, align, chip, 0, [0; BASES]);
            }
            program.instance(entry, number, chip, start, [0; BASES]);
        }
        program.finish().map_err(|violations| Error::Unlawful(violations.iter().map(ToString::to_string).collect()))
    }
}
