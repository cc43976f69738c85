//! Where things lie in memory: zones of slices, words handed out, regions that repeat from layer to layer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::program::Word;

use super::banks::{Bank, Used};
use crate::error::Error;

/// Of the slices that are kept for text, so many may hold other things.
const SPARE: u32 = 2;

/// Consecutive slices of one hemisphere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) first: u8,
    pub(crate) end: u8,
}

impl Zone {
    /// Slices.
    pub(crate) fn width(self) -> u8 {
        self.end - self.first
    }
}

/// Vectors dealt round over consecutive slices: vector i is in slice `first_slice + i % width`, all in one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) hemisphere: Hemisphere,
    pub(crate) first_slice: u8,
    pub(crate) width: u8,
    pub(crate) bank: u8,
    pub(crate) base: u16,
}

impl Run {
    /// Where vector `index` is.
    pub(crate) fn word(self, index: usize) -> Word {
        let width = usize::from(self.width);
        Word {
            chip: 0,
            hemisphere: self.hemisphere,
            slice: self.first_slice + (index % width) as u8,
            bank: self.bank,
            word: self.base + (index / width) as u16,
        }
    }

    /// The run of the same shape that lies so many words further.
    pub(crate) fn moved(self, words: u32) -> Self {
        Self { base: self.base + words as u16, ..self }
    }
}

/// Where things of layers may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) bank: Option<u8>,
    pub(crate) zone: Zone,
    /// Words of each bank that stay free.
    pub(crate) kept: u32,
}

impl Spot {
    pub(crate) fn new(bank: Option<u8>, zone: Zone) -> Self {
        Self { bank, zone, kept: 0 }
    }
}

/// Things that lie in memory once for each of several layers, `stride` words apart in each bank.
#[derive(Clone, Debug)]
pub(crate) struct Span<T> {
    /// The base by which they are addressed.
    pub(crate) base: u8,
    /// The first of the layers.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) stride: u32,
    /// Where they lie for the first.
    pub(crate) placed: T,
}

impl<T> Span<T> {
    /// How far a layer's words are from those of the first.
    pub(crate) fn offset(&self, layer: usize) -> u32 {
        (layer - self.first) as u32 * self.stride
    }
}

/// The chip's memory as it is given out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    lanes: usize,
    words_per_bank: u32,
    /// Slices of a stream register.
    register: u8,
    /// Values, constants, inputs and outputs.
    pub(crate) near: Zone,
    /// Weights, tables, keys and values.
    pub(crate) far: Zone,
    /// Where values of a block may lie: near, or anywhere for loops.
    pub(crate) values: Zone,
    /// Slices where values do not lie.
    shunned: BTreeSet<(Hemisphere, u8)>,
    /// The last of the slices that are kept for text, which short texts do not reach.
    pub(crate) spare: Zone,
    /// Words given out, from the bottom of each bank.
    used: Used,
    /// Words whose addresses move from instance to instance, with their base.
    moving: BTreeMap<Bank, Vec<(Range<u32>, u8)>>,
    /// The bank in which runs are sought, where it is given.
    bank: Option<u8>,
    /// The bank that is tried first otherwise.
    first_bank: u8,
    /// Where the next near word is sought.
    turn: u32,
    /// Words that each near value takes: one for each turn of a loop.
    turns: u32,
    /// Words of which each turn of a loop has its own.
    arrays: BTreeMap<Bank, Vec<Range<u32>>>,
}

impl Layout {
    pub(crate) fn new(spec: &MachineSpec) -> Self {
        // Slices of one register meet the streams together, so a zone's border is a register's.
        let register = spec.mem.slices_per_register;
        let border = (12 / register).max(1) * register;
        let end = spec.instruction.text_first_slice.min(spec.mem.slices_per_hemisphere);
        Self {
            lanes: spec.lanes() as usize,
            words_per_bank: spec.words_per_bank(),
            register: register as u8,
            near: Zone { first: 0, end: border as u8 },
            far: Zone { first: border as u8, end: end as u8 },
            values: Zone { first: 0, end: border as u8 },
            shunned: BTreeSet::new(),
            spare: Zone {
                first: spec.mem.slices_per_hemisphere.saturating_sub(SPARE).max(end) as u8,
                end: spec.mem.slices_per_hemisphere as u8,
            },
            used: Used::new(spec.mem.slices_per_hemisphere as usize),
            moving: BTreeMap::new(),
            bank: None,
            first_bank: 0,
            turn: 0,
            turns: 1,
            arrays: BTreeMap::new(),
        }
    }

    /// Tries another bank first from here on.
    pub(crate) fn set_first_bank(&mut self, bank: u8) {
        self.first_bank = bank;
    }

    /// Slices from which streams flow outward past all slices from `first` on.
    pub(crate) fn inner(&self, first: u8) -> u8 {
        first / self.register * self.register
    }

    /// Words in one bank of a slice.
    pub(crate) fn words_per_bank(&self) -> u32 {
        self.words_per_bank
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The base by which the word is addressed.
    pub(crate) fn base(&self, hemisphere: Hemisphere, slice: u8, bank: u8, word: u16) -> u8 {
        let ranges = self.moving.get(&(hemisphere, slice, bank));
        let found = ranges.into_iter().flatten().find(|(range, _)| range.contains(&word.into()));
        found.map_or(0, |(_, base)| *base)
    }

    /// Places things of `count` layers, addressed by `base`: as many as fit in each of the `spots` in
    /// turn.
    pub(crate) fn repeated<T>(
        &mut self,
        base: u8,
        count: usize,
        spots: &[Spot],
        place: impl Fn(&mut Self, &Spot) -> Result<T, Error>,
    ) -> Result<Vec<Span<T>>, Error> {
        let (mut spans, mut first, mut failed) = (Vec::new(), 0, None);
        for spot in spots {
            if first == count {
                break;
            }
            let mut trial = Self { bank: spot.bank, ..self.clone() };
            let placed = match place(&mut trial, spot) {
                Ok(placed) => placed,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            // The first layer may begin above words that stay free; from the second on all lie equally far apart.
            let mut second = Self { turn: self.turn, ..trial.clone() };
            let grown = trial.used.grown_since(&self.used);
            let next =
                if place(&mut second, spot).is_ok() { second.used.grown_since(&trial.used) } else { grown.clone() };
            let stride = next.iter().map(|(_, words)| *words).max().unwrap_or_default();
            let room = |bank: Bank| self.words_per_bank.checked_sub(trial.used_in(bank) + spot.kept);
            let fit = grown.iter().map(|(bank, _)| room(*bank).map_or(0, |room| 1 + room / stride.max(1))).min();
            let here = fit.map_or(count, |fit| fit as usize).min(count - first);
            if here == 0 {
                continue;
            }
            for (bank, _) in grown {
                let (from, end) = (self.used_in(bank), trial.used_in(bank) + stride * (here as u32 - 1));
                trial.used.set(bank, end);
                trial.moving.entry(bank).or_default().push((from..end, base));
            }
            *self = Self { bank: None, ..trial };
            spans.push(Span { base, first, count: here, stride, placed });
            first += here;
        }
        match failed {
            _ if first == count => Ok(spans),
            Some(error) => Err(error),
            None => Err(Error::Layers { fit: first, count }),
        }
    }

    /// From here on, near values are arrays with a word for each turn of a loop.
    pub(crate) fn set_turns(&mut self, turns: u32) {
        self.turns = turns;
    }

    /// From here on, values lie anywhere: slices of matrices have nothing else to do while a loop runs.
    pub(crate) fn widen(&mut self) {
        self.values.end = self.far.end;
        self.shunned.clear();
    }

    /// From here on, values do not lie in these far slices, all of which a gather or a scatter needs in one cycle.
    pub(crate) fn shun(&mut self, runs: impl IntoIterator<Item = Run>) {
        let slices =
            runs.into_iter().flat_map(|run| (0..run.width).map(move |at| (run.hemisphere, run.first_slice + at)));
        let near = self.near;
        self.shunned.extend(slices.filter(|(_, slice)| *slice >= near.end));
    }

    /// Whether the word is the first of an array.
    pub(crate) fn is_array(&self, hemisphere: Hemisphere, slice: u8, bank: u8, word: u16) -> bool {
        let ranges = self.arrays.get(&(hemisphere, slice, bank));
        ranges.into_iter().flatten().any(|range| range.contains(&word.into()))
    }

    fn used_in(&self, bank: Bank) -> u32 {
        self.used.get(bank)
    }

    /// Words that are not given out.
    pub(crate) fn room(&self, hemisphere: Hemisphere, slice: u8, bank: u8) -> u32 {
        self.words_per_bank - self.used_in((hemisphere, slice, bank))
    }

    /// Begins the search for near words elsewhere.
    pub(crate) fn turn_by(&mut self, turn: u32) {
        self.turn = self.turn.wrapping_add(turn);
    }

    /// Slices of the next value, first those whose turn it is.
    pub(crate) fn value_slices(&mut self, hemisphere: Hemisphere) -> Vec<u8> {
        let mut slices: Vec<u8> = (self.values.first..self.values.end).collect();
        // Full ones would all give their turn to the same next one.
        let has_room = |slice| [0, 1].iter().any(|bank| self.next(hemisphere, slice, *bank).is_some());
        slices.retain(|slice| !self.shunned.contains(&(hemisphere, *slice)) && has_room(*slice));
        // A step that has no factor in common with the number of slices visits all of them.
        let step = if slices.len().is_multiple_of(5) { 7 } else { 5 };
        self.turn = self.turn.wrapping_add(step);
        let first = self.turn as usize % slices.len().max(1);
        slices.rotate_left(first);
        slices
    }

    /// The word that the next [`Self::take`] of a bank gives.
    pub(crate) fn next(&self, hemisphere: Hemisphere, slice: u8, bank: u8) -> Option<Word> {
        let word = self.used_in((hemisphere, slice, bank));
        (word + self.turns <= self.words_per_bank).then_some(Word {
            chip: 0,
            hemisphere,
            slice,
            bank,
            word: word as u16,
        })
    }

    /// Gives out the word that [`Self::next`] showed.
    pub(crate) fn take(&mut self, word: Word) {
        let (bank, first) = ((word.hemisphere, word.slice, word.bank), u32::from(word.word));
        self.used.set(bank, first + self.turns);
        if self.turns > 1 {
            self.arrays.entry(bank).or_default().push(first..first + self.turns);
        }
    }

    /// Keeps an array that a block took from a copy of this layout.
    pub(crate) fn keep(&mut self, word: Word) {
        let (bank, first) = ((word.hemisphere, word.slice, word.bank), u32::from(word.word));
        let end = self.used_in(bank).max(first + self.turns);
        self.used.set(bank, end);
        self.arrays.entry(bank).or_default().push(first..first + self.turns);
    }

    /// Takes back the word that was given out last in its bank.
    pub(crate) fn untake(&mut self, word: Word) {
        let bank = (word.hemisphere, word.slice, word.bank);
        self.used.set(bank, u32::from(word.word));
        if self.turns > 1 {
            self.arrays.get_mut(&bank).map(Vec::pop);
        }
    }

    /// Near words for the byte planes of a constant, an input or an output, in different slices.
    pub(crate) fn near_words(
        &mut self,
        what: &str,
        hemisphere: Hemisphere,
        format: Format,
    ) -> Result<Vec<Word>, Error> {
        self.near_planes(what, hemisphere, format.streams())
    }

    /// So many near words in different slices.
    pub(crate) fn near_planes(&mut self, what: &str, hemisphere: Hemisphere, planes: u8) -> Result<Vec<Word>, Error> {
        let slices = self.value_slices(hemisphere);
        let first = (self.turn % 2) as u8;
        for bank in [first, 1 - first] {
            let free = slices.iter().filter_map(|slice| self.next(hemisphere, *slice, bank));
            let found: Vec<Word> = free.take(planes.into()).collect();
            if found.len() == usize::from(planes) {
                for word in &found {
                    self.take(*word);
                }
                return Ok(found);
            }
        }
        Err(Error::memory(what, planes.into(), self.near))
    }

    /// A run in the slices that texts reach last, from the outermost bank inward: in one slice, or round several.
    pub(crate) fn spare_run(&mut self, what: &str, hemisphere: Hemisphere, vectors: usize) -> Result<Run, Error> {
        let Zone { first, end } = self.spare;
        let mut trial = Self { first_bank: 1, ..self.clone() };
        let zones = (1..=end - first).flat_map(|width| (first..=end - width).rev().map(move |first| (first, width)));
        let powers = zones.filter(|(_, width)| width.is_power_of_two());
        let mut runs =
            powers.map(|(first, width)| trial.run(what, hemisphere, Zone { first, end: first + width }, vectors));
        let run = runs.find_map(Result::ok).ok_or_else(|| Error::memory(what, vectors as u32, self.spare))?;
        self.used = trial.used;
        Ok(run)
    }

    /// A run of far vectors: in the bank that is given, or the first in which all its slices have room.
    pub(crate) fn run(
        &mut self,
        what: &str,
        hemisphere: Hemisphere,
        slices: Zone,
        vectors: usize,
    ) -> Result<Run, Error> {
        let words = vectors.div_ceil(slices.width().into()) as u32;
        for bank in self.bank.map_or(vec![self.first_bank, 1 - self.first_bank], |bank| vec![bank]) {
            let banks = (slices.first..slices.end).map(|slice| (hemisphere, slice, bank));
            let base = banks.clone().map(|bank| self.used_in(bank)).max().unwrap_or_default();
            if base + words <= self.words_per_bank {
                banks.for_each(|bank| self.used.set(bank, base + words));
                return Ok(Run {
                    hemisphere,
                    first_slice: slices.first,
                    width: slices.width(),
                    bank,
                    base: base as u16,
                });
            }
        }
        Err(Error::memory(what, words, slices))
    }
}
