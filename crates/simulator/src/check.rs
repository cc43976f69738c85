//! What an entry's instances find on arrival: memory, buffers, arrays, accumulators, links. None of it depends on
//! values, so it is checked once, before the first run.

use std::collections::BTreeMap;

use lockstep_machine::access::{Effect, Place, WordAddress};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::TileKind;
use lockstep_program::program::{Binding, BindingKind, Entry, Instance, Origin, Program, TableOrigin, Word};

use crate::edges::Edges;
use crate::fault::{Fault, FaultKind, LocalFault, Unit};
use crate::link::{LastingAccess, LinkedBlock, issue_fault};
use crate::say;
use crate::traffic::Traffic;
use crate::words::{Contents, Words, Writer};

/// The lasting state of one chip, as far as hazards need it.
struct ChipState<'a> {
    program: &'a Program<'a>,
    linked: &'a [LinkedBlock],
    edges: Option<&'a [Edges<'a>]>,
    chip: u32,
    words: Words<'a>,
    arrays: Vec<(Writer, Option<TileKind>)>,
    buffers: Vec<(u64, u32, Option<TileKind>)>,
    codebooks: Vec<Writer>,
    rows: Vec<(Writer, u64)>,
    reductions: Vec<Writer>,
    sends: Vec<Vec<u64>>,
    receives: Vec<Vec<(u64, Queue)>>,
    aligned: Vec<u64>,
}

/// Checks an entry on all chips, whose memory holds `contents`; with `edges`, operands are compared with those, and what is
/// written is taken from `unwritten`. What crosses the links is returned.
pub(crate) fn check_entry<'a>(
    program: &'a Program<'a>,
    linked: &'a [LinkedBlock],
    entry: &Entry,
    contents: &'a [Contents],
    edges: Option<&'a [Edges<'a>]>,
    unwritten: &mut Unwritten<'_>,
) -> Result<Traffic, Fault> {
    let mut traffic = Traffic::new(program);
    let mut end = 0;
    for chip in 0..program.chips {
        let mut state = ChipState::new(program, linked, chip, &contents[chip as usize], edges);
        let mut free_from = 0;
        for instance in entry.instances.iter().filter(|instance| instance.chip == chip) {
            let block = &linked[instance.block as usize];
            if instance.start < free_from {
                let name = &program.blocks[instance.block as usize].name;
                let message = format!("block {name} starts before the one before it ends");
                return Err(whole(FaultKind::Overlap, chip, instance.start, message));
            }
            free_from = instance.start + block.cycles;
            let declared = program.blocks[instance.block as usize].cycles;
            if block.cycles != declared {
                let name = &program.blocks[instance.block as usize].name;
                let message = format!("block {name} takes {} cycles, predicted were {declared}", block.cycles);
                return Err(whole(FaultKind::CycleMismatch, chip, free_from, message));
            }
            state.run(instance).map_err(|fault| fault.at(chip, instance.start))?;
        }
        if edges.is_some() && entry.instances.iter().any(|instance| instance.chip == chip) {
            state.check_outputs(free_from, unwritten)?;
        }
        end = end.max(free_from);
        for (link, crossings) in program.links.iter().zip(&mut traffic.links) {
            if link.from_chip == chip {
                crossings.sent.clone_from(&state.sends[link.from_link as usize]);
            }
            if link.to_chip == chip {
                crossings.received.clone_from(&state.receives[link.to_link as usize]);
            }
        }
        traffic.aligned[chip as usize].clone_from(&state.aligned);
        state.check_connected()?;
    }
    traffic.check(program)?;
    if end != entry.cycles {
        let message = format!("entry {} takes {end} cycles, predicted were {}", entry.name, entry.cycles);
        return Err(whole(FaultKind::CycleMismatch, 0, end, message));
    }
    Ok(traffic)
}

/// Words of outputs that no entry has written so far, with their places and the names of the outputs.
pub(crate) type Unwritten<'a> = BTreeMap<Word, (usize, &'a str)>;

/// All words of outputs.
pub(crate) fn outputs<'a>(program: &'a Program<'_>) -> Unwritten<'a> {
    let outputs = program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output);
    let words = |binding: &'a Binding| {
        binding.words.iter().enumerate().map(|(place, word)| (*word, (place, binding.name.as_str())))
    };
    outputs.flat_map(words).collect()
}

/// No output is left to what memory holds before the first run: some entry writes each of its words.
pub(crate) fn check_written(unwritten: &Unwritten<'_>) -> Result<(), Fault> {
    match unwritten.first_key_value() {
        None => Ok(()),
        Some((at, (place, name))) => {
            let message = format!("no entry writes word {place} of output {name}");
            Err(whole(FaultKind::EmptyRead, at.chip, 0, message))
        }
    }
}

fn whole(kind: FaultKind, chip: u32, cycle: u64, message: String) -> Fault {
    Fault { kind, cycle, chip, unit: Unit(None), message }
}

impl<'a> ChipState<'a> {
    fn new(
        program: &'a Program<'a>,
        linked: &'a [LinkedBlock],
        chip: u32,
        contents: &'a Contents,
        edges: Option<&'a [Edges<'a>]>,
    ) -> Self {
        let spec = &program.machine;
        let planes = spec.planes() as usize;
        Self {
            program,
            linked,
            edges,
            chip,
            words: Words::new(contents),
            arrays: vec![(Writer::Nobody, None); planes],
            buffers: vec![(0, 0, None); planes],
            codebooks: vec![Writer::Nobody; planes],
            rows: vec![(Writer::Nobody, 0); planes * spec.mxm.accumulator_rows as usize],
            reductions: vec![Writer::Nobody; spec.vxm.reduce_units as usize],
            sends: vec![Vec::new(); spec.c2c.links as usize],
            receives: vec![Vec::new(); spec.c2c.links as usize],
            aligned: Vec::new(),
        }
    }

    /// All words of outputs hold something at the end.
    fn check_outputs(&mut self, end: u64, unwritten: &mut Unwritten<'_>) -> Result<(), Fault> {
        let (program, chip) = (self.program, self.chip);
        for binding in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output) {
            for (place, word) in binding.words.iter().enumerate().filter(|(_, word)| word.chip == chip) {
                match self.words.writer(word.hemisphere, word.slice, word.bank, word.word.into()) {
                    Writer::Nobody => {
                        let message = format!("nothing writes word {place} of output {}", binding.name);
                        return Err(whole(FaultKind::EmptyRead, chip, end, message));
                    }
                    Writer::Issue(..) => _ = unwritten.remove(word),
                    Writer::Image(..) | Writer::Input(..) => {}
                }
            }
        }
        Ok(())
    }

    /// Vectors cross only links that lead somewhere.
    fn check_connected(&self) -> Result<(), Fault> {
        let links = &self.program.links;
        for link in 0..self.sends.len() {
            let out = links.iter().any(|l| (l.from_chip, usize::from(l.from_link)) == (self.chip, link));
            let into = links.iter().any(|l| (l.to_chip, usize::from(l.to_link)) == (self.chip, link));
            let sent = self.sends[link].first().filter(|_| !out).map(|cycle| (*cycle, Queue::Send(link as u8)));
            let received = self.receives[link].first().filter(|_| !into).copied();
            if let Some((cycle, queue)) = sent.or(received) {
                let message = format!("link {link} is not connected on this side");
                return Err(LocalFault::new(FaultKind::Unconnected, cycle, queue, message).at(self.chip, 0));
            }
        }
        Ok(())
    }

    fn run(&mut self, instance: &Instance) -> Result<(), LocalFault> {
        let linked = &self.linked[instance.block as usize];
        let edges = self.edges.map(|edges| &edges[instance.block as usize]);
        let mut cursors = edges.map(Edges::cursors);
        self.aligned.extend(linked.aligned.map(|cycle| instance.start + cycle));
        for access in linked.lasting() {
            match access.touch.effect {
                Effect::Read { age } => {
                    let found = self.read(instance, linked, &access, age)?;
                    if let (Some(edges), Some(cursors)) = (edges, &mut cursors) {
                        let reader = linked.issues.id(access.issue as usize);
                        let expected = edges.expected(cursors, access.touch.operand, reader.issue);
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
                Origin::Issue { block, id: self.linked[block as usize].issues.id(issue as usize), result }
            }
        }
    }

    fn address(&self, instance: &Instance, address: WordAddress, words: u32) -> Result<usize, String> {
        let word = i64::from(address.word) + i64::from(instance.offsets[address.base as usize]);
        let most = i64::from(self.program.machine.words_per_bank());
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
                let receives = &mut self.receives[link as usize];
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
        plane as usize * self.program.machine.mxm.accumulator_rows as usize + row as usize
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
                self.sends[link as usize].push(instance.start + issued);
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
