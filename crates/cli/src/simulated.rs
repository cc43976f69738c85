//! A simulated chip as the engine's backend: a compiled model, run cycle by cycle as predicted.
//!
//! It serves one sequence at a time. Of a sequence that was cut, keys and values stay in memory: positions beyond the
//! length do not count, and the next tokens overwrite them.

use crate::timetable::Timetable;
use anyhow::{Result, ensure};
use lockstep_engine::{Backend, BackendError, SequenceId, StepItem, StepOutput};
use lockstep_kernels::Kernels;
use lockstep_program::Program;
use lockstep_program::program::BindingKind;
use lockstep_simulator::{Conditions, Elapsed, Error, Linked, Simulator};
use std::collections::BTreeMap;

/// The only sequence.
const SEQUENCE: SequenceId = SequenceId(0);

/// One run of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The entry.
    pub entry: String,
    /// How many tokens it took.
    pub tokens: usize,
    /// What the program predicted.
    pub cycles_predicted: u64,
    /// What the run took, in program time.
    pub cycles: u64,
    /// The reference time at which its chips ended.
    pub elapsed: Elapsed,
    /// Runs before it that lost a vector on a link; each took as long.
    pub replays: u32,
    /// Vectors in which an error of a link was set right.
    pub link_corrected: u64,
    /// Words of memory in which a flipped bit was set right.
    pub corrected: u64,
    /// How long the simulation took.
    pub simulation_seconds: f64,
    /// Estimate of the time that inputs and outputs would take.
    pub host_link_seconds: f64,
}

/// A chip with its program.
pub struct SimulatedBackend {
    simulator: Simulator<'static>,
    timetable: Timetable,
    /// How many numbers each input takes.
    elements: BTreeMap<&'static str, usize>,
    lanes: usize,
    vocab_size: usize,
    context: usize,
    /// Tokens of the sequence, where there is one.
    length: Option<usize>,
    /// For each item of the last step its rows of logits, or why there are none.
    logits: Vec<Result<Vec<Vec<f32>>, String>>,
    runs: Vec<Run>,
    /// How often a run that lost a vector is made again, at most.
    replays: u32,
}

impl SimulatedBackend {
    /// A chip with a compiled model, for sequences of at most `context` tokens.
    pub fn new(program: Program<'static>, context: usize, kernels: Kernels, threads: usize) -> Result<Self> {
        let timetable = Timetable::of(&program)?;
        ensure!(context <= timetable.context(), "the program's entries hold {} tokens", timetable.context());
        let logits = program.bindings.iter().find(|b| b.kind == BindingKind::Output && b.name == "logits");
        let vocab_size = logits.map_or(0, |binding| binding.elements as usize);
        let lanes = program.machine.lanes() as usize;
        // Linked code borrows its program, and the chip the code: each lives as long as the process, and there is one.
        let program: &'static Program<'static> = Box::leak(Box::new(program));
        let linked: &'static Linked<'static> = Box::leak(Box::new(Linked::new(program)?));
        let mut simulator = Simulator::new(linked, kernels, threads)?;
        // No run begins before all inputs are there, also those of other entries.
        let mut elements = BTreeMap::new();
        for input in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Input) {
            simulator.write_i32(&input.name, &vec![0; input.elements as usize])?;
            elements.insert(input.name.as_str(), input.elements as usize);
        }
        Ok(Self {
            simulator,
            timetable,
            elements,
            lanes,
            vocab_size,
            context,
            length: None,
            logits: Vec::new(),
            runs: Vec::new(),
            replays: 0,
        })
    }

    /// Sets what chips and links are like, and how often a run that lost a vector is made again, at most.
    pub fn set_conditions(&mut self, conditions: Conditions, replays: u32) {
        self.simulator.set_conditions(conditions);
        self.replays = replays;
    }

    /// When the program computes what.
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// All runs so far.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Appends the tokens of an item; the last `rows` logits.
    fn feed(&mut self, item: &StepItem<'_>) -> Result<Vec<Vec<f32>>, Error> {
        let mut rest = item.tokens;
        let mut rows = Vec::with_capacity(item.logits);
        while !rest.is_empty() {
            let length = self.length.unwrap_or_default();
            // A run gives the logits behind its last token alone, so it may go as far as the first that is wanted.
            let together = (rest.len() + 1).saturating_sub(item.logits.max(1)).max(1);
            let taken = self.run(length, &rest[..together])?;
            self.length = Some(length + taken);
            rest = &rest[taken..];
            if rest.len() < item.logits {
                rows.push(self.simulator.read_f32("logits")?);
            }
        }
        Ok(rows)
    }

    /// Runs the entry for the next tokens of a sequence; how many it took.
    fn run(&mut self, length: usize, tokens: &[u32]) -> Result<usize, Error> {
        let unknown =
            || Error::Entry { name: format!("decode of position {length}"), known: "shorter ones".to_owned() };
        let (step, taken) = self.timetable.next(length, tokens.len()).ok_or_else(unknown)?;
        let lanes = self.lanes;
        let mut write = |name: &str, values: &mut dyn Iterator<Item = i32>| {
            let mut vectors: Vec<i32> = values.flat_map(|value| std::iter::repeat_n(value, lanes)).collect();
            // A copy for each chip that reads it.
            let elements = self.elements.get(name).copied().unwrap_or_default();
            let one = vectors.len();
            while one > 0 && vectors.len() < elements {
                vectors.extend_from_within(..one);
            }
            self.simulator.write_i32(name, &vectors)
        };
        if step.tokens == 1 {
            let inputs = [("token", tokens[0] as i32), ("position", length as i32), ("length", length as i32 + 1)];
            inputs.into_iter().try_for_each(|(name, value)| write(name, &mut std::iter::once(value)))?;
        } else {
            // The last token again where there are fewer.
            let rows = || (0..step.tokens).map(|row| row.min(taken - 1));
            write("tokens", &mut rows().map(|row| tokens[row] as i32))?;
            write("positions", &mut rows().map(|row| (length + row) as i32))?;
        }
        let report = self.simulator.run_replaying(&step.entry, self.replays)?;
        self.runs.push(Run {
            entry: step.entry.clone(),
            tokens: taken,
            cycles_predicted: report.cycles_predicted,
            cycles: report.cycles,
            elapsed: report.elapsed,
            replays: report.replays,
            link_corrected: report.link_corrected,
            corrected: report.corrected,
            simulation_seconds: report.run_time.as_secs_f64(),
            host_link_seconds: step.host_link_seconds,
        });
        Ok(taken)
    }
}

impl StepOutput for SimulatedBackend {
    fn logits(&self, item: usize, row: usize) -> Result<&[f32], String> {
        match &self.logits[item] {
            Ok(rows) => Ok(&rows[row]),
            Err(why) => Err(why.clone()),
        }
    }
}

impl Backend for SimulatedBackend {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn step_tokens_max(&self) -> usize {
        // More would be no faster, and would keep an interrupt waiting.
        self.timetable.tokens_max()
    }

    fn create_sequence(&mut self, capacity: usize) -> Result<SequenceId, BackendError> {
        if self.length.is_some() {
            let remedy = "the simulated chip serves one sequence at a time: wait for it to end".to_owned();
            return Err(BackendError::OutOfMemory { capacity, remedy });
        }
        if capacity > self.context {
            let remedy = format!("the program holds {}: compile it for a longer --context", self.context);
            return Err(BackendError::OutOfMemory { capacity, remedy });
        }
        self.length = Some(0);
        Ok(SEQUENCE)
    }

    fn release_sequence(&mut self, _sequence: SequenceId) {
        self.length = None;
    }

    fn truncate_sequence(&mut self, _sequence: SequenceId, length: usize) {
        self.length = self.length.map(|now| now.min(length));
    }

    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        let before = self.length;
        self.logits.clear();
        for item in items {
            match self.feed(item) {
                Ok(rows) => self.logits.push(Ok(rows)),
                Err(Error::Fault(fault)) if fault.kind.depends_on_values() && !fault.kind.is_of_hardware() => {
                    self.logits.push(Err(format!("values left the number range: {fault}")));
                }
                Err(error) => {
                    self.length = before;
                    return Err(BackendError::Failed(error.to_string()));
                }
            }
        }
        Ok(self)
    }
}
