//! Programs whose blocks are linked and whose entries are checked.

use std::time::{Duration, Instant};

use lockstep_program::Program;
use lockstep_program::program::{Block, Entry};

use crate::check::{Blocks, Checked, How, check_entry, check_written, outputs};
use crate::clock::Elapsed;
use crate::conditions::Conditions;
use crate::counters::{Counters, count};
use crate::edges::Edges;
use crate::fault::Fault;
use crate::link::{LinkedBlock, link};
use crate::simulator::Error;
use crate::threads::each;
use crate::words::Contents;

/// A program whose every operand is known: it can be timed, and run any number of times.
pub struct Linked<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) blocks: Vec<LinkedBlock>,
    /// What identifies each block's text.
    texts: Vec<[u8; 32]>,
    /// By entry.
    checked: Vec<Checked>,
    check_flow: bool,
    /// Whether it can be run.
    pub(crate) tape: bool,
}

impl<'a> Linked<'a> {
    /// Links a program: finds every hazard that does not depend on values, and operands from another producer than the
    /// program says.
    pub fn new(program: &'a Program<'a>) -> Result<Self, Fault> {
        Self::link(program, true, true, 1)
    }

    /// Links a program whose flow is not looked at: what would its instructions do?
    pub fn without_flow(program: &'a Program<'a>) -> Result<Self, Fault> {
        Self::link(program, false, true, 1)
    }

    /// Links a program that is only to be timed: hazards and flow are found, but it cannot be run. Blocks, and then
    /// chips, are shared among so many threads.
    pub fn for_timing(program: &'a Program<'a>, threads: usize) -> Result<Self, Fault> {
        Self::link(program, true, false, threads)
    }

    fn link(program: &'a Program<'a>, check_flow: bool, tape: bool, threads: usize) -> Result<Self, Fault> {
        let edges: Option<Vec<Edges<'_>>> = check_flow.then(|| program.blocks.iter().map(Edges::new).collect());
        let mut places = vec![None; program.blocks.len()];
        for instance in program.entries.iter().flat_map(|entry| &entry.instances) {
            places[instance.block as usize].get_or_insert((instance.chip, instance.start));
        }
        let link = |index: usize| {
            let (chip, start) = places[index].unwrap_or_default();
            let edges = edges.as_ref().map(|edges| &edges[index]);
            let linked = link(&program.blocks[index], index as u32, &program.machine, edges, tape);
            linked.map_err(|fault| fault.at(chip, start))
        };
        let linked = each(program.blocks.len(), threads, link).into_iter().collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<[u8; 32]> = program.blocks.iter().map(text_digest).collect();
        let blocks = Blocks { program, linked: &linked, texts: &texts, how: How::Shared(edges.as_deref()) };
        let contents = Contents::of(program);
        let mut outputs = outputs(program);
        let check = |entry| check_entry(blocks, entry, &contents, &mut outputs, threads);
        let checked = program.entries.iter().map(check).collect::<Result<_, _>>()?;
        if check_flow {
            check_written(&outputs)?;
        }
        Ok(Self { program, blocks: linked, texts, checked, check_flow, tape })
    }

    /// The program.
    pub fn program(&self) -> &'a Program<'a> {
        self.program
    }

    pub(crate) fn entry(&self, name: &str) -> Result<&'a Entry, Error> {
        self.numbered(name).map(|(_, entry)| entry)
    }

    pub(crate) fn numbered(&self, name: &str) -> Result<(usize, &'a Entry), Error> {
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
        let checked = &self.checked[index];
        let elapsed = checked.traffic.elapsed(self.program, entry, conditions, 0)?;
        Ok(self.report(entry, checked, elapsed))
    }

    /// The same, expanded: the block of each instance is linked anew, with all its hazards and its flow, as if it stood
    /// there for that instance alone; nothing that linking has found is taken over but the names of who produced what.
    /// Chips are shared among so many threads.
    pub fn time_expanded(&self, entry: &str, conditions: &Conditions, threads: usize) -> Result<Report, Error> {
        let (_, entry) = self.numbered(entry)?;
        let begun = Instant::now();
        let program = self.program;
        let blocks = Blocks { program, linked: &self.blocks, texts: &self.texts, how: How::Anew(self.check_flow) };
        let checked = check_entry(blocks, entry, &Contents::of(program), &mut outputs(program), threads)?;
        let elapsed = checked.traffic.elapsed(program, entry, conditions, 0)?;
        let run_time = begun.elapsed();
        Ok(Report { run_time, ..self.report(entry, &checked, elapsed) })
    }

    /// What the check of an entry found, by its index.
    pub(crate) fn checked(&self, index: usize) -> &Checked {
        &self.checked[index]
    }

    pub(crate) fn report(&self, entry: &Entry, checked: &Checked, elapsed: Elapsed) -> Report {
        Report {
            cycles_predicted: entry.cycles,
            cycles: checked.cycles,
            elapsed,
            trace_digest: checked.digest,
            run_time: Duration::ZERO,
            corrected: 0,
            link_corrected: 0,
            replays: 0,
            counters: count(self.program, &self.blocks, entry),
        }
    }
}

fn text_digest(block: &Block) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for text in &block.queues {
        hasher.update(text.queue.to_string().as_bytes());
        hasher.update(text.insts.as_flattened());
    }
    *hasher.finalize().as_bytes()
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
