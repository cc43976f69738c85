//! What outlives a block: memory, buffers, arrays, codebooks, accumulators, reductions and links of one chip, gone
//! through in the order of time, one instance after the other.

use lockstep_machine::access::{Effect, Place, WordAddress};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::TileKind;

use super::facts::{Facts, Lasting, Site};
use super::report::{Report, Violation, ViolationKind};
use crate::program::{BindingKind, Instance, Origin, Program, TableOrigin, Word};

/// Who wrote a lasting place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Nobody,
    Image { image: u32, vector: u32 },
    Input { binding: u32, vector: u32 },
    Issue { instance: u32, issue: u32, result: u8 },
}

/// Where an operand comes from, and whether all of it was written by the same instance of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    pub(crate) own: bool,
}

/// A table that was looked up: first word, words, the instance that looked, what was found.
type Table = (usize, usize, u32, Found);

/// One bank of a slice.
#[derive(Clone, Debug)]
struct Bank {
    words: Vec<Writer>,
    /// The last table looked up, until the bank is written.
    table: Option<Table>,
    /// So many words, from the first, hold text.
    text: usize,
}

/// What was loaded into a plane's buffer since its last install.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    hash: u64,
    /// The instance that loaded first, of those that did.
    since: Option<u32>,
    kind: Option<TileKind>,
    /// Tiles of two kinds met in it, which was reported.
    mixed: bool,
}

const EMPTY: Buffer = Buffer { hash: 0, since: None, kind: None, mixed: false };

/// A vector that was sent or received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) link: u8,
    /// When its instruction was issued, from the entry's start.
    pub(crate) cycle: u64,
    pub(crate) block: u32,
    pub(crate) issue: u32,
}

/// What crossed the links of a chip, in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: Vec<Crossing>,
    pub(crate) received: Vec<Crossing>,
}

/// One chip, as an entry's instances change it.
pub(crate) struct Chip<'a> {
    program: &'a Program<'a>,
    facts: &'a [Facts],
    /// The instances that ran or are running, by their order on this chip.
    instances: Vec<&'a Instance>,
    banks: Vec<Option<Bank>>,
    buffers: Vec<Buffer>,
    arrays: Vec<(Writer, Option<TileKind>)>,
    codebooks: Vec<Writer>,
    rows: Vec<(Writer, u64)>,
    reductions: Vec<Writer>,
    receives: Vec<u32>,
    /// What crossed its links.
    pub(crate) traffic: Traffic,
}

/// An access by the instance that is running.
struct Now<'a> {
    facts: &'a Facts,
    instance: &'a Instance,
    access: &'a Lasting,
}

impl Now<'_> {
    fn inst(&self) -> Inst {
        self.facts.issues[self.access.issue as usize].what.inst
    }

    fn violation(&self, kind: ViolationKind, message: String) -> Violation {
        let site = Site { chip: self.instance.chip, start: self.instance.start };
        self.facts.violation(kind, site, self.access.cycle, self.access.issue, message)
    }

    fn cycle(&self) -> u64 {
        self.instance.start + self.access.cycle
    }
}

impl<'a> Chip<'a> {
    /// A chip before a run; of each hemisphere's text slices, the first `text` words hold text.
    pub(crate) fn new(program: &'a Program<'a>, facts: &'a [Facts], chip: u32, text: [u64; 2]) -> Self {
        let spec = &program.machine;
        let planes = spec.planes() as usize;
        let mut state = Self {
            program,
            facts,
            instances: Vec::new(),
            banks: vec![None; 4 * spec.mem.slices_per_hemisphere as usize],
            buffers: vec![EMPTY; planes],
            arrays: vec![(Writer::Nobody, None); planes],
            codebooks: vec![Writer::Nobody; planes],
            rows: vec![(Writer::Nobody, 0); planes * spec.mxm.accumulator_rows as usize],
            reductions: vec![Writer::Nobody; spec.vxm.reduce_units as usize],
            receives: vec![0; spec.c2c.links as usize],
            traffic: Traffic::default(),
        };
        state.reserve(text);
        state.fill(chip);
        state
    }

    /// Marks the words that hold text.
    fn reserve(&mut self, text: [u64; 2]) {
        let spec = &self.program.machine;
        let per_bank = u64::from(spec.words_per_bank());
        let slices = spec.instruction.text_first_slice..spec.mem.slices_per_hemisphere;
        for (hemisphere, mut words) in [Hemisphere::West, Hemisphere::East].into_iter().zip(text) {
            for (slice, bank) in slices.clone().flat_map(|slice| [(slice as u8, 0), (slice as u8, 1)]) {
                let here = words.min(per_bank);
                if here > 0 {
                    self.bank(hemisphere, slice, bank).text = here as usize;
                }
                words -= here;
            }
        }
    }

    /// Images, and over them inputs.
    fn fill(&mut self, chip: u32) {
        let program = self.program;
        for (image, held) in program.images.iter().enumerate().filter(|(_, image)| image.first.chip == chip) {
            let Word { hemisphere, slice, bank, word, .. } = held.first;
            let words = &mut self.bank(hemisphere, slice, bank).words[word as usize..];
            for (vector, word) in words.iter_mut().take(held.vectors as usize).enumerate() {
                *word = Writer::Image { image: image as u32, vector: vector as u32 };
            }
        }
        let inputs = program.bindings.iter().enumerate().filter(|(_, binding)| binding.kind == BindingKind::Input);
        for (binding, held) in inputs {
            for (vector, at) in held.words.iter().enumerate().filter(|(_, word)| word.chip == chip) {
                self.bank(at.hemisphere, at.slice, at.bank).words[at.word as usize] =
                    Writer::Input { binding: binding as u32, vector: vector as u32 };
            }
        }
    }

    fn bank(&mut self, hemisphere: Hemisphere, slice: u8, bank: u8) -> &mut Bank {
        let spec = &self.program.machine;
        let side = usize::from(hemisphere == Hemisphere::East) * spec.mem.slices_per_hemisphere as usize;
        let held = &mut self.banks[(side + usize::from(slice)) * 2 + usize::from(bank)];
        let words = spec.words_per_bank() as usize;
        held.get_or_insert_with(|| Bank { words: vec![Writer::Nobody; words], table: None, text: 0 })
    }

    /// Whether anything was written to a word.
    pub(crate) fn is_written(&mut self, at: Word) -> bool {
        self.bank(at.hemisphere, at.slice, at.bank).words[at.word as usize] != Writer::Nobody
    }

    /// Runs the next instance; `found` is called with each operand that is read from a lasting place.
    pub(crate) fn run(
        &mut self,
        instance: &'a Instance,
        report: &mut Report,
        found: &mut impl FnMut(&mut Report, &Lasting, Found),
    ) {
        self.instances.push(instance);
        let facts = &self.facts[instance.block as usize];
        for access in &facts.lasting {
            let now = Now { facts, instance, access };
            match access.effect {
                Effect::Read { age } => {
                    if let Some(origin) = self.read(&now, age, report) {
                        found(report, access, origin);
                    }
                }
                _ => self.write(&now, report),
            }
        }
    }

    fn found(&self, writer: Writer) -> Found {
        match writer {
            Writer::Nobody => Found { origin: Origin::Nothing, own: true },
            Writer::Image { image, vector } => Found { origin: Origin::Image { image, vector }, own: false },
            Writer::Input { binding, vector } => Found { origin: Origin::Input { binding, vector }, own: false },
            Writer::Issue { instance, issue, result } => {
                let block = self.instances[instance as usize].block;
                let id = self.facts[block as usize].issues[issue as usize].id;
                Found {
                    origin: Origin::Issue { block, id, result },
                    own: instance as usize + 1 == self.instances.len(),
                }
            }
        }
    }

    /// The word that an address means here; `None` where it leaves its bank, which is then reported.
    fn address(&self, now: &Now<'_>, address: WordAddress, words: u32, report: &mut Report) -> Option<usize> {
        let first = i64::from(address.word) + i64::from(now.instance.offsets[usize::from(address.base)]);
        let end = first + i64::from(words);
        let most = i64::from(self.program.machine.words_per_bank());
        if first >= 0 && end <= most {
            return Some(first as usize);
        }
        report.add(|| {
            let message = format!("words {first} to {} are outside the bank, which has {most}", end - 1);
            now.violation(ViolationKind::AddressOutOfRange, message)
        });
        None
    }

    fn read(&mut self, now: &Now<'_>, age: u32, report: &mut Report) -> Option<Found> {
        let writer = match now.access.place {
            Place::Word(side, slice, bank, address) => {
                let word = self.address(now, address, 1, report)?;
                self.bank(side, slice, bank).words[word]
            }
            Place::Words(side, slice, bank, address, words) => {
                let first = self.address(now, address, words, report)?;
                let found = self.table((side, slice, bank), first, words as usize);
                if found.is_none() {
                    let message = "the table has words that nothing has written".to_owned();
                    report.add(|| now.violation(ViolationKind::EmptyRead, message));
                }
                return found;
            }
            Place::Buffer(plane) => return self.install(now, plane, report),
            Place::Array(plane) => {
                let (writer, kind) = self.arrays[usize::from(plane)];
                if let (Inst::Activate { kind: wanted, .. }, Some(kind)) = (now.inst(), kind)
                    && wanted != kind
                {
                    let message = format!("the array holds a tile of {kind}");
                    report.add(|| now.violation(ViolationKind::KindMismatch, message));
                }
                writer
            }
            Place::Codebook(plane) => self.codebooks[usize::from(plane)],
            Place::Reduction(unit) => self.reductions[usize::from(unit)],
            Place::Accumulator(plane, row) => {
                let (writer, written) = self.rows[self.row(plane, row)];
                let elapsed = now.cycle().saturating_sub(written);
                if writer != Writer::Nobody && elapsed < u64::from(age) {
                    let message = format!("the row was last added to {elapsed} cycles before, its sum takes {age}");
                    report.add(|| {
                        let mut violation = now.violation(ViolationKind::EarlyDrain, message);
                        violation.other = self.other(writer);
                        violation
                    });
                }
                writer
            }
            Place::LinkIn(link) => {
                let vector = self.receives[usize::from(link)];
                self.receives[usize::from(link)] += 1;
                self.traffic.received.push(Crossing {
                    link,
                    cycle: now.cycle(),
                    block: now.facts.block,
                    issue: now.access.issue,
                });
                return Some(Found { origin: Origin::Sent { link, vector }, own: false });
            }
            _ => return None,
        };
        if writer == Writer::Nobody {
            report.add(|| {
                let operand = now.facts.ordinal(now.access.issue, now.access.number);
                now.violation(ViolationKind::EmptyRead, format!("operand {operand}: nothing has written there"))
            });
            return None;
        }
        Some(self.found(writer))
    }

    /// Words of which each superlane may read its own; `None` where one of them was never written.
    fn table(&mut self, (side, slice, bank): (Hemisphere, u8, u8), first: usize, words: usize) -> Option<Found> {
        let reader = self.instances.len() as u32;
        let held = self.bank(side, slice, bank);
        if let Some((at, count, by, found)) = held.table
            && (at, count, by) == (first, words, reader)
        {
            return Some(found);
        }
        let range = std::mem::take(&mut held.words);
        let (mut origin, mut own, mut written) = (TableOrigin::default(), true, true);
        for writer in &range[first..first + words] {
            let part = self.found(*writer);
            written &= *writer != Writer::Nobody;
            own &= part.own;
            origin.push(part.origin, 1);
        }
        let found = Found { origin: origin.finish(), own };
        let held = self.bank(side, slice, bank);
        held.words = range;
        held.table = written.then_some((first, words, reader, found));
        written.then_some(found)
    }

    /// What an install finds in the buffer, which it empties.
    fn install(&mut self, now: &Now<'_>, plane: u8, report: &mut Report) -> Option<Found> {
        let Buffer { hash, since, kind, mixed } = std::mem::replace(&mut self.buffers[usize::from(plane)], EMPTY);
        if let (Inst::Install { kind: wanted }, Some(kind)) = (now.inst(), kind)
            && wanted != kind
            && !mixed
        {
            let message = format!("the buffer holds a tile of {kind}");
            report.add(|| now.violation(ViolationKind::KindMismatch, message));
        }
        if mixed {
            return None;
        }
        let own = since.is_none_or(|since| since as usize + 1 == self.instances.len());
        Some(Found { origin: since.map_or(Origin::Nothing, |_| Origin::Many(hash)), own })
    }

    fn row(&self, plane: u8, row: u16) -> usize {
        usize::from(plane) * self.program.machine.mxm.accumulator_rows as usize + usize::from(row)
    }

    fn other(&self, writer: Writer) -> Option<(Queue, String)> {
        let Writer::Issue { instance, issue, .. } = writer else { return None };
        Some(self.facts[self.instances[instance as usize].block as usize].other(issue))
    }

    fn write(&mut self, now: &Now<'_>, report: &mut Report) {
        let access = now.access;
        let instance = self.instances.len() as u32 - 1;
        let writer = Writer::Issue { instance, issue: access.issue, result: access.number as u8 };
        match access.place {
            Place::Word(side, slice, bank, address) => {
                self.write_words(now, (side, slice, bank), (address, 1), writer, report);
            }
            Place::Words(side, slice, bank, address, words) => {
                self.write_words(now, (side, slice, bank), (address, words), writer, report);
            }
            Place::BufferVector(plane, vector) => self.load(now, plane, u64::from(vector) << 1, writer, report),
            Place::BufferScale(plane, vector) => self.load(now, plane, u64::from(vector) << 1 | 1, writer, report),
            Place::Codebook(plane) => self.codebooks[usize::from(plane)] = writer,
            Place::Array(plane) => {
                let Inst::Install { kind } = now.inst() else { return };
                self.arrays[usize::from(plane)] = (writer, Some(kind));
            }
            Place::Reduction(unit) => self.reductions[usize::from(unit)] = writer,
            Place::Accumulator(plane, row) => {
                let row = self.row(plane, row);
                self.rows[row] = (writer, now.cycle());
            }
            Place::LinkOut(link) => {
                let issued = now.instance.start + now.facts.issues[access.issue as usize].cycle;
                let block = now.facts.block;
                self.traffic.sent.push(Crossing { link, cycle: issued, block, issue: access.issue });
            }
            _ => {}
        }
    }

    fn write_words(
        &mut self,
        now: &Now<'_>,
        (side, slice, bank): (Hemisphere, u8, u8),
        (address, words): (WordAddress, u32),
        writer: Writer,
        report: &mut Report,
    ) {
        let Some(first) = self.address(now, address, words, report) else { return };
        let held = self.bank(side, slice, bank);
        if first < held.text && words > 0 {
            let message = format!("word {first} holds text: the first {} words of the bank do", held.text);
            report.add(|| now.violation(ViolationKind::TextOverflow, message));
        }
        held.table = None;
        held.words[first..first + words as usize].fill(writer);
    }

    /// A stored vector or scale enters a plane's buffer.
    fn load(&mut self, now: &Now<'_>, plane: u8, part: u64, writer: Writer, report: &mut Report) {
        let (Inst::Load { kind, .. } | Inst::Scale { kind, .. }) = now.inst() else { return };
        let part = self.found(writer).origin.part_hash(part);
        let instance = self.instances.len() as u32 - 1;
        let buffer = &mut self.buffers[usize::from(plane)];
        if let Some(held) = buffer.kind.replace(kind)
            && held != kind
        {
            // Once for each buffer: the loads that follow are no better.
            if !std::mem::replace(&mut buffer.mixed, true) {
                let message = format!("the buffer is taking a tile of {held}");
                report.add(|| now.violation(ViolationKind::KindMismatch, message));
            }
        }
        buffer.hash = buffer.hash.wrapping_add(part);
        buffer.since.get_or_insert(instance);
    }
}
