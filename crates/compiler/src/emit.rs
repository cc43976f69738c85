//! The last pass: blocks, their instances, memory and bindings become a program.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::Queue;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, BindingKind, Word};

use crate::chips::Chips;
use crate::clock::Clock;
use crate::error::Error;
use crate::handover::Planner;
use crate::place::contents::Port;
use crate::schedule::Schedule;
use crate::team::{Shape, Team};
use crate::{Objective, Options, Part};

/// A run of a block on one of some chips, by its place among them, and how far its bases move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) place: usize,
    pub(crate) block: usize,
    pub(crate) offsets: [i32; BASES],
}

/// Runs that begin together.
pub(crate) type Step = Vec<Run>;

/// A step on given chips.
pub(crate) type Placed = Vec<(u32, Run)>;

/// An entry by its name: for each sequence the steps of its token.
type Planned = (String, Vec<Vec<Placed>>);

/// What a chip has of a vector that the host knows by a name, and where the tiles of it are on all chips.
type Joined<'p> = (&'p Port, Vec<(usize, Vec<Word>)>);

/// Schedules all blocks and puts them together: an entry for each number of tiles of positions.
pub(crate) fn emit(
    options: &Options,
    chips: Chips<'_>,
    mut teams: Vec<Team<'_>>,
    buckets: &[usize],
) -> Result<Program<'static>, Error> {
    let spec = chips.machine();
    let mut blocks = Vec::new();
    // Chips of other teams have time to pass vectors on as long as there is one sequence.
    let detours = options.sequences() == 1 && options.objective == Objective::Latency;
    let handovers = Planner::new(chips, &teams, detours).all(&mut blocks)?;
    let entries = entries(options, spec, (&teams, &handovers), buckets, &mut blocks)?;
    let mut program = ProgramBuilder::new(&options.name, spec);
    program.chips(chips.count());
    images(&mut program, &mut teams);
    bindings(&mut program, spec, &teams);
    let runs = entries.iter().flat_map(|(_, sequences)| sequences.iter().flatten().flatten());
    links(&mut program, chips, runs.map(|(chip, run)| (*chip, &blocks[run.block])));
    instances(&mut program, &Clock::new(chips, &teams), &blocks, entries)?;
    program.finish().map_err(|violations| Error::Unlawful(violations.iter().map(ToString::to_string).collect()))
}

/// All entries with their steps; teams of one shape share their blocks.
fn entries<'s>(
    options: &Options,
    spec: &'s MachineSpec,
    (teams, handovers): (&[Team<'_>], &[Placed]),
    buckets: &[usize],
    blocks: &mut Vec<BlockBuilder<'s>>,
) -> Result<Vec<Planned>, Error> {
    let mut schedules: BTreeMap<Shape, Schedule<'_, '_, '_>> = BTreeMap::new();
    for team in teams {
        if let Entry::Vacant(entry) = schedules.entry(team.shape()) {
            entry.insert(Schedule::new(spec, team, options.sequences(), blocks)?);
        }
    }
    let mut entries = Vec::new();
    if let [team] = teams
        && let Some(steps) = schedules[&team.shape()].prefill(blocks)?
    {
        let all = steps.iter().map(|step| on_chips(step, &team.group.chips)).collect();
        entries.push((format!("prefill.{}", spec.lanes()), vec![all]));
    }
    for tiles in buckets {
        let positions = *tiles * spec.lanes() as usize;
        let name = match options.part {
            Part::Layer if buckets.len() == 1 => "layer".into(),
            Part::Layer => format!("layer.{positions}"),
            Part::Model => format!("decode.{positions}"),
        };
        let mut sequences = decode((teams, handovers), &schedules, *tiles, options.sequences(), blocks)?;
        if options.sequences() > 1 {
            entries.push((format!("{name}x{}", options.sequences()), sequences.clone()));
        }
        sequences.truncate(1);
        entries.push((name, sequences));
    }
    Ok(entries)
}

/// For each sequence the steps of a token through all teams.
fn decode<'s>(
    (teams, handovers): (&[Team<'_>], &[Placed]),
    schedules: &BTreeMap<Shape, Schedule<'s, '_, '_>>,
    tiles: usize,
    sequences: usize,
    blocks: &mut Vec<BlockBuilder<'s>>,
) -> Result<Vec<Vec<Placed>>, Error> {
    let mut known: BTreeMap<Shape, Vec<Vec<Step>>> = BTreeMap::new();
    let mut all: Vec<Vec<Placed>> = vec![Vec::new(); sequences];
    for (index, team) in teams.iter().enumerate() {
        if let Some(handover) = index.checked_sub(1).map(|before| &handovers[before]) {
            for steps in &mut all {
                steps.push(handover.clone());
            }
        }
        let steps = match known.entry(team.shape()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(schedules[&team.shape()].decode(tiles, blocks)?),
        };
        for (all, steps) in all.iter_mut().zip(steps) {
            all.extend(steps.iter().map(|step| on_chips(step, &team.group.chips)));
        }
    }
    Ok(all)
}

fn on_chips(step: &[Run], chips: &[u32]) -> Placed {
    step.iter().map(|run| (chips[run.place], *run)).collect()
}

/// What each chip's memory holds; equal names are told apart by a number.
fn images(program: &mut ProgramBuilder<'static>, teams: &mut [Team<'_>]) {
    let mut named = BTreeMap::new();
    for team in teams {
        for (rank, chip) in team.ranks.iter_mut().zip(&team.group.chips) {
            for image in std::mem::take(&mut rank.placed.contents.images) {
                let before = *named.entry(image.name.clone()).and_modify(|count| *count += 1).or_insert(0);
                let name = if before == 0 { image.name } else { format!("{}#{before}", image.name) };
                program.image(&name, Word { chip: *chip, ..image.first }, image.vectors, image.content);
            }
        }
    }
}

/// Each input once, with a copy for every chip that reads it, and each output of the parts that the chips have.
fn bindings(program: &mut ProgramBuilder<'static>, spec: &MachineSpec, teams: &[Team<'_>]) {
    let mut named: Vec<Joined<'_>> = Vec::new();
    let ranks = teams.iter().flat_map(|team| team.ranks.iter().zip(&team.group.chips));
    for (rank, chip) in ranks {
        for port in &rank.placed.contents.ports {
            let on_chip = |words: &[Word]| words.iter().map(|word| Word { chip: *chip, ..*word }).collect();
            let tiles = port.tiles.iter().map(|(tile, words)| (*tile, on_chip(words)));
            match named.iter_mut().find(|(known, _)| known.name == port.name) {
                Some((_, held)) => held.extend(tiles),
                None => named.push((port, tiles.collect())),
            }
        }
    }
    for (port, mut tiles) in named {
        let mut elements = port.elements as u32;
        if port.kind == BindingKind::Output {
            tiles.sort_by_key(|(tile, _)| *tile);
        } else if tiles.len() > port.tiles.len() {
            elements = tiles.len() as u32 * spec.lanes();
        }
        let words: Vec<Word> = tiles.into_iter().flat_map(|(_, words)| words).collect();
        program.binding(&port.name, port.kind, port.format, elements, words);
    }
}

/// The cables over which anything is sent by some blocks, each with its chip: a program asks for no others.
pub(crate) fn links<'b>(
    program: &mut ProgramBuilder<'static>,
    chips: Chips<'_>,
    blocks: impl Iterator<Item = (u32, &'b BlockBuilder<'b>)>,
) {
    let send = |queue| if let Queue::Send(link) = queue { Some(link) } else { None };
    let sending: BTreeSet<(u32, u8)> =
        blocks.flat_map(|(chip, block)| block.queues().filter_map(send).map(move |link| (chip, link))).collect();
    for cable in chips.cables().iter().filter(|cable| sending.contains(&(cable.from_chip, cable.from_link))) {
        program.link((cable.from_chip, cable.from_link), (cable.to_chip, cable.to_link));
    }
}

/// Puts each step where the one before it has ended and its chips have nothing else to do: what other sequences do
/// meanwhile, they do on other chips.
fn instances(
    program: &mut ProgramBuilder<'static>,
    clock: &Clock<'_>,
    blocks: &[BlockBuilder<'_>],
    entries: Vec<Planned>,
) -> Result<(), Error> {
    let mut added = |block| {
        let number = program.block(block);
        (number, program.program().blocks[number as usize].cycles)
    };
    let blocks: Vec<(u32, u64)> = blocks.iter().map(&mut added).collect();
    for (name, sequences) in entries {
        let entry = program.entry(&name);
        let align = |program: &mut ProgramBuilder<'static>, chip: u32, now: u64, cycles: u64| {
            let block = program.block(&clock.block(cycles)?);
            program.instance(entry, block, chip, now, [0; BASES]);
            Ok::<_, Error>(now + cycles)
        };
        // From when on a chip is free, and when its clock was aligned.
        let mut free: BTreeMap<u32, u64> = BTreeMap::new();
        let mut aligned: BTreeMap<u32, u64> = BTreeMap::new();
        for (chip, cycles) in clock.start() {
            let end = align(program, chip, 0, cycles)?;
            free.insert(chip, end);
            aligned.insert(chip, end);
        }
        for steps in sequences {
            let mut now = 0;
            for step in steps {
                let chips = step.iter().map(|(chip, _)| chip);
                now = chips.clone().filter_map(|chip| free.get(chip)).fold(now, |now, free| now.max(*free));
                let cycles = step.iter().map(|(_, run)| blocks[run.block].1).max().unwrap_or_default();
                // What one chip does alone needs no clock but its own.
                if step.len() > 1 {
                    let (begin, chips) = clock.align(chips, now, cycles, (&free, &aligned))?;
                    for chip in chips {
                        aligned.insert(chip, align(program, chip, begin - clock.epoch(), clock.epoch())?);
                    }
                    now = begin;
                }
                for (chip, run) in &step {
                    program.instance(entry, blocks[run.block].0, *chip, now, run.offsets);
                    free.insert(*chip, now + blocks[run.block].1);
                }
                now += cycles;
            }
        }
    }
    Ok(())
}
