//! Who wrote each word of a chip's memory: images and inputs by their ranges, and over them what was written since.

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::program::{BindingKind, Word};

/// Who wrote a lasting place, in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Nobody,
    Image(u32, u32),
    Input(u32, u32),
    /// Block, issue, result.
    Issue(u32, u32, u8),
}

/// Consecutive words of a bank that hold consecutive vectors of an image, or one word of an input.
#[derive(Clone, Copy)]
struct Range {
    first: u32,
    end: u32,
    writer: Writer,
}

/// What a chip's memory holds before a run, bank by bank; ranges are in order and do not overlap.
pub(crate) struct Contents {
    banks: Vec<Vec<Range>>,
    slices: usize,
    words: usize,
}

/// What was written since: for each bank that was written to, a number for each word, 0 for none, else one more than its
/// writer's place in the list.
pub(crate) struct Words<'a> {
    contents: &'a Contents,
    written: Vec<Vec<u32>>,
    writers: Vec<Writer>,
}

impl Contents {
    pub(crate) fn new(program: &Program<'_>, chip: u32) -> Self {
        let spec: &MachineSpec = &program.machine;
        let slices = spec.mem.slices_per_hemisphere as usize;
        let mut contents = Self { banks: vec![Vec::new(); 4 * slices], slices, words: spec.words_per_bank() as usize };
        for (index, image) in program.images.iter().enumerate().filter(|(_, image)| image.first.chip == chip) {
            let first = u32::from(image.first.word);
            contents.add(image.first, first, first + image.vectors, Writer::Image(index as u32, 0));
        }
        for (index, binding) in program.bindings.iter().enumerate().filter(|(_, b)| b.kind == BindingKind::Input) {
            for (place, word) in binding.words.iter().enumerate().filter(|(_, word)| word.chip == chip) {
                let first = u32::from(word.word);
                contents.add(*word, first, first + 1, Writer::Input(index as u32, place as u32));
            }
        }
        contents
    }

    fn bank(&self, hemisphere: Hemisphere, slice: u8, bank: u8) -> usize {
        (usize::from(hemisphere == Hemisphere::East) * self.slices + usize::from(slice)) * 2 + usize::from(bank)
    }

    /// Puts a range over what is there.
    fn add(&mut self, at: Word, first: u32, end: u32, writer: Writer) {
        let bank = self.bank(at.hemisphere, at.slice, at.bank);
        let mut ranges = Vec::with_capacity(self.banks[bank].len() + 2);
        for range in &self.banks[bank] {
            if range.first < first {
                ranges.push(Range { end: range.end.min(first), ..*range });
            }
            if range.end > end {
                let from = range.first.max(end);
                ranges.push(Range { first: from, writer: range.writer.moved(from - range.first), ..*range });
            }
        }
        ranges.retain(|range| range.first < range.end);
        ranges.push(Range { first, end, writer });
        ranges.sort_by_key(|range| range.first);
        self.banks[bank] = ranges;
    }

    /// Who wrote a word before the run, and how many words on from it, up to `end`, hold what follows.
    fn run(&self, bank: usize, word: u32, end: u32) -> (Writer, u32) {
        let ranges = &self.banks[bank];
        let at = ranges.partition_point(|range| range.end <= word);
        match ranges.get(at) {
            Some(range) if range.first <= word => (range.writer.moved(word - range.first), range.end.min(end) - word),
            _ => (Writer::Nobody, 1),
        }
    }
}

impl Writer {
    /// The writer of the word `by` further on in a range.
    fn moved(self, by: u32) -> Self {
        match self {
            Self::Image(image, vector) => Self::Image(image, vector + by),
            other => other,
        }
    }
}

impl<'a> Words<'a> {
    pub(crate) fn new(contents: &'a Contents) -> Self {
        Self { contents, written: vec![Vec::new(); contents.banks.len()], writers: Vec::new() }
    }

    /// Who wrote a word.
    pub(crate) fn writer(&self, hemisphere: Hemisphere, slice: u8, bank: u8, word: usize) -> Writer {
        let bank = self.contents.bank(hemisphere, slice, bank);
        match self.written[bank].get(word) {
            Some(number) if *number > 0 => self.writers[*number as usize - 1],
            _ => self.contents.run(bank, word as u32, word as u32 + 1).0,
        }
    }

    /// Calls `visit` with the writers of some words, in order: of consecutive vectors of an image with the first and
    /// their number, of another word with 1. Ends with `false` at a word that nobody wrote.
    pub(crate) fn runs(
        &self,
        (hemisphere, slice, bank): (Hemisphere, u8, u8),
        first: usize,
        words: usize,
        mut visit: impl FnMut(Writer, u32),
    ) -> bool {
        let index = self.contents.bank(hemisphere, slice, bank);
        let (mut word, end) = (first as u32, (first + words) as u32);
        while word < end {
            let (writer, count) = if self.written[index].is_empty() {
                self.contents.run(index, word, end)
            } else {
                (self.writer(hemisphere, slice, bank, word as usize), 1)
            };
            if writer == Writer::Nobody {
                return false;
            }
            visit(writer, count);
            word += count;
        }
        true
    }

    /// Notes who wrote some words.
    pub(crate) fn write(
        &mut self,
        (hemisphere, slice, bank): (Hemisphere, u8, u8),
        first: usize,
        words: usize,
        writer: Writer,
    ) {
        let bank = self.contents.bank(hemisphere, slice, bank);
        let written = &mut self.written[bank];
        if written.is_empty() {
            *written = vec![0; self.contents.words];
        }
        self.writers.push(writer);
        written[first..first + words].fill(self.writers.len() as u32);
    }
}
