//! Blocks of several chips that begin in one cycle, and the vectors that the chips send each other.
//!
//! Nothing on a link waits for anything: a vector is sent in a cycle, and taken so many cycles later that it has come
//! however slow the link and however far apart the clocks may be.

use std::collections::BTreeMap;

use lockstep_machine::access::{drift_slack, exchange_cycles};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Stream;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::Word;

use super::memory::Target;
use super::{Composer, Stored, Value};
use crate::error::Error;

/// A one-way link between two chips of an ensemble, by their places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wire {
    pub(crate) from: usize,
    pub(crate) out: u8,
    pub(crate) to: usize,
    pub(crate) into: u8,
}

/// What each chip has of a value: the vectors of the whole that it has, first to last, and those vectors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) first: usize,
    pub(crate) values: Vec<Value>,
}

/// A vector that is to be sent: where it lies, and from when on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) word: Word,
    pub(crate) ready: u64,
}

/// Writes a block for each of several chips.
pub(crate) struct Ensemble<'a, 'l> {
    pub(crate) chips: Vec<Composer<'a, 'l>>,
    spec: &'a MachineSpec,
    wires: Vec<Wire>,
    /// From when on the sending side of a chip's link is free, and what was taken last at a receiving side.
    free: BTreeMap<(usize, u8), u64>,
    taken: BTreeMap<(usize, u8), u64>,
    /// Whether the clocks of all chips are aligned when the blocks begin.
    aligned: bool,
}

impl<'a, 'l> Ensemble<'a, 'l> {
    pub(crate) fn new(chips: Vec<Composer<'a, 'l>>, spec: &'a MachineSpec, wires: Vec<Wire>) -> Self {
        Self { chips, spec, wires, free: BTreeMap::new(), taken: BTreeMap::new(), aligned: false }
    }

    /// Blocks that begin when the clocks of all chips have just been aligned: receives allow for the drift since, not
    /// for the most that there may be.
    pub(crate) fn aligned(self) -> Self {
        Self { aligned: true, ..self }
    }

    /// The blocks.
    pub(crate) fn finish(self) -> Result<Vec<BlockBuilder<'a>>, Error> {
        self.chips.into_iter().map(Composer::finish).collect()
    }

    /// The side by which a link leaves a chip.
    pub(crate) fn link_side(&self, link: u8) -> Hemisphere {
        self.spec.link_hemisphere(link)
    }

    /// A link to each chip that one leads to, in the order of the chips.
    fn wires_of(&self, from: usize) -> Vec<Wire> {
        let mut wires: Vec<Wire> = self.wires.iter().filter(|wire| wire.from == from).copied().collect();
        wires.sort_by_key(|wire| (wire.to, wire.out));
        wires.dedup_by_key(|wire| wire.to);
        wires
    }

    /// Gives every chip all of a value of which each has a part. A vector of which several chips have lanes is the
    /// bitwise or of what they have, since each has zeros in the lanes of the others.
    pub(crate) fn gather(&mut self, parts: &[Part]) -> Result<Vec<Vec<Value>>, Error> {
        let tiles = parts.iter().map(|part| part.first + part.values.len()).max().unwrap_or_default();
        let mut found: Vec<Vec<Vec<Value>>> = vec![vec![Vec::new(); tiles]; parts.len()];
        for (rank, part) in parts.iter().enumerate() {
            for (index, value) in part.values.iter().enumerate() {
                found[rank][part.first + index].push(*value);
            }
        }
        for (rank, part) in parts.iter().enumerate() {
            let mut order: Vec<usize> = (0..part.values.len()).collect();
            order.sort_by_key(|index| self.chips[rank].earliest(part.values[*index]));
            for index in order {
                for (to, copy) in self.broadcast(rank, part.values[index])? {
                    let value = self.chips[to].stored(copy);
                    found[to][part.first + index].push(value);
                }
            }
        }
        let chips = self.chips.iter_mut().zip(found);
        chips.map(|(c, tiles)| tiles.into_iter().map(|parts| joined(c, &parts)).collect()).collect()
    }

    /// Sends a value to all other chips; where they find it.
    fn broadcast(&mut self, from: usize, value: Value) -> Result<Vec<(usize, Stored)>, Error> {
        let Some(first) = self.wires_of(from).first().copied() else { return Ok(Vec::new()) };
        let stored = self.chips[from].in_memory(value, self.spec.link_hemisphere(first.out))?;
        let mut copies: BTreeMap<usize, Stored> = BTreeMap::new();
        for word in &stored.words {
            let parcel = Parcel { word: *word, ready: stored.ready };
            for (to, one) in self.spread(from, parcel, &copies)? {
                let copy = copies.entry(to);
                let copy = copy.or_insert(Stored { words: Vec::new(), format: stored.format, ready: 0 });
                copy.words.push(one.word);
                copy.ready = copy.ready.max(one.ready);
            }
        }
        Ok(copies.into_iter().collect())
    }

    /// Sends a vector to all other chips, to new near words in other slices than those of copies that they have; where
    /// they find it. To a chip that no link leads to directly, one that has the vector by then sends it on.
    fn spread(
        &mut self,
        from: usize,
        parcel: Parcel,
        copies: &BTreeMap<usize, Stored>,
    ) -> Result<Vec<(usize, Parcel)>, Error> {
        let mut arrived: Vec<(usize, Parcel)> = Vec::new();
        let mut missing: Vec<usize> = (0..self.chips.len()).filter(|chip| *chip != from).collect();
        let mut holders = vec![(from, parcel)];
        while !missing.is_empty() {
            let mut reached = Vec::new();
            for (holder, parcel) in std::mem::take(&mut holders) {
                let wires = self.wires_of(holder);
                let wires: Vec<Wire> = wires.into_iter().filter(|wire| missing.contains(&wire.to)).collect();
                missing.retain(|chip| !wires.iter().any(|wire| wire.to == *chip));
                for (wire, sent) in self.send(parcel, &wires)? {
                    let others = copies.get(&wire.to).map_or(&[][..], |copy| &copy.words);
                    reached.push((wire.to, self.receive(wire, sent, Target::Beside(others))?));
                }
            }
            if reached.is_empty() {
                return Err(Error::shape("chips of a group", format!("{missing:?} not reached"), "links among them"));
            }
            holders.clone_from(&reached);
            arrived.extend(reached);
        }
        Ok(arrived)
    }

    /// Sends a vector over several links of a chip: over those of a side together that are free together. Gives the
    /// cycles of the sends.
    pub(crate) fn send(&mut self, parcel: Parcel, wires: &[Wire]) -> Result<Vec<(Wire, u64)>, Error> {
        let mut together: BTreeMap<(Hemisphere, u64), Vec<Wire>> = BTreeMap::new();
        for wire in wires {
            let position = self.spec.position(Queue::Send(wire.out));
            let from = self.chips[wire.from].slice_position(&parcel.word);
            let way = u64::from(from.abs_diff(position) + self.spec.mem.read_delay);
            let free = self.free.get(&(wire.from, wire.out)).copied().unwrap_or_default();
            let begin = (parcel.ready + way).max(free);
            together.entry((self.spec.link_hemisphere(wire.out), begin)).or_default().push(*wire);
        }
        let mut sent = Vec::new();
        let numbers: Vec<u8> = (0..self.spec.streams as u8).rev().collect();
        for ((_, begin), wires) in together {
            let position = self.spec.position(Queue::Send(wires[0].out));
            let c = &mut self.chips[wires[0].from];
            let cycle = c.first("a send", begin, |c, cycle| {
                let from = c.read_words(&[parcel.word], parcel.ready, &numbers, position, cycle)?;
                let all = wires.iter().all(|wire| c.taken.issue(Queue::Send(wire.out), cycle, Inst::Send { from }));
                all.then_some(cycle)
            })?;
            for wire in wires {
                self.free.insert((wire.from, wire.out), cycle + u64::from(self.spec.c2c.vector_cycles));
                sent.push((wire, cycle));
            }
        }
        Ok(sent)
    }

    /// The cycle in which a vector that was sent in another has come however slow the link and far apart the clocks may
    /// be.
    fn arrival(&self, sent: u64) -> u64 {
        let at_once = sent + u64::from(exchange_cycles(self.spec));
        let most = u64::from(self.spec.c2c.slack_max_cycles);
        // The clocks drift during the wait, too.
        let suffices = |slack: &u64| self.aligned && drift_slack(self.spec, at_once + slack) <= *slack;
        at_once + (0..most).find(suffices).unwrap_or(most)
    }

    /// Takes a vector that was sent in a cycle, and writes it to memory of the side where it comes.
    pub(crate) fn receive(&mut self, wire: Wire, sent: u64, target: Target<'_>) -> Result<Parcel, Error> {
        let queue = Queue::Receive(wire.into);
        let (from, side) = (self.spec.position(queue), self.spec.link_hemisphere(wire.into));
        let arrives = self.arrival(sent);
        let last = self.taken.get(&(wire.to, wire.into)).map_or(0, |last| last + 1);
        let side = match target {
            Target::Fixed(words) => words.first().map_or(side, |word| word.hemisphere),
            Target::Beside(_) => side,
        };
        let direction = self.spec.link_hemisphere(wire.into).inward();
        let (cycle, stored) = self.chips[wire.to].first("a receive", arrives.max(last), |c, cycle| {
            let appears = cycle + u64::from(c.spec.c2c.receive_delay);
            (0..c.spec.streams as u8).rev().find_map(|number| {
                let mark = c.mark();
                let to = Stream { direction, number };
                let stored = c.write(to, Format::I8, from, appears, side, target);
                let taken = stored.filter(|_| c.taken.issue(queue, cycle, Inst::Receive { to }));
                if taken.is_none() {
                    c.rollback(&mark);
                }
                taken.map(|stored| (cycle, stored))
            })
        })?;
        self.taken.insert((wire.to, wire.into), cycle);
        Ok(Parcel { word: stored.words[0], ready: stored.ready })
    }
}

/// Several parts of a vector, each with zeros in the lanes of the others, as one.
fn joined(c: &mut Composer<'_, '_>, parts: &[Value]) -> Result<Value, Error> {
    let (first, rest) = parts.split_first().ok_or_else(|| Error::shape("parts of a vector", 0, "one at least"))?;
    rest.iter().try_fold(*first, |joined, part| {
        let joined = c.or(joined, *part)?;
        c.keep_as(joined, Format::F32);
        Ok(joined)
    })
}
