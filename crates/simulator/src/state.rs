//! What a chip's instances find on arrival: memory, buffers, arrays, accumulators, links.

use lockstep_machine::access::{Effect, Place, WordAddress};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::TileKind;
use lockstep_program::program::{Instance, Origin, TableOrigin, Word};

use crate::check::Blocks;
use crate::edges::Edges;
use crate::fault::{FaultKind, LocalFault};
use crate::link::{LastingAccess, LinkedBlock, issue_fault};
use crate::say;
use crate::traffic::Ends;
use crate::words::{Contents, Words, Writer};

/// The lasting state of one chip, as far as hazards need it.
pub(crate) struct ChipState<'a> {
    blocks: Blocks<'a>,
    words: Words<'a>,
    arrays: Vec<(Writer, Option<TileKind>)>,
    buffers: Vec<(u64, u32, Option<TileKind>)>,
    codebooks: Vec<Writer>,
    rows: Vec<(Writer, u64)>,
    reductions: Vec<Writer>,
    /// What has crossed its links.
    pub(crate) ends: Ends,
}

impl<'a> ChipState<'a> {
    pub(crate) fn new(blocks: Blocks<'a>, contents: &'a Contents) -> Self {
        let spec = &blocks.program.machine;
        let planes = spec.planes() as usize;
        Self {
            blocks,
            words: Words::new(contents),
            arrays: vec![(Writer::Nobody, None); planes],
            buffers: vec![(0, 0, None); planes],
            codebooks: vec![Writer::Nobody; planes],
            rows: vec![(Writer::Nobody, 0); planes * spec.mxm.accumulator_rows as usize],
            reductions: vec![Writer::Nobody; spec.vxm.reduce_units as usize],
            ends: Ends::new(spec.c2c.links as usize),
        }
    }

    /// Who wrote a word last.
    pub(crate) fn writer(&mut self, word: Word) -> Writer {
        self.words.writer(word.hemisphere, word.slice, word.bank, word.word.into())
    }

    /// Runs an instance of a linked block; its operands are compared with `edges`.
    pub(crate) fn run(
        &mut self,
        instance: &Instance,
        linked: &LinkedBlock,
        edges: Option<&Edges<'_>>,
    ) -> Result<(), LocalFault> {
        let mut cursors = edges.map(Edges::cursors);
        self.ends.aligned.extend(linked.aligned.map(|cycle| instance.start + cycle));
        for access in linked.lasting() {
            match access.touch.effect {
                Effect::Read { age } => {
                    let found = self.read(instance, linked, &access, age)?;
                    if let (Some(edges), Some(cursors)) = (edges, &mut cursors) {
                        let expected = edges.expected(cursors, access.touch.operand, access.nth);
                        check_origin(expected, instance, linked, &access, found)?;
                    }
                }
                _ => self.write(instance, linked, &access)?,
            }
        }
        Ok(())
    }

    fn origin(&self, writer: Writer) -> Origin {
        match writer {
            Writer::Nobody => Origin::Nothing,
            Writer::Image(image, vector) => Origin::Image { image, vector },
            Writer::Input(binding, vector) => Origin::Input { binding, vector },
            Writer::Issue(block, issue, result) => {
                Origin::Issue { block, id: self.blocks.linked[block as usize].issues.id(issue as usize), result }
            }
        }
    }

    fn address(&self, instance: &Instance, address: WordAddress, words: u32) -> Result<usize, String> {
        let word = i64::from(address.word) + i64::from(instance.offsets[address.base as usize]);
        let most = i64::from(self.blocks.program.machine.words_per_bank());
        if word < 0 || word + i64::from(words) > most {
            return Err(format!("words {word}..{} are outside the bank of {most}", word + i64::from(words)));
        }
        Ok(word as usize)
    }

    fn read(
        &mut self,
        instance: &Instance,
        linked: &LinkedBlock,
        access: &LastingAccess<'_>,
        age: u32,
    ) -> Result<Origin, LocalFault> {
        let inst = linked.issues.inst(access.issue as usize);
        let out_of_range = |message: String| fault(linked, access, FaultKind::AddressOutOfRange, &message);
        let writer = match access.place() {
            Place::Word(side, slice, bank, address) => {
                let word = self.address(instance, address, 1).map_err(out_of_range)?;
                self.words.writer(side, slice, bank, word)
            }
            Place::Words(side, slice, bank, address, words) => {
                let first = self.address(instance, address, words).map_err(out_of_range)?;
                let mut table = TableOrigin::default();
                let whole = self.words.runs((side, slice, bank), first, words as usize, |writer, count| {
                    table.push(self.origin(writer), count);
                });
                if !whole {
                    let message = "the table has words that nothing has written";
                    return Err(fault(linked, access, FaultKind::EmptyRead, message));
                }
                return Ok(table.finish());
            }
            Place::Buffer(plane) => {
                let (hash, loads, kind) = std::mem::take(&mut self.buffers[plane as usize]);
                if let (Inst::Install { kind: wanted }, Some(loaded)) = (inst, kind)
                    && *wanted != loaded
                {
                    let message = format!("the buffer holds a tile of {loaded}");
                    return Err(fault(linked, access, FaultKind::KindMismatch, &message));
                }
                return Ok(if loads == 0 { Origin::Nothing } else { Origin::Many(hash) });
            }
            Place::Array(plane) => {
                let (writer, kind) = self.arrays[plane as usize];
                if let (Inst::Activate { kind: wanted, .. }, Some(installed)) = (inst, kind)
                    && *wanted != installed
                {
                    let message = format!("the array is a tile of {installed}");
                    return Err(fault(linked, access, FaultKind::KindMismatch, &message));
                }
                writer
            }
            Place::Codebook(plane) => self.codebooks[plane as usize],
            Place::Reduction(unit) => self.reductions[unit as usize],
            Place::Accumulator(plane, row) => {
                let (writer, cycle) = self.rows[self.row(plane, row)];
                let now = instance.start + access.cycle();
                if writer != Writer::Nobody && now < cycle + u64::from(age) {
                    let message = format!("its last sum was begun {} cycles ago, it takes {age}", now - cycle);
                    return Err(fault(linked, access, FaultKind::EarlyDrain, &message));
                }
                writer
            }
            Place::LinkIn(link) => {
                let queue = linked.issues.id(access.issue as usize).queue;
                let receives = &mut self.ends.received[link as usize];
                receives.push((instance.start + access.cycle(), queue));
                return Ok(Origin::Sent { link, vector: receives.len() as u32 - 1 });
            }
            _ => return Ok(Origin::Nothing),
        };
        if writer == Writer::Nobody {
            let message = format!("nothing was written to {}", say::place(&access.place()));
            return Err(fault(linked, access, FaultKind::EmptyRead, &message));
        }
        Ok(self.origin(writer))
    }

    fn row(&self, plane: u8, row: u16) -> usize {
        plane as usize * self.blocks.program.machine.mxm.accumulator_rows as usize + row as usize
    }

    fn write(
        &mut self,
        instance: &Instance,
        linked: &LinkedBlock,
        access: &LastingAccess<'_>,
    ) -> Result<(), LocalFault> {
        let writer = Writer::Issue(instance.block, access.issue, access.touch.ordinal);
        let inst = linked.issues.inst(access.issue as usize);
        let out_of_range = |message: String| fault(linked, access, FaultKind::AddressOutOfRange, &message);
        match access.place() {
            Place::Word(side, slice, bank, address) => {
                let word = self.address(instance, address, 1).map_err(out_of_range)?;
                self.words.write((side, slice, bank), word, 1, writer);
            }
            Place::Words(side, slice, bank, address, words) => {
                let first = self.address(instance, address, words).map_err(out_of_range)?;
                self.words.write((side, slice, bank), first, words as usize, writer);
            }
            Place::BufferVector(plane, vector) | Place::BufferScale(plane, vector) => {
                let scale = u64::from(matches!(access.place(), Place::BufferScale(..)));
                let part = self.origin(writer).part_hash(u64::from(vector) << 1 | scale);
                let (Inst::Load { kind, .. } | Inst::Scale { kind, .. }) = inst else { return Ok(()) };
                let (hash, loads, held) = &mut self.buffers[plane as usize];
                if held.is_some_and(|held| held != *kind) {
                    let message = format!("the buffer is taking a tile of another kind than {kind}");
                    return Err(fault(linked, access, FaultKind::KindMismatch, &message));
                }
                (*hash, *loads, *held) = (hash.wrapping_add(part), *loads + 1, Some(*kind));
            }
            Place::Codebook(plane) => self.codebooks[plane as usize] = writer,
            Place::Array(plane) => {
                if let Inst::Install { kind } = inst {
                    self.arrays[plane as usize] = (writer, Some(*kind));
                }
            }
            Place::Reduction(unit) => self.reductions[unit as usize] = writer,
            Place::Accumulator(plane, row) => {
                let at = self.row(plane, row);
                self.rows[at] = (writer, instance.start + access.cycle());
            }
            Place::LinkOut(link) => {
                let issued = linked.issues.cycle(access.issue as usize);
                self.ends.sent[link as usize].push(instance.start + issued);
            }
            _ => {}
        }
        Ok(())
    }
}

fn fault(linked: &LinkedBlock, access: &LastingAccess<'_>, kind: FaultKind, message: &str) -> LocalFault {
    issue_fault(&linked.issues.get(access.issue as usize), kind, access.cycle(), message)
}

fn check_origin(
    expected: Option<(&Origin, i64)>,
    instance: &Instance,
    linked: &LinkedBlock,
    access: &LastingAccess<'_>,
    found: Origin,
) -> Result<(), LocalFault> {
    let expected = match expected {
        Some((&Origin::Import { import, offset }, by)) => {
            instance.imports.get(import as usize).map(|origin| (origin, i64::from(offset) + by))
        }
        expected => expected,
    };
    if expected.is_some_and(|(origin, by)| origin.moves_to(by, &found)) {
        return Ok(());
    }
    let expected = expected.and_then(|(origin, by)| origin.moved(by));
    let (found, expected) = (say::origin(Some(found)), say::origin(expected));
    let message = format!("operand {} comes from {found}, the program says {expected}", access.touch.ordinal);
    Err(fault(linked, access, FaultKind::WrongProducer, &message))
}
