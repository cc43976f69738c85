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
            for ((to, index), copy) in self.broadcast(rank, &part.values)? {
                let value = received(&mut self.chips[to], &copy)?;
                found[to][part.first + index].push(value);
            }
        }
        let chips = self.chips.iter_mut().zip(found);
        chips.map(|(c, tiles)| tiles.into_iter().map(|parts| joined(c, &parts)).collect()).collect()
    }

    /// Sends values to all other chips; what each of them has then of each of the values. Upper byte planes go first:
    /// the exponents of the largest magnitudes, which all else waits for, depend on them alone.
    fn broadcast(&mut self, from: usize, values: &[Value]) -> Result<BTreeMap<(usize, usize), Received>, Error> {
        let mut copies: BTreeMap<(usize, usize), Received> = BTreeMap::new();
        let Some(first) = self.wires_of(from).first().copied() else { return Ok(copies) };
        let side = self.spec.link_hemisphere(first.out);
        let c = &mut self.chips[from];
        let mut stored = Vec::new();
        for index in c.as_they_come(values.len(), |c, index| c.earliest(values[index])) {
            stored.push((index, c.anywhere(values[index], side)?));
        }
        let sizes: Vec<(u64, usize)> = stored.iter().map(|(_, stored)| (stored.ready, stored.words.len())).collect();
        for (at, plane) in turns(&sizes, self.spec.c2c.vector_cycles.into()) {
            let (index, Stored { words, format, ready }) = &stored[at];
            let others = |to| copies.get(&(to, *index)).map_or(Vec::new(), Received::words);
            for (to, parcel) in self.spread(from, Parcel { word: words[plane], ready: *ready }, others)? {
                let copy = copies.entry((to, *index));
                let copy = copy.or_insert(Received { format: *format, planes: BTreeMap::new() });
                copy.planes.insert(plane, parcel);
            }
        }
        Ok(copies)
    }

    /// Sends a vector to all other chips, to new near words in other slices than those of `others`; where they find it.
    /// To a chip that no link leads to directly, one that has the vector by then sends it on.
    fn spread(
        &mut self,
        from: usize,
        parcel: Parcel,
        others: impl Fn(usize) -> Vec<Word>,
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
                    reached.push((wire.to, self.receive(wire, sent, Target::Beside(&others(wire.to)))?));
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

/// What came of a value, by byte plane.
struct Received {
    format: Format,
    planes: BTreeMap<usize, Parcel>,
}

impl Received {
    fn words(&self) -> Vec<Word> {
        self.planes.values().map(|parcel| parcel.word).collect()
    }
}

/// The order in which byte planes of values are sent, each as the value's place and the plane; of the values it is known
/// when each is ready and how many planes it has, and a plane takes so many cycles. Of those that are ready, upper
/// halves go first.
fn turns(values: &[(u64, usize)], cycles: u64) -> Vec<(usize, usize)> {
    let mut rest: Vec<(usize, bool)> = (0..values.len()).flat_map(|at| [(at, false), (at, true)]).collect();
    let (mut order, mut now) = (Vec::new(), 0);
    while let Some(soonest) = rest.iter().map(|(at, _)| values[*at].0).min() {
        now = soonest.max(now);
        let ready = (0..rest.len()).filter(|index| values[rest[*index].0].0 <= now);
        let Some(next) = ready.min_by_key(|index| (rest[*index].1, values[rest[*index].0].0)) else { break };
        let (at, is_lower) = rest.remove(next);
        let count = values[at].1;
        let planes = if is_lower { 0..count / 2 } else { count / 2..count };
        now += planes.len() as u64 * cycles;
        order.extend(planes.map(|plane| (at, plane)));
    }
    order
}

/// A value that came.
fn received(c: &mut Composer<'_, '_>, received: &Received) -> Result<Value, Error> {
    let stored = |format: Format, first: usize| {
        let planes = || received.planes.range(first..).map(|(_, parcel)| parcel);
        let ready = planes().map(|parcel| parcel.ready).max().unwrap_or_default();
        Stored { words: planes().map(|parcel| parcel.word).collect(), format, ready }
    };
    let value = c.stored(stored(received.format, 0));
    if received.format == Format::F32 {
        let upper = c.stored(stored(Format::I16, 2));
        let rough = c.shift_left(upper, 16)?;
        c.set_rough(value, rough);
    }
    Ok(value)
}

/// Several parts of a vector, each with zeros in the lanes of the others, as one.
fn joined(c: &mut Composer<'_, '_>, parts: &[Value]) -> Result<Value, Error> {
    let order = c.as_they_come(parts.len(), |c, index| c.earliest(parts[index]));
    let or = |c: &mut Composer<'_, '_>, parts: &[Value]| -> Result<Value, Error> {
        let parts: Vec<Value> = order.iter().map(|index| parts[*index]).collect();
        let (first, rest) = parts.split_first().ok_or_else(|| Error::shape("parts of a vector", 0, "one at least"))?;
        rest.iter().try_fold(*first, |joined, part| {
            let joined = c.or(joined, *part)?;
            c.keep_as(joined, Format::F32);
            Ok(joined)
        })
    };
    let roughs: Vec<Value> = parts.iter().map(|part| c.rough(*part)).collect();
    let rough = or(c, &roughs)?;
    let value = or(c, parts)?;
    if roughs != parts {
        c.set_rough(value, rough);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::turns;

    #[test]
    fn upper_halves_go_first_but_do_not_hold_up_what_is_ready() {
        let together = [(0, 2), (0, 3), (1, 2), (1, 3), (0, 0), (0, 1), (1, 0), (1, 1)];
        assert_eq!(turns(&[(5, 4), (5, 4)], 24), together);
        let apart: Vec<(usize, usize)> = (0..2).flat_map(|at| [2, 3, 0, 1].map(|plane| (at, plane))).collect();
        assert_eq!(turns(&[(5, 4), (100, 4)], 24), apart);
        assert_eq!(turns(&[(0, 1), (9, 2)], 24), [(0, 0), (1, 1), (1, 0)]);
    }
}
