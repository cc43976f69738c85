//! Small changes to a program, for tests of what finds mistakes: verifier and simulator must reject whatever matters.
//!
//! A change touches one instruction, with its repetitions. What the program claims stays: flow, imports, cycles, phases.
//! All other instructions keep their cycles and their places in their texts, so that a mutant is rejected for what it
//! does, never because claims are about instructions that have moved up in the list; an instruction that changes places
//! with a `nop` takes the claims about it along. A text with few `nop`s leaves no room for that: [`spaced`] makes it.

mod change;

use std::borrow::Cow;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::{Class, INST_BYTES, Inst};

use crate::derive::derive;
use crate::program::{Block, Content, Image, IssueId, Origin, Program};

pub use change::Change;
use change::Machine;

/// One change to one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mutation {
    /// The block, by its index.
    pub block: u32,
    /// The queue.
    pub queue: Queue,
    /// The instruction's place in the queue's text.
    pub inst: u32,
    /// What becomes of it.
    pub change: Change,
}

/// All mutations that a program has, in the order of block, queue and instruction.
pub fn mutations(program: &Program<'_>) -> Vec<Mutation> {
    let mut all = Vec::new();
    for (index, block) in program.blocks.iter().enumerate() {
        let machine = Machine::new(program, index);
        for text in &block.queues {
            for inst in 0..text.insts.len() {
                let possible = |change: &Change| change_text(&text.insts, inst, *change, &machine).is_some();
                let mutation = |change| Mutation { block: index as u32, queue: text.queue, inst: inst as u32, change };
                all.extend(Change::ALL.iter().copied().filter(possible).map(mutation));
            }
        }
    }
    all
}

/// `count` of the mutations, chosen by a seed, in their order; all of them where they are fewer.
pub fn sample(mut mutations: Vec<Mutation>, count: usize, seed: u64) -> Vec<Mutation> {
    let mut state = seed;
    for at in 0..count.min(mutations.len()) {
        let left = (mutations.len() - at) as u64;
        mutations.swap(at, at + (random(&mut state) % left) as usize);
    }
    mutations.truncate(count);
    mutations.sort_unstable();
    mutations
}

/// The next number of a seed: `SplitMix64`.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The program with one change; `None` where the change is not possible. Images are not copied.
pub fn apply<'p>(program: &'p Program<'_>, mutation: &Mutation) -> Option<Program<'p>> {
    let block = program.blocks.get(mutation.block as usize)?;
    let text = block.queues.iter().position(|text| text.queue == mutation.queue)?;
    let insts = &block.queues[text].insts;
    let machine = Machine::new(program, mutation.block as usize);
    let (changed, place) = change_text(insts, mutation.inst as usize, mutation.change, &machine)?;
    let mut mutant = borrowed(program);
    mutant.blocks[mutation.block as usize].queues[text].insts = changed;
    if place != mutation.inst as usize {
        renumber(&mut mutant, mutation, place as u32);
    }
    Some(mutant)
}

/// The same program in time, with every `nop` in so many parts that all instructions beside it have one of a cycle next
/// to them. `None` where the longer texts break a rule, or the program broke one before.
pub fn spaced<'p>(program: &'p Program<'_>) -> Option<Program<'p>> {
    let mut spaced = borrowed(program);
    for text in spaced.blocks.iter_mut().flat_map(|block: &mut Block| &mut block.queues) {
        let mut insts = Vec::with_capacity(text.insts.len());
        for bytes in &text.insts {
            match Inst::decode(*bytes) {
                Ok(Inst::Nop { cycles }) if cycles.get() > 1 => {
                    insts.push(nop(1)?);
                    if cycles.get() > 2 {
                        insts.push(nop(cycles.get() - 2)?);
                    }
                    insts.push(nop(1)?);
                }
                _ => insts.push(*bytes),
            }
        }
        text.insts = insts;
    }
    derive(&mut spaced).ok()?;
    Some(spaced)
}

/// A copy that shares the bytes of the images.
fn borrowed<'p>(program: &'p Program<'_>) -> Program<'p> {
    let content = |content: &'p Content<'_>| match content {
        Content::Bytes(bytes) => Content::Bytes(Cow::Borrowed(&**bytes)),
        Content::Zero => Content::Zero,
        Content::Absent => Content::Absent,
    };
    let image = |image: &'p Image<'_>| Image {
        name: image.name.clone(),
        first: image.first,
        vectors: image.vectors,
        content: content(&image.content),
    };
    Program {
        name: program.name.clone(),
        machine: program.machine.clone(),
        arithmetic_version: program.arithmetic_version,
        chips: program.chips,
        links: program.links.clone(),
        images: program.images.iter().map(image).collect(),
        bindings: program.bindings.clone(),
        blocks: program.blocks.clone(),
        entries: program.entries.clone(),
    }
}

/// Claims about the mutated instruction follow it to another place in its text.
fn renumber(program: &mut Program<'_>, mutation: &Mutation, place: u32) {
    let moved = |id: &mut IssueId| {
        if id.queue == mutation.queue && id.inst == mutation.inst {
            id.inst = place;
        }
    };
    let moved_origin = |origin: &mut Origin| {
        if let Origin::Issue { block, id, .. } = origin
            && *block == mutation.block
        {
            moved(id);
        }
    };
    let flow = &mut program.blocks[mutation.block as usize].flow;
    for edge in flow.iter_mut() {
        moved(&mut edge.reader);
        moved_origin(&mut edge.origin);
    }
    flow.sort_unstable();
    let instances = program.entries.iter_mut().flat_map(|entry| &mut entry.instances);
    instances.flat_map(|instance| &mut instance.imports).for_each(moved_origin);
}

type Insts = Vec<[u8; INST_BYTES]>;

fn nop(cycles: u32) -> Option<[u8; INST_BYTES]> {
    (cycles > 0).then_some(Inst::Nop { cycles: Uint::new(cycles)? }.encode())
}

/// The cycles of a `nop` at this place.
fn idle_at(insts: &[[u8; INST_BYTES]], place: Option<usize>) -> Option<u32> {
    match Inst::decode(*insts.get(place?)?) {
        Ok(Inst::Nop { cycles }) => Some(cycles.get()),
        _ => None,
    }
}

/// The changed text, and where the instruction is in it.
fn change_text(
    insts: &[[u8; INST_BYTES]],
    place: usize,
    change: Change,
    machine: &Machine<'_>,
) -> Option<(Insts, usize)> {
    let inst = Inst::decode(*insts.get(place)?).ok()?;
    if inst.class() == Class::Control && !matches!(inst, Inst::Fetch { .. }) {
        return None;
    }
    let repeat = insts.get(place + 1).and_then(|bytes| Inst::decode(*bytes).ok());
    let repeat = repeat.filter(|inst| matches!(inst, Inst::Repeat { .. }));
    let after = place + 1 + usize::from(repeat.is_some());
    let mut changed = insts.to_vec();
    match change {
        Change::Earlier => return earlier(changed, place, after),
        Change::Later => return later(changed, place, after),
        Change::Drop => {
            changed[place] = nop(1)?;
            if let Some(Inst::Repeat { count, every, .. }) = repeat {
                changed[place + 1] = nop(count.get().checked_mul(every.get())?)?;
            }
        }
        Change::FewerIssues => fewer(&mut changed, place + 1, repeat?)?,
        Change::LongerStride | Change::SteeperRows => {
            changed[place + 1] = change::of_repeat(repeat?, inst.class(), change)?.encode();
        }
        _ => changed[place] = change::of_inst(inst, change, machine)?.encode(),
    }
    Some((changed, place))
}

/// An instruction and its repetitions a cycle earlier: the `nop` before them comes after them, or gives a cycle to the
/// one that does.
fn earlier(mut insts: Insts, place: usize, after: usize) -> Option<(Insts, usize)> {
    let before = place.checked_sub(1);
    match (idle_at(&insts, before)?, idle_at(&insts, Some(after))) {
        (1, _) => {
            insts[place - 1..after].rotate_left(1);
            return Some((insts, place - 1));
        }
        (cycles, Some(rest)) => {
            insts[place - 1] = nop(cycles - 1)?;
            insts[after] = nop(rest.checked_add(1)?)?;
        }
        (cycles, None) if after == insts.len() => insts[place - 1] = nop(cycles - 1)?,
        _ => return None,
    }
    Some((insts, place))
}

/// The same, a cycle later. The last of a text needs no room after it.
fn later(mut insts: Insts, place: usize, after: usize) -> Option<(Insts, usize)> {
    let before = idle_at(&insts, place.checked_sub(1));
    match (before, idle_at(&insts, Some(after))) {
        (_, Some(1)) => {
            insts[place..=after].rotate_right(1);
            return Some((insts, place + 1));
        }
        (Some(cycles), Some(rest)) => {
            insts[place - 1] = nop(cycles.checked_add(1)?)?;
            insts[after] = nop(rest - 1)?;
        }
        (Some(cycles), None) if after == insts.len() => insts[place - 1] = nop(cycles.checked_add(1)?)?,
        (None, None) if after == insts.len() => {
            insts.insert(place, nop(1)?);
            return Some((insts, place + 1));
        }
        _ => return None,
    }
    Some((insts, place))
}

/// One repetition less; what follows keeps its cycles if there is a `nop` to fill the time, or nothing follows.
fn fewer(insts: &mut [[u8; INST_BYTES]], place: usize, repeat: Inst) -> Option<()> {
    let Inst::Repeat { count, every, word_stride, row_stride } = repeat else { return None };
    let after = idle_at(insts, Some(place + 1));
    if count.get() == 1 {
        insts[place] = nop(every.get())?;
        return Some(());
    }
    match after {
        Some(cycles) => insts[place + 1] = nop(cycles.checked_add(every.get())?)?,
        None if place + 1 == insts.len() => {}
        None => return None,
    }
    let count = Uint::new(count.get() - 1)?;
    insts[place] = Inst::Repeat { count, every, word_stride, row_stride }.encode();
    Some(())
}
