//! Where things lie in memory: zones of slices, words handed out, images and bindings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::program::{Binding, BindingKind, Content, Image, Word};

use crate::error::Error;

/// Consecutive slices of one hemisphere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) first: u8,
    pub(crate) end: u8,
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
}

/// The program's memory.
#[derive(Debug)]
pub(crate) struct Layout {
    lanes: usize,
    words_per_bank: u32,
    /// Values, constants, inputs and outputs.
    pub(crate) near: Zone,
    /// Weights, tables, keys and values.
    pub(crate) far: Zone,
    /// Words given out, from the bottom of each bank.
    used: BTreeMap<(Hemisphere, u8, u8), u32>,
    /// Where the next near word is sought.
    turn: u32,
    pub(crate) images: Vec<Image<'static>>,
    pub(crate) bindings: Vec<Binding>,
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
            near: Zone { first: 0, end: border as u8 },
            far: Zone { first: border as u8, end: end as u8 },
            used: BTreeMap::new(),
            turn: 0,
            images: Vec::new(),
            bindings: Vec::new(),
        }
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Near slices of the next value, first those whose turn it is.
    pub(crate) fn near_slices(&mut self) -> Vec<u8> {
        // A step that has no factor in common with the number of slices visits all of them.
        self.turn = self.turn.wrapping_add(5);
        let count = u32::from(self.near.end);
        (0..count).map(|i| ((self.turn + i) % count) as u8).collect()
    }

    /// The word that the next [`Self::take`] of a bank gives.
    pub(crate) fn next(&self, hemisphere: Hemisphere, slice: u8, bank: u8) -> Option<Word> {
        let word = self.used.get(&(hemisphere, slice, bank)).copied().unwrap_or_default();
        (word < self.words_per_bank).then_some(Word { chip: 0, hemisphere, slice, bank, word: word as u16 })
    }

    /// Gives out the word that [`Self::next`] showed.
    pub(crate) fn take(&mut self, word: Word) {
        self.used.insert((word.hemisphere, word.slice, word.bank), u32::from(word.word) + 1);
    }

    /// Takes back the word that was given out last in its bank.
    pub(crate) fn untake(&mut self, word: Word) {
        self.used.insert((word.hemisphere, word.slice, word.bank), u32::from(word.word));
    }

    /// Near words for the byte planes of a constant, an input or an output, in different slices.
    pub(crate) fn near_words(&mut self, what: &str, hemisphere: Hemisphere, planes: u8) -> Result<Vec<Word>, Error> {
        let slices = self.near_slices();
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
        let Zone { first, end } = self.near;
        Err(Error::Memory { what: what.into(), words: planes.into(), first, end })
    }

    /// A run of far vectors: the first bank in which all its slices have room.
    pub(crate) fn far_run(
        &mut self,
        what: &str,
        hemisphere: Hemisphere,
        slices: Zone,
        vectors: usize,
    ) -> Result<Run, Error> {
        let width = slices.end - slices.first;
        let words = vectors.div_ceil(width.into()) as u32;
        for bank in 0..2 {
            let used = |slice| self.used.get(&(hemisphere, slice, bank)).copied().unwrap_or_default();
            let base = (slices.first..slices.end).map(used).max().unwrap_or_default();
            if base + words <= self.words_per_bank {
                for slice in slices.first..slices.end {
                    self.used.insert((hemisphere, slice, bank), base + words);
                }
                return Ok(Run { hemisphere, first_slice: slices.first, width, bank, base: base as u16 });
            }
        }
        Err(Error::Memory { what: what.into(), words, first: slices.first, end: slices.end })
    }

    /// Fills a run with vectors, one image a slice.
    pub(crate) fn fill_run(&mut self, name: &str, run: Run, vectors: &[Vec<u8>]) {
        let width = usize::from(run.width);
        for part in 0..width.min(vectors.len()) {
            let bytes: Vec<u8> = vectors.iter().skip(part).step_by(width).flatten().copied().collect();
            let first = run.word(part);
            let name = format!("{name}.{}{}", first.hemisphere.letter(), first.slice);
            self.push_image(name, first, (bytes.len() / self.lanes) as u32, Content::Bytes(Cow::Owned(bytes)));
        }
    }

    /// Clears all words of a run.
    pub(crate) fn clear_run(&mut self, name: &str, run: Run, vectors: usize) {
        let width = usize::from(run.width);
        for part in 0..width {
            let first = run.word(part);
            let name = format!("{name}.{}{}", first.hemisphere.letter(), first.slice);
            self.push_image(name, first, vectors.div_ceil(width) as u32, Content::Zero);
        }
    }

    /// An image of consecutive words.
    pub(crate) fn push_image(&mut self, name: String, first: Word, vectors: u32, content: Content<'static>) {
        self.images.push(Image { name, first, vectors, content });
    }

    /// A constant vector: one image a byte plane.
    pub(crate) fn constant(
        &mut self,
        name: &str,
        hemisphere: Hemisphere,
        format: Format,
        values: &[i32],
    ) -> Result<Vec<Word>, Error> {
        let planes = format.streams();
        let words = self.near_words(name, hemisphere, planes)?;
        for (plane, word) in words.iter().enumerate() {
            let mut bytes: Vec<u8> = values.iter().map(|value| value.to_le_bytes()[plane]).collect();
            bytes.resize(self.lanes, 0);
            self.push_image(format!("{name}.{plane}"), *word, 1, Content::Bytes(Cow::Owned(bytes)));
        }
        Ok(words)
    }

    /// A binding of `elements` numbers; gives its words, tile by tile.
    pub(crate) fn binding(
        &mut self,
        name: &str,
        kind: BindingKind,
        format: Format,
        elements: usize,
    ) -> Result<Vec<Vec<Word>>, Error> {
        let sides = [Hemisphere::West, Hemisphere::East];
        let tiles = (0..elements.div_ceil(self.lanes))
            .map(|tile| self.near_words(name, sides[tile % 2], format.streams()))
            .collect::<Result<Vec<_>, _>>()?;
        let words = tiles.concat();
        if kind == BindingKind::Output {
            // Outputs of other entries hold zeros until those have run.
            for (index, word) in words.iter().enumerate() {
                self.push_image(format!("{name}.{index}"), *word, 1, Content::Zero);
            }
        }
        self.bindings.push(Binding { name: name.into(), kind, format, elements: elements as u32, words });
        Ok(tiles)
    }
}
