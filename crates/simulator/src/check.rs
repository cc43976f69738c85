//! An entry on all its chips: what its instances find on arrival, what crosses its links, and how long it takes. None
//! of it depends on values, so it is checked once, before the first run.

use lockstep_program::program::{BindingKind, Entry, Instance, Program, Word};

use crate::edges::Edges;
use crate::fault::{Fault, FaultKind, Unit};
use crate::link::{LinkedBlock, link};
use crate::state::ChipState;
use crate::threads::each;
use crate::traffic::{Ends, Traffic, check_connected};
use crate::words::{Contents, Writer};

/// A program whose blocks are linked, as far as a check of its entries needs it.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) linked: &'a [LinkedBlock],
    /// What identifies each block's text.
    pub(crate) texts: &'a [[u8; 32]],
    pub(crate) how: How<'a>,
}

/// How an instance comes by its linked block.
#[derive(Clone, Copy)]
pub(crate) enum How<'a> {
    /// All instances of a block share one. What outlives it is compared with these edges, if flow is looked at.
    Shared(Option<&'a [Edges<'a>]>),
    /// Linked anew for each instance, as if the block stood there for it alone; with its flow, if that is looked at.
    Anew(bool),
}

/// What the check of an entry found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) traffic: Traffic,
    pub(crate) cycles: u64,
    /// Of everything that decides when what happens.
    pub(crate) digest: [u8; 32],
}

/// The same of one chip.
struct OfChip {
    cycles: u64,
    ends: Ends,
    /// Whether each of its words of outputs was written.
    written: Vec<bool>,
    digest: [u8; 32],
}

/// A word of an output.
pub(crate) struct Output<'a> {
    word: Word,
    /// Its place in the output, and the output's name.
    place: usize,
    name: &'a str,
    /// Whether some entry writes it.
    written: bool,
}

/// Checks an entry on all chips, whose memory holds `contents`, on so many threads; what it writes of `outputs` is noted.
pub(crate) fn check_entry(
    blocks: Blocks<'_>,
    entry: &Entry,
    contents: &[Contents],
    outputs: &mut [Vec<Output<'_>>],
    threads: usize,
) -> Result<Checked, Fault> {
    let program = blocks.program;
    let instances = entry.by_chip(program.chips);
    let chips = each(contents.len(), threads, |chip| {
        check_chip(blocks, chip as u32, &instances[chip], &contents[chip], &outputs[chip])
    });
    let (mut cycles, mut ends, mut digest) = (0, Vec::with_capacity(contents.len()), blake3::Hasher::new());
    for (chip, outputs) in chips.into_iter().zip(outputs) {
        let chip = chip?;
        outputs.iter_mut().zip(chip.written).for_each(|(output, written)| output.written |= written);
        cycles = cycles.max(chip.cycles);
        digest.update(&chip.digest);
        ends.push(chip.ends);
    }
    check_connected(program, &ends)?;
    let traffic = Traffic::new(program, ends);
    traffic.check(program)?;
    if cycles != entry.cycles {
        let message = format!("entry {} takes {cycles} cycles, predicted were {}", entry.name, entry.cycles);
        return Err(whole(FaultKind::CycleMismatch, 0, cycles, message));
    }
    Ok(Checked { traffic, cycles, digest: *digest.finalize().as_bytes() })
}

fn check_chip(
    blocks: Blocks<'_>,
    chip: u32,
    instances: &[&Instance],
    contents: &Contents,
    outputs: &[Output<'_>],
) -> Result<OfChip, Fault> {
    let mut state = ChipState::new(blocks, contents);
    let mut free_from = 0;
    let mut digest = blake3::Hasher::new();
    for instance in instances {
        let index = instance.block as usize;
        let block = &blocks.program.blocks[index];
        if instance.start < free_from {
            let message = format!("block {} starts before the one before it ends", block.name);
            return Err(whole(FaultKind::Overlap, chip, instance.start, message));
        }
        let anew;
        let (linked, edges) = match blocks.how {
            How::Shared(edges) => (&blocks.linked[index], edges.map(|edges| &edges[index])),
            How::Anew(flow) => {
                anew = link_anew(blocks.program, instance, flow)?;
                (&anew.0, anew.1.as_ref())
            }
        };
        free_from = instance.start + linked.cycles;
        if linked.cycles != block.cycles {
            let message =
                format!("block {} takes {} cycles, predicted were {}", block.name, linked.cycles, block.cycles);
            return Err(whole(FaultKind::CycleMismatch, chip, free_from, message));
        }
        state.run(instance, linked, edges).map_err(|fault| fault.at(chip, instance.start))?;
        digest.update(&blocks.texts[index]);
        for number in [u64::from(chip), instance.start, linked.cycles, linked.driven, linked.hops] {
            digest.update(&number.to_le_bytes());
        }
    }
    let mut written = Vec::new();
    if !matches!(blocks.how, How::Shared(None) | How::Anew(false)) && !instances.is_empty() {
        written = check_outputs(&mut state, outputs)
            .map_err(|message| whole(FaultKind::EmptyRead, chip, free_from, message))?;
    }
    Ok(OfChip { cycles: free_from, ends: state.ends, written, digest: *digest.finalize().as_bytes() })
}

fn link_anew<'a>(
    program: &'a Program<'_>,
    instance: &Instance,
    flow: bool,
) -> Result<(LinkedBlock, Option<Edges<'a>>), Fault> {
    let block = &program.blocks[instance.block as usize];
    let edges = flow.then(|| Edges::new(block));
    let linked = link(block, instance.block, &program.machine, edges.as_ref(), false);
    linked.map(|linked| (linked, edges)).map_err(|fault| fault.at(instance.chip, instance.start))
}

/// All words of outputs, by chip.
pub(crate) fn outputs<'a>(program: &'a Program<'_>) -> Vec<Vec<Output<'a>>> {
    let mut all: Vec<Vec<Output<'_>>> = Vec::new();
    all.resize_with(program.chips as usize, Vec::new);
    for binding in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output) {
        for (place, word) in binding.words.iter().enumerate() {
            all[word.chip as usize].push(Output { word: *word, place, name: &binding.name, written: false });
        }
    }
    all
}

/// All words of a chip's outputs hold something at the end; which of them the entry wrote.
fn check_outputs(state: &mut ChipState<'_>, outputs: &[Output<'_>]) -> Result<Vec<bool>, String> {
    let written = |output: &Output<'_>| match state.writer(output.word) {
        Writer::Nobody => Err(format!("nothing writes word {} of output {}", output.place, output.name)),
        writer => Ok(matches!(writer, Writer::Issue(..))),
    };
    outputs.iter().map(written).collect()
}

/// No output is left to what memory holds before the first run: some entry writes each of its words.
pub(crate) fn check_written(outputs: &[Vec<Output<'_>>]) -> Result<(), Fault> {
    match outputs.iter().flatten().find(|output| !output.written) {
        None => Ok(()),
        Some(Output { word, place, name, .. }) => {
            let message = format!("no entry writes word {place} of output {name}");
            Err(whole(FaultKind::EmptyRead, word.chip, 0, message))
        }
    }
}

fn whole(kind: FaultKind, chip: u32, cycle: u64, message: String) -> Fault {
    Fault { kind, cycle, chip, unit: Unit(None), message }
}
