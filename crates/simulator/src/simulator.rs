//! Chips that run linked programs.

use std::time::Instant;

use lockstep_kernels::Kernels;
use lockstep_program::program::{Binding, BindingKind, Content, Entry, Word};

use crate::chip::Chip;
use crate::clock::Elapsed;
use crate::conditions::Conditions;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind, Unit};
use crate::linked::{Linked, Report};
use crate::memory::Bank;
use crate::run;

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

/// Chips with memory, and a linked program to run on them.
pub struct Simulator<'a> {
    linked: &'a Linked<'a>,
    chips: Vec<Chip>,
    written: Vec<bool>,
    threads: usize,
    conditions: Conditions,
    /// Runs so far, those that failed among them.
    runs: u64,
    /// Why the last run gave no answer.
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

    /// Sets the conditions of the runs to come; without it they are nominal. What is drawn for a run depends on its
    /// number, counted from here.
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

    /// Reads an output: its numbers, little-endian. After a run that failed there is nothing to read but its fault.
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

    /// Runs an entry. Memory lives on; a fault leaves it as it was when the fault happened, but for a vector that was
    /// lost on a link: then all is as before the run, which can be made again.
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
                    self.failed = Some(fault.clone());
                    return Err(fault.into());
                }
            }
        };
        self.failed = None;
        let run_time = begun.elapsed();
        let mut digest = blake3::Hasher::new();
        digest.update(&self.linked.checked(index).digest);
        self.chips.iter().for_each(|chip| {
            digest.update(&chip.digest());
        });
        let report = self.linked.report(entry, self.linked.checked(index), elapsed);
        let (corrected, trace_digest) = (corrected(&self.chips) - before, *digest.finalize().as_bytes());
        Ok(Report { trace_digest, run_time, corrected, link_corrected, replays: replayed, ..report })
    }

    /// Runs an entry once, and adds the errors of links that were corrected.
    fn attempt(&mut self, index: usize, entry: &Entry, link_corrected: &mut u64) -> Result<Elapsed, Fault> {
        let program = self.linked.program;
        let run = self.runs;
        self.runs += 1;
        let elapsed = self.linked.checked(index).traffic.elapsed(program, entry, &self.conditions, run)?;
        self.chips.iter_mut().for_each(|chip| chip.reset(&program.machine));
        let exchange = Exchange::new(program, &self.conditions, run);
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
