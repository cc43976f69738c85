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
}

/// What was written since.
pub(crate) struct Words<'a> {
    contents: &'a Contents,
    written: Vec<Written>,
    writers: Vec<Writer>,
    /// For each bank, the range that was found last: the next word is often in it too.
    found: Vec<usize>,
}

/// The part of a bank that was written to, in steps of so many words.
const STEP: usize = 256;

/// For each word from `start` on a number: 0 for none, else one more than its writer's place in the list.
#[derive(Clone, Default)]
struct Written {
    start: usize,
    numbers: Vec<u32>,
}

impl Written {
    /// The numbers of some words.
    fn at(&mut self, first: usize, words: usize) -> &mut [u32] {
        if self.numbers.is_empty() {
            self.start = first;
        }
        let start = self.start.min(first / STEP * STEP);
        self.numbers.splice(0..0, std::iter::repeat_n(0, self.start - start));
        self.start = start;
        let length = first + words - start;
        if self.numbers.len() < length {
            self.numbers.resize(length.next_multiple_of(STEP), 0);
        }
        &mut self.numbers[first - start..length]
    }
}

impl Contents {
    /// Of all chips.
    pub(crate) fn of(program: &Program<'_>) -> Vec<Self> {
        let spec: &MachineSpec = &program.machine;
        let slices = spec.mem.slices_per_hemisphere as usize;
        let empty = || Self { banks: vec![Vec::new(); 4 * slices], slices };
        let mut chips: Vec<Self> = (0..program.chips).map(|_| empty()).collect();
        for (index, image) in program.images.iter().enumerate() {
            let first = u32::from(image.first.word);
            let contents = &mut chips[image.first.chip as usize];
            contents.add(image.first, first, first + image.vectors, Writer::Image(index as u32, 0));
        }
        for (index, binding) in program.bindings.iter().enumerate().filter(|(_, b)| b.kind == BindingKind::Input) {
            for (place, word) in binding.words.iter().enumerate() {
                let first = u32::from(word.word);
                let writer = Writer::Input(index as u32, place as u32);
                chips[word.chip as usize].add(*word, first, first + 1, writer);
            }
        }
        chips
    }

    fn bank(&self, hemisphere: Hemisphere, slice: u8, bank: u8) -> usize {
        (usize::from(hemisphere == Hemisphere::East) * self.slices + usize::from(slice)) * 2 + usize::from(bank)
    }

    /// Puts a range over what is there.
    fn add(&mut self, at: Word, first: u32, end: u32, writer: Writer) {
        let bank = self.bank(at.hemisphere, at.slice, at.bank);
        let ranges = &mut self.banks[bank];
        let under =
            ranges.partition_point(|range| range.end <= first)..ranges.partition_point(|range| range.first < end);
        // Of what is covered, the ends may stick out.
        let before = ranges[under.clone()].first().filter(|range| range.first < first);
        let before = before.map(|range| Range { end: first, ..*range });
        let after = ranges[under.clone()].last().filter(|range| range.end > end);
        let after = after.map(|range| Range { first: end, writer: range.writer.moved(end - range.first), ..*range });
        ranges.splice(under, before.into_iter().chain([Range { first, end, writer }]).chain(after));
    }

    /// Who wrote a word before the run, and how many words on from it, up to `end`, hold what follows.
    fn run(&self, bank: usize, word: u32, end: u32, found: &mut usize) -> (Writer, u32) {
        let ranges = &self.banks[bank];
        let holds = |range: &Range| range.first <= word && word < range.end;
        if !ranges.get(*found).is_some_and(holds) {
            *found = ranges.partition_point(|range| range.end <= word);
        }
        match ranges.get(*found).filter(|range| holds(range)) {
            Some(range) => (range.writer.moved(word - range.first), range.end.min(end) - word),
            None => (Writer::Nobody, 1),
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
        Self {
            contents,
            written: vec![Written::default(); contents.banks.len()],
            writers: Vec::new(),
            found: vec![0; contents.banks.len()],
        }
    }

    /// Who wrote a word.
    pub(crate) fn writer(&mut self, hemisphere: Hemisphere, slice: u8, bank: u8, word: usize) -> Writer {
        let bank = self.contents.bank(hemisphere, slice, bank);
        let mut found = self.found[bank];
        let writer = self.find(bank, word, &mut found);
        self.found[bank] = found;
        writer
    }

    fn find(&self, bank: usize, word: usize, found: &mut usize) -> Writer {
        let Written { start, numbers } = &self.written[bank];
        match word.checked_sub(*start).and_then(|at| numbers.get(at)) {
            Some(number) if *number > 0 => self.writers[*number as usize - 1],
            _ => self.contents.run(bank, word as u32, word as u32 + 1, found).0,
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
        let mut found = self.found[index];
        while word < end {
            let (writer, count) = if self.written[index].numbers.is_empty() {
                self.contents.run(index, word, end, &mut found)
            } else {
                (self.find(index, word as usize, &mut found), 1)
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
        self.writers.push(writer);
        self.written[bank].at(first, words).fill(self.writers.len() as u32);
    }
}
