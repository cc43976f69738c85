//! Programs linked, and chips that run them.

use std::time::{Duration, Instant};

use lockstep_kernels::Kernels;
use lockstep_program::Program;
use lockstep_program::program::{Binding, BindingKind, Content, Entry, Word};

use crate::check::{check_entry, check_written, outputs};
use crate::chip::Chip;
use crate::clock::Elapsed;
use crate::conditions::Conditions;
use crate::counters::{Counters, count};
use crate::edges::Edges;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind, Unit};
use crate::link::{LinkedBlock, link};
use crate::memory::Bank;
use crate::run;
use crate::traffic::Traffic;
use crate::words::Contents;

/// What can go wrong beside faults of the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The program did something that is not lawful.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no such entry.
    #[error("the program has no entry {name:?}; it has: {known}")]
    Entry {
        /// The name asked for.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// There is no such binding of this direction.
    #[error("the program has no {kind} {name:?}; it has: {known}")]
    Binding {
        /// `input` or `output`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// An input of the wrong length.
    #[error("input {name:?} takes {expected} bytes ({elements} numbers), got {actual}")]
    Length {
        /// The input.
        name: String,
        /// Bytes it takes.
        expected: usize,
        /// Numbers it takes.
        elements: u32,
        /// Bytes given.
        actual: usize,
    },
    /// An input that was never written.
    #[error("input {0:?} has no value: write it before the run")]
    MissingInput(String),
    /// A program from shapes alone.
    #[error("image {0:?} has no content: the program was made from shapes alone and can be timed, not run")]
    Absent(String),
}

/// A program whose every operand is known: it can be timed, and run any number of times.
pub struct Linked<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) blocks: Vec<LinkedBlock>,
    /// By entry.
    traffic: Vec<Traffic>,
    /// Whether it can be run.
    tape: bool,
}

impl<'a> Linked<'a> {
    /// Links a program: finds every hazard that does not depend on values, and operands from another producer than the
    /// program says.
    pub fn new(program: &'a Program<'a>) -> Result<Self, Fault> {
        Self::link(program, true, true)
    }

    /// Links a program whose flow is not looked at: what would its instructions do?
    pub fn without_flow(program: &'a Program<'a>) -> Result<Self, Fault> {
        Self::link(program, false, true)
    }

    /// Links a program that is only to be timed: hazards and flow are found, but it cannot be run.
    pub fn for_timing(program: &'a Program<'a>) -> Result<Self, Fault> {
        Self::link(program, true, false)
    }

    fn link(program: &'a Program<'a>, check_flow: bool, tape: bool) -> Result<Self, Fault> {
        let edges: Option<Vec<Edges<'_>>> = check_flow.then(|| program.blocks.iter().map(Edges::new).collect());
        let mut blocks = Vec::with_capacity(program.blocks.len());
        for (index, block) in program.blocks.iter().enumerate() {
            let first = program.entries.iter().flat_map(|e| &e.instances).find(|i| i.block as usize == index);
            let (chip, start) = first.map_or((0, 0), |instance| (instance.chip, instance.start));
            let edges = edges.as_ref().map(|edges| &edges[index]);
            let linked = link(block, index as u32, &program.machine, edges, tape);
            blocks.push(linked.map_err(|fault| fault.at(chip, start))?);
        }
        let contents: Vec<Contents> = (0..program.chips).map(|chip| Contents::new(program, chip)).collect();
        let mut unwritten = outputs(program);
        let mut traffic = Vec::with_capacity(program.entries.len());
        for entry in &program.entries {
            traffic.push(check_entry(program, &blocks, entry, &contents, edges.as_deref(), &mut unwritten)?);
        }
        if check_flow {
            check_written(&unwritten)?;
        }
        Ok(Self { program, blocks, traffic, tape })
    }

    /// The program.
    pub fn program(&self) -> &'a Program<'a> {
        self.program
    }

    pub(crate) fn entry(&self, name: &str) -> Result<&'a Entry, Error> {
        self.numbered(name).map(|(_, entry)| entry)
    }

    fn numbered(&self, name: &str) -> Result<(usize, &'a Entry), Error> {
        self.program.entries.iter().enumerate().find(|(_, entry)| entry.name == name).ok_or_else(|| Error::Entry {
            name: name.to_owned(),
            known: self.program.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// What an entry takes and does, without values. Linking has counted the cycles.
    pub fn time(&self, entry: &str) -> Result<Report, Error> {
        self.time_under(entry, &Conditions::default())
    }

    /// The same under conditions, in the first run.
    pub fn time_under(&self, entry: &str, conditions: &Conditions) -> Result<Report, Error> {
        let (index, entry) = self.numbered(entry)?;
        let elapsed = self.elapsed(index, entry, conditions, 0)?;
        let mut schedule = blake3::Hasher::new();
        self.hash_schedule(entry, &mut schedule);
        Ok(self.report(entry, *schedule.finalize().as_bytes(), elapsed))
    }

    /// When an entry ends on its chips; a fault if something comes too late then, too early, or not at all.
    fn elapsed(&self, index: usize, entry: &Entry, conditions: &Conditions, run: u64) -> Result<Elapsed, Fault> {
        if conditions.is_nominal() {
            // Linking has looked at the worst that may come.
            return Ok(Elapsed::nominal(entry.cycles));
        }
        self.traffic[index].under(self.program, entry, conditions, run)
    }

    /// Everything that decides when what happens.
    fn hash_schedule(&self, entry: &Entry, hasher: &mut blake3::Hasher) {
        for instance in &entry.instances {
            let block = &self.program.blocks[instance.block as usize];
            for number in [u64::from(instance.chip), instance.start, self.blocks[instance.block as usize].cycles] {
                hasher.update(&number.to_le_bytes());
            }
            for text in &block.queues {
                hasher.update(text.queue.to_string().as_bytes());
                hasher.update(text.insts.as_flattened());
            }
        }
    }

    fn report(&self, entry: &Entry, trace_digest: [u8; 32], elapsed: Elapsed) -> Report {
        let ends = entry.instances.iter().map(|i| i.start + self.blocks[i.block as usize].cycles);
        Report {
            cycles_predicted: entry.cycles,
            cycles: ends.max().unwrap_or(0),
            elapsed,
            trace_digest,
            run_time: Duration::ZERO,
            corrected: 0,
            link_corrected: 0,
            replays: 0,
            counters: count(self.program, &self.blocks, entry),
        }
    }
}

/// What a run took and did.
#[derive(Clone, Debug)]
pub struct Report {
    /// The cycles that the program says it takes.
    pub cycles_predicted: u64,
    /// The cycles that it took, in program time: the same under all conditions.
    pub cycles: u64,
    /// The reference time at which its chips ended.
    pub elapsed: Elapsed,
    /// BLAKE3 of the schedule and of every vector written to memory, chip by chip in the order of time.
    pub trace_digest: [u8; 32],
    /// How long the run of the tape took on this computer.
    pub run_time: Duration,
    /// Words of memory in which a flipped bit was set right, in all replays together.
    pub corrected: u64,
    /// Vectors in which an error of a link was set right, in all replays together.
    pub link_corrected: u64,
    /// Runs that were made again, since a vector was lost on a link; each took the same cycles.
    pub replays: u32,
    /// What the units did.
    pub counters: Counters,
}

/// Chips with memory, and a linked program to run on them.
pub struct Simulator<'a> {
    linked: &'a Linked<'a>,
    chips: Vec<Chip>,
    written: Vec<bool>,
    threads: usize,
    conditions: Conditions,
    /// Runs so far, those that failed among them.
    runs: u64,
    /// Why the last run gave no answer, where hardware has failed.
    failed: Option<Fault>,
}

impl<'a> Simulator<'a> {
    /// Chips that hold the program's images; runs use so many threads, at most one a chip.
    pub fn new(linked: &'a Linked<'a>, kernels: Kernels, threads: usize) -> Result<Self, Error> {
        let program = linked.program;
        assert!(linked.tape, "a program that was linked for timing alone cannot be run");
        let mut chips: Vec<Chip> = (0..program.chips).map(|_| Chip::new(&program.machine, kernels)).collect();
        let lanes = program.machine.lanes() as usize;
        for image in &program.images {
            let bytes = match &image.content {
                Content::Bytes(bytes) => bytes,
                Content::Zero => continue,
                Content::Absent => return Err(Error::Absent(image.name.clone())),
            };
            let memory = &mut chips[image.first.chip as usize].memory;
            for (vector, bytes) in bytes.chunks_exact(lanes).enumerate() {
                let word = usize::from(image.first.word) + vector;
                memory.word_mut(bank(image.first), word)[..lanes].copy_from_slice(bytes);
            }
        }
        let slots = linked.blocks.iter().map(|block| block.slots as usize).max().unwrap_or(0);
        for chip in &mut chips {
            chip.slots.reserve(slots);
        }
        let written = vec![false; program.bindings.len()];
        Ok(Self { linked, chips, written, threads, conditions: Conditions::default(), runs: 0, failed: None })
    }

    /// Sets the conditions of the runs to come; without it they are nominal. What is drawn for a run depends on its number,
    /// counted from here.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        self.runs = 0;
    }

    fn binding(&self, name: &str, kind: BindingKind) -> Result<(usize, &'a Binding), Error> {
        let of_kind = || self.linked.program.bindings.iter().enumerate().filter(move |(_, b)| b.kind == kind);
        of_kind().find(|(_, binding)| binding.name == name).ok_or_else(|| Error::Binding {
            kind: if kind == BindingKind::Input { "input" } else { "output" },
            name: name.to_owned(),
            known: of_kind().map(|(_, binding)| binding.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Writes an input: its numbers, little-endian.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (index, binding) = self.binding(name, BindingKind::Input)?;
        let planes = usize::from(binding.format.streams());
        let expected = binding.elements as usize * planes;
        if bytes.len() != expected {
            let (name, elements, actual) = (name.to_owned(), binding.elements, bytes.len());
            return Err(Error::Length { name, expected, elements, actual });
        }
        let lanes = self.linked.program.machine.lanes() as usize;
        for (place, word) in binding.words.iter().enumerate() {
            let (tile, plane) = (place / planes, place % planes);
            let mut vector = [0; crate::value::LANES];
            for (byte, number) in vector[..lanes].iter_mut().zip(bytes.chunks_exact(planes).skip(tile * lanes)) {
                *byte = number[plane];
            }
            self.chips[word.chip as usize].memory.write(bank(*word), word.word.into(), &vector);
        }
        self.written[index] = true;
        Ok(())
    }

    /// Writes an input of f32.
    pub fn write_f32(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        self.write(name, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Writes an input of 32-bit integers.
    pub fn write_i32(&mut self, name: &str, values: &[i32]) -> Result<(), Error> {
        self.write(name, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Reads an output: its numbers, little-endian. After a run in which hardware failed there is nothing to read but that
    /// fault.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let (_, binding) = self.binding(name, BindingKind::Output)?;
        if let Some(fault) = &self.failed {
            return Err(fault.clone().into());
        }
        let planes = usize::from(binding.format.streams());
        let lanes = self.linked.program.machine.lanes() as usize;
        let mut bytes = vec![0; binding.elements as usize * planes];
        for (place, word) in binding.words.iter().enumerate() {
            let (tile, plane) = (place / planes, place % planes);
            let vector = self.chips[word.chip as usize].memory.read(bank(*word), word.word.into());
            let vector = vector.map_err(|message| {
                let message = format!("output {name}: {message}");
                Fault { kind: FaultKind::EccUncorrectable, cycle: 0, chip: word.chip, unit: Unit(None), message }
            })?;
            for (number, byte) in bytes.chunks_exact_mut(planes).skip(tile * lanes).zip(&vector[..lanes]) {
                number[plane] = *byte;
            }
        }
        Ok(bytes)
    }

    /// Reads an output of f32.
    pub fn read_f32(&mut self, name: &str) -> Result<Vec<f32>, Error> {
        let bytes = self.read(name)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// Reads an output of 32-bit integers.
    pub fn read_i32(&mut self, name: &str) -> Result<Vec<i32>, Error> {
        let bytes = self.read(name)?;
        Ok(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// A word of memory as it is.
    pub fn word(&mut self, word: Word) -> Vec<u8> {
        let lanes = self.linked.program.machine.lanes() as usize;
        self.chips[word.chip as usize].memory.word_mut(bank(word), word.word.into())[..lanes].to_vec()
    }

    /// Flips one bit of a superlane's codeword: 0 to 127 are data, 128 to 136 check bits.
    pub fn flip(&mut self, word: Word, superlane: u8, bit: u8) {
        self.chips[word.chip as usize].memory.flip(bank(word), word.word.into(), superlane.into(), bit);
    }

    /// Runs an entry. Memory lives on; a fault leaves it as it was when the fault happened, but for a vector that was lost
    /// on a link: then all is as before the run, which can be made again.
    pub fn run(&mut self, entry: &str) -> Result<Report, Error> {
        self.run_replaying(entry, 0)
    }

    /// Runs an entry, and again as long as a vector was lost on a link, but at most `replays` times more.
    pub fn run_replaying(&mut self, entry: &str, replays: u32) -> Result<Report, Error> {
        let (index, entry) = self.linked.numbered(entry)?;
        for (binding, written) in self.linked.program.bindings.iter().zip(&self.written) {
            if binding.kind == BindingKind::Input && !written {
                return Err(Error::MissingInput(binding.name.clone()));
            }
        }
        let corrected = |chips: &[Chip]| chips.iter().map(|chip| chip.memory.corrected).sum::<u64>();
        let (before, begun) = (corrected(&self.chips), Instant::now());
        let (mut link_corrected, mut replayed) = (0, 0);
        let elapsed = loop {
            match self.attempt(index, entry, &mut link_corrected) {
                Ok(elapsed) => break elapsed,
                Err(fault) if fault.kind == FaultKind::LinkLost && replayed < replays => replayed += 1,
                Err(fault) => {
                    self.failed = Some(fault.clone()).filter(|fault| fault.kind.is_of_hardware());
                    return Err(fault.into());
                }
            }
        };
        self.failed = None;
        let run_time = begun.elapsed();
        let mut digest = blake3::Hasher::new();
        self.linked.hash_schedule(entry, &mut digest);
        self.chips.iter().for_each(|chip| {
            digest.update(&chip.digest());
        });
        let report = self.linked.report(entry, *digest.finalize().as_bytes(), elapsed);
        let corrected = corrected(&self.chips) - before;
        Ok(Report { run_time, corrected, link_corrected, replays: replayed, ..report })
    }

    /// Runs an entry once, and adds the errors of links that were corrected.
    fn attempt(&mut self, index: usize, entry: &Entry, link_corrected: &mut u64) -> Result<Elapsed, Fault> {
        let program = self.linked.program;
        let run = self.runs;
        self.runs += 1;
        let elapsed = self.linked.elapsed(index, entry, &self.conditions, run)?;
        self.chips.iter_mut().for_each(|chip| chip.reset(&program.machine));
        let exchange = Exchange::new(program.links.len(), &self.conditions, run);
        if self.conditions.link_losses > 0 {
            self.chips.iter_mut().for_each(|chip| chip.memory.keep());
        }
        let outcome = run::run(program, &self.linked.blocks, entry, &mut self.chips, self.threads, &exchange);
        *link_corrected += exchange.corrected();
        let undo = outcome.as_ref().is_err_and(|fault| fault.kind == FaultKind::LinkLost);
        self.chips.iter_mut().for_each(|chip| chip.memory.end_keeping(undo));
        outcome.map(|()| elapsed)
    }
}

fn bank(word: Word) -> Bank {
    Bank { hemisphere: word.hemisphere, slice: word.slice, number: word.bank }
}
