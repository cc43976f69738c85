//! Why a program takes as long as it does: bounds, use of units, and the chain of operands that the end waits for.
//!
//! In: a sound [`Program`] alone. Out, for each block, phase and entry, [`Figures`]: cycles, issues by class of unit,
//! lower bounds, and where the cycles of the critical chain go. It knows nothing of how a program was scheduled, and
//! the verifier knows nothing of it. Start reading at [`explain`]; then [`dependence`] (who waits for whom, and how
//! long at least), [`bounds`] and [`chain`].
//!
//! Bounds take the placement as given: which plane a tile is loaded into, which slice a word lies in, how far a value
//! travels. ALUs and reducers are interchangeable. Blocks of a chip do not overlap, so bounds of a phase or an entry are
//! sums over its instances; where there are several chips, the largest sum counts. What one chip waits for another is
//! not looked into.

pub mod bounds;
pub mod chain;
pub mod dependence;
pub mod kinds;
pub mod spending;

pub use chain::Step;
pub use dependence::{Dependence, Dependences};
pub use kinds::{Bound, Spent, Unit};
pub use spending::{Spending, spending};

use std::collections::BTreeMap;

use lockstep_machine::spec::MachineSpec;

use crate::issues::{Issues, TextError};
use crate::program::{Block, Entry, Instance, Program};

/// More issues than this in all blocks together are not explained.
pub const ISSUES_MAX: usize = 16 << 20;

/// A program that cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that issue nothing that can be told.
    #[error("block {block}: {source}; `verify` lists all that is wrong")]
    Text {
        /// The block's name.
        block: String,
        /// What is wrong.
        source: TextError,
    },
    /// The blocks issue too much.
    #[error("block {block}: more than {ISSUES_MAX} issues up to and with this block; explain a part of the program")]
    Large {
        /// The block's name.
        block: String,
    },
}

/// What there is to say about a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How long it is.
    pub cycles: u64,
    /// Issues of all chips, by the place in [`Unit::ALL`].
    pub issues: [u64; Unit::ALL.len()],
    /// Lower bounds in cycles, by the place in [`Bound::ALL`].
    pub bounds: [u64; Bound::ALL.len()],
    /// Where the cycles of the critical chain go, by the place in [`Spent::ALL`]; together they are `cycles`.
    pub chain: [u64; Spent::ALL.len()],
}

impl Figures {
    /// The largest lower bound; of equal ones the first.
    pub fn bound(&self) -> (Bound, u64) {
        let mut largest = (Bound::ALL[0], self.bounds[0]);
        for (bound, cycles) in Bound::ALL.into_iter().zip(self.bounds) {
            if cycles > largest.1 {
                largest = (bound, cycles);
            }
        }
        largest
    }

    /// Issues of a class over what its units of so many chips could issue; 0 where there is nothing to divide by.
    pub fn utilisation(&self, unit: Unit, spec: &MachineSpec, chips: u32) -> f64 {
        let slots = self.cycles as f64 * f64::from(unit.count(spec)) * f64::from(chips);
        if slots > 0.0 { self.issues[unit as usize] as f64 / slots } else { 0.0 }
    }

    /// Adds the figures of another span.
    pub fn add(&mut self, other: &Self) {
        let add = |sums: &mut [u64], more: &[u64]| sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        add(&mut self.issues, &other.issues);
        add(&mut self.bounds, &other.bounds);
        add(&mut self.chain, &other.chain);
        self.cycles += other.cycles;
    }
}

/// A block explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFigures {
    /// Its name.
    pub name: String,
    /// Its figures, on one chip.
    pub figures: Figures,
    /// Its critical chain, from the first issue to the last.
    pub chain: Vec<Step>,
}

/// A phase of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseFigures {
    /// Its name.
    pub name: String,
    /// Its first cycle.
    pub start: u64,
    /// Instances that begin in it, on all chips.
    pub instances: u64,
    /// Its figures.
    pub figures: Figures,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFigures {
    /// Its name.
    pub name: String,
    /// Its figures.
    pub figures: Figures,
    /// Its phases, in order.
    pub phases: Vec<PhaseFigures>,
}

/// A program explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its blocks.
    pub blocks: Vec<BlockFigures>,
    /// Its entries.
    pub entries: Vec<EntryFigures>,
}

/// Explains a program that [`verify`](crate::verify()) finds sound. Of a program that is not, what its flow says about
/// issues that are not there is left out.
pub fn explain(program: &Program<'_>) -> Result<Explanation, Error> {
    let mut left = ISSUES_MAX;
    let mut blocks = Vec::new();
    for (index, block) in program.blocks.iter().enumerate() {
        let issues = issues(block, &program.machine, left)?;
        left -= issues.len();
        blocks.push(explain_block(block, index as u32, &issues, &program.machine));
    }
    let entries = program.entries.iter().map(|entry| explain_entry(entry, &blocks)).collect();
    Ok(Explanation { blocks, entries })
}

/// The issues of a block, at most `limit`.
pub fn issues(block: &Block, spec: &MachineSpec, limit: usize) -> Result<Issues, Error> {
    match Issues::of(block, spec, limit) {
        Ok(Some(issues)) => Ok(issues),
        Ok(None) => Err(Error::Large { block: block.name.clone() }),
        Err(source) => Err(Error::Text { block: block.name.clone(), source }),
    }
}

fn explain_block(block: &Block, index: u32, issues: &Issues, spec: &MachineSpec) -> BlockFigures {
    let dependences = Dependences::new(block, index, issues, spec);
    let walked = chain::walk(block, issues, &dependences, spec);
    let (counts, mut bounds) = bounds::of(issues, spec);
    bounds[Bound::Latency as usize] = walked.latency;
    let figures = Figures { cycles: block.cycles, issues: counts, bounds, chain: walked.spent };
    BlockFigures { name: block.name.clone(), figures, chain: walked.steps }
}

fn explain_entry(entry: &Entry, blocks: &[BlockFigures]) -> EntryFigures {
    let end = |instance: &Instance| instance.start.saturating_add(cycles_of(instance, blocks));
    // The chip that ends last; of equal ones the first.
    let last = entry.instances.iter().rev().max_by_key(|instance| end(instance));
    let chip = last.map_or(0, |instance| instance.chip);
    let span = |start: u64, cycles: u64| span_figures(entry, blocks, chip, (start, cycles));
    let phases = entry.phases.iter().map(|phase| {
        let (figures, instances) = span(phase.start, phase.cycles);
        PhaseFigures { name: phase.name.clone(), start: phase.start, instances, figures }
    });
    EntryFigures { name: entry.name.clone(), figures: span(0, entry.cycles).0, phases: phases.collect() }
}

fn cycles_of(instance: &Instance, blocks: &[BlockFigures]) -> u64 {
    blocks.get(instance.block as usize).map_or(0, |block| block.figures.cycles)
}

/// The figures of a span of an entry, from the instances that begin in it, and how many these are: chips that have
/// nothing to do may begin with what is next before others have ended. The chain is that of one chip: what its
/// instances do not fill is waiting.
fn span_figures(entry: &Entry, blocks: &[BlockFigures], chip: u32, (start, cycles): (u64, u64)) -> (Figures, u64) {
    let end = start.saturating_add(cycles);
    let mut sums: BTreeMap<u32, Figures> = BTreeMap::new();
    let mut count = 0;
    for instance in &entry.instances {
        let Some(block) = blocks.get(instance.block as usize) else { continue };
        if (start..end).contains(&instance.start) {
            sums.entry(instance.chip).or_default().add(&block.figures);
            count += 1;
        }
    }
    let mut figures = Figures { cycles, ..Figures::default() };
    for sum in sums.values() {
        figures.issues.iter_mut().zip(sum.issues).for_each(|(all, more)| *all += more);
        figures.bounds.iter_mut().zip(sum.bounds).for_each(|(largest, one)| *largest = one.max(*largest));
    }
    let sum = sums.get(&chip).copied().unwrap_or_default();
    figures.chain = sum.chain;
    figures.chain[Spent::Waiting as usize] += cycles.saturating_sub(sum.cycles);
    (figures, count)
}
