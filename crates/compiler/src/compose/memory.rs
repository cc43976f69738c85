//! To memory and back: reads that arrive where and when they are wanted, writes of what flows by, copies of values.

use lockstep_machine::geometry::{Direction, Hemisphere, Position, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Stream;
use lockstep_machine::inst::operand::{Address, AluOp, Destination, Format, Slot};
use lockstep_program::program::Word;

use super::{COPIES, Composer, Producer, Step, Stored, Value};
use crate::error::Error;

/// Identities tried behind a producer to get its value to memory.
const IDENTITIES: usize = 6;

/// New near words anywhere.
pub(crate) const ANY: Target<'static> = Target::Beside(&[]);

/// The words that a value is written to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'t> {
    /// These.
    Fixed(&'t [Word]),
    /// New near ones, in other slices than these.
    Beside(&'t [Word]),
}

impl Composer<'_, '_> {
    /// Reads byte planes so that all arrive at `target` in one cycle, on one stream group.
    pub(crate) fn read(&mut self, stored: &Stored, target: Position, cycle: u64) -> Option<Stream> {
        let align = stored.words.len() as u8;
        let groups = self.spec.streams as u8 / align;
        let numbers: Vec<u8> = (0..groups).rev().map(|group| group * align).collect();
        self.read_words(&stored.words, stored.ready, &numbers, target, cycle)
    }

    /// Reads words, one a stream, so that all arrive at `target` in one cycle; `numbers` are the first streams tried.
    pub(crate) fn read_words(
        &mut self,
        words: &[Word],
        ready: u64,
        numbers: &[u8],
        target: Position,
        cycle: u64,
    ) -> Option<Stream> {
        let direction = if self.slice_position(words.first()?) < target { Direction::East } else { Direction::West };
        for &number in numbers {
            let mark = self.taken.mark();
            let all = words.iter().enumerate().all(|(plane, word)| {
                let stream = Stream { direction, number: number + plane as u8 };
                self.read_word(word, ready, stream, target, cycle)
            });
            if all {
                return Some(Stream { direction, number });
            }
            self.taken.rollback(mark);
        }
        None
    }

    fn read_word(&mut self, word: &Word, ready: u64, stream: Stream, target: Position, cycle: u64) -> bool {
        let from = self.slice_position(word);
        let way = u64::from(from.abs_diff(target)) + u64::from(self.spec.mem.read_delay);
        let Some(issued) = cycle.checked_sub(way).filter(|issued| *issued >= ready) else { return false };
        let slot = Slot::Read(Address { word: word.word, base: 0 }, stream);
        self.taken.issue(Queue::Mem(word.hemisphere, word.slice), issued, memory(word.bank, slot))
            && self.taken.stream(stream, from, issued + u64::from(self.spec.mem.read_delay), target)
    }

    /// Writes a group of streams that appears at `from` in `cycle` to memory.
    pub(crate) fn write(
        &mut self,
        first: Stream,
        format: Format,
        from: Position,
        cycle: u64,
        hemisphere: Hemisphere,
        target: Target<'_>,
    ) -> Option<Stored> {
        let mut words: Vec<Word> = Vec::with_capacity(format.streams().into());
        let mut ready = 0;
        for plane in 0..format.streams() {
            let stream = first.plus(plane);
            let (word, at) = match target {
                Target::Fixed(fixed) => {
                    let word = fixed[usize::from(plane)];
                    (word, self.write_word(&word, stream, from, cycle)?)
                }
                Target::Beside(others) => {
                    let others: Vec<u8> = others.iter().chain(&words).map(|word| word.slice).collect();
                    self.write_near(stream, from, cycle, hemisphere, &others)?
                }
            };
            words.push(word);
            ready = ready.max(at);
        }
        Some(Stored { words, format, ready })
    }

    /// Writes one stream to a new near word in none of the slices `others`.
    fn write_near(
        &mut self,
        stream: Stream,
        from: Position,
        cycle: u64,
        hemisphere: Hemisphere,
        others: &[u8],
    ) -> Option<(Word, u64)> {
        let mut slices = self.layout.value_slices(hemisphere);
        if self.interval.is_some() {
            // The busiest slice bounds a loop's interval.
            slices.sort_by_cached_key(|slice| self.taken.load(Queue::Mem(hemisphere, *slice)));
        }
        let free = slices.iter().filter(|slice| !others.contains(slice));
        free.flat_map(|slice| [(*slice, 0), (*slice, 1)]).find_map(|(slice, bank)| {
            let word = self.layout.next(hemisphere, slice, bank)?;
            let ready = self.write_word(&word, stream, from, cycle)?;
            self.layout.take(word);
            self.steps.push(Step::Word(word));
            Some((word, ready))
        })
    }

    /// Writes one stream to a word; gives the first cycle in which a read finds it.
    fn write_word(&mut self, word: &Word, stream: Stream, from: Position, cycle: u64) -> Option<u64> {
        let to = self.slice_position(word);
        let issued = cycle + u64::from(from.abs_diff(to));
        let slot = Slot::Write(Address { word: word.word, base: 0 }, stream);
        let mark = self.taken.mark();
        let done = self.taken.issue(Queue::Mem(word.hemisphere, word.slice), issued, memory(word.bank, slot))
            && self.taken.stream(stream, from, cycle, to);
        if !done {
            self.taken.rollback(mark);
        }
        done.then_some(issued + u64::from(self.spec.mem.write_delay))
    }

    /// Writes the value to memory from one of its producers; where none has a free way there in its cycle, from an
    /// identity behind it.
    pub(crate) fn spill(&mut self, value: Value, hemisphere: Hemisphere, target: Target<'_>) -> Option<()> {
        let mut tried = 0;
        for _ in 0..IDENTITIES {
            let producers = self.nodes[value.0].producers.clone();
            for producer in &producers[tried..] {
                if self.spill_from(value, *producer, hemisphere, target).is_some() {
                    return Some(());
                }
            }
            tried = producers.len();
            let last = producers.last()?;
            let producer = self.try_alu(AluOp::Identity, &[value.into()], last.appears)?;
            self.add_producer(value, producer);
        }
        None
    }

    pub(super) fn spill_from(
        &mut self,
        value: Value,
        producer: Producer,
        hemisphere: Hemisphere,
        target: Target<'_>,
    ) -> Option<()> {
        let stored = self.leave(producer, self.nodes[value.0].format, hemisphere, target)?;
        self.nodes[value.0].stored.push(stored);
        self.steps.push(Step::Stored(value.0));
        Some(())
    }

    /// Gives a producer a destination, and writes what comes to memory.
    fn leave(
        &mut self,
        producer: Producer,
        format: Format,
        hemisphere: Hemisphere,
        target: Target<'_>,
    ) -> Option<Stored> {
        let direction = hemisphere.outward();
        let inst = self.taken.inst(producer.queue, producer.issued)?;
        let (Inst::Alu { to, .. } | Inst::Reduce { to, .. }) = inst else { return None };
        let east = direction == Direction::East;
        if (east && to.east) || (!east && to.west) || (to != Destination::NONE && to.format != format) {
            return None;
        }
        let groups = self.spec.streams as u8 / format.streams();
        let free: Vec<u8> = (0..groups).rev().map(|group| group * format.streams()).collect();
        let numbers = if to == Destination::NONE { free } else { vec![to.number] };
        numbers.into_iter().find_map(|number| {
            let mark = self.mark();
            let stream = Stream { direction, number };
            let position = self.spec.vxm_position();
            let Some(stored) = self.write(stream, format, position, producer.appears, hemisphere, target) else {
                self.rollback(&mark);
                return None;
            };
            let to = Destination { east: to.east || east, west: to.west || !east, number, format };
            self.taken.replace(producer.queue, producer.issued, with_destination(inst, to));
            Some(stored)
        })
    }

    /// Sees to it that memory holds so many copies of a value that is read often.
    pub(crate) fn spread(&mut self, value: Value, copies: usize) -> Result<(), Error> {
        for side in [Hemisphere::East, Hemisphere::West].into_iter().cycle().take(copies) {
            self.put(value, side, ANY)?;
        }
        Ok(())
    }

    /// The value in memory of a hemisphere.
    pub(crate) fn in_memory(&mut self, value: Value, hemisphere: Hemisphere) -> Result<Stored, Error> {
        let found = |c: &Self| c.nodes[value.0].stored.iter().find(|s| s.hemisphere() == hemisphere).cloned();
        if found(self).is_none() {
            self.put(value, hemisphere, ANY)?;
        }
        found(self).ok_or_else(|| Error::NoSlot { what: "a copy in memory".into(), from: 0, tried: 0 })
    }

    /// The value in memory, wherever it is; of a hemisphere where it is not there yet.
    pub(crate) fn anywhere(&mut self, value: Value, hemisphere: Hemisphere) -> Result<Stored, Error> {
        match self.nodes[value.0].stored.first() {
            Some(stored) => Ok(stored.clone()),
            None => self.in_memory(value, hemisphere),
        }
    }

    /// Copies of values in a hemisphere's memory that can be read in one cycle: no two share a slice.
    pub(crate) fn apart(&mut self, values: &[Value], hemisphere: Hemisphere) -> Result<Vec<Stored>, Error> {
        self.apart_below(values, hemisphere, u8::MAX)
    }

    /// A word in each near slice from `limit` on.
    pub(crate) fn outer_words(&self, hemisphere: Hemisphere, limit: u8) -> Vec<Word> {
        (limit..self.layout.values.end).map(|slice| Word { chip: 0, hemisphere, slice, bank: 0, word: 0 }).collect()
    }

    /// As [`Self::apart`], all in slices below `limit`.
    pub(crate) fn apart_below(
        &mut self,
        values: &[Value],
        hemisphere: Hemisphere,
        limit: u8,
    ) -> Result<Vec<Stored>, Error> {
        let outer = self.outer_words(hemisphere, limit);
        let mut chosen: Vec<Stored> = Vec::new();
        for value in values {
            self.in_memory(*value, hemisphere)?;
            let mut found = None;
            for _ in 0..COPIES {
                let copies = &self.nodes[value.0].stored;
                let taken = |word: &Word| chosen.iter().flat_map(|s| &s.words).any(|other| other.slice == word.slice);
                let inside = |word: &Word| word.slice < limit && !taken(word);
                let fits = |s: &&Stored| s.hemisphere() == hemisphere && s.words.iter().all(inside);
                found = copies.iter().find(fits).cloned();
                if found.is_some() {
                    break;
                }
                let others = outer.iter().chain(chosen.iter().flat_map(|s| &s.words)).copied().collect::<Vec<_>>();
                self.put(*value, hemisphere, Target::Beside(&others))?;
            }
            chosen.push(found.ok_or_else(|| Error::NoSlot {
                what: "copies in different slices".into(),
                from: 0,
                tried: COPIES as u64,
            })?);
        }
        Ok(chosen)
    }

    /// The value in memory of a hemisphere, in other slices than these: where it is, or where least else is done.
    pub(crate) fn output(&mut self, value: Value, side: Hemisphere, others: &[Word]) -> Result<Stored, Error> {
        let fits = |stored: &&Stored| {
            let apart = |word: &Word| others.iter().all(|other| other.slice != word.slice);
            stored.hemisphere() == side && stored.words.iter().all(apart)
        };
        if self.nodes[value.0].producers.is_empty() || !self.nodes[value.0].stored.iter().any(|s| fits(&s)) {
            self.put(value, side, Target::Beside(others))?;
        }
        let found = self.nodes[value.0].stored.iter().rfind(fits);
        found.map(|stored| Stored { ready: 0, ..stored.clone() }).ok_or_else(|| Error::NoSlot {
            what: "a copy in memory".into(),
            from: 0,
            tried: 0,
        })
    }

    /// Copies a vector to memory of the other side, past the vector unit.
    pub(crate) fn carry(&mut self, word: Word, ready: u64) -> Result<Stored, Error> {
        let (from, direction) = (self.slice_position(&word), word.hemisphere.inward());
        let side = if word.hemisphere == Hemisphere::West { Hemisphere::East } else { Hemisphere::West };
        self.first("a copy", ready, |c, cycle| {
            let appears = cycle + u64::from(c.spec.mem.read_delay);
            (0..c.spec.streams as u8).rev().find_map(|number| {
                let mark = c.mark();
                let stream = Stream { direction, number };
                let read = memory(word.bank, Slot::Read(Address { word: word.word, base: 0 }, stream));
                let stored = c.write(stream, Format::I8, from, appears, side, ANY);
                let taken = stored.filter(|_| c.taken.issue(Queue::Mem(word.hemisphere, word.slice), cycle, read));
                if taken.is_none() {
                    c.rollback(&mark);
                }
                taken
            })
        })
    }

    /// Writes the value to fixed words.
    pub(crate) fn write_to(&mut self, value: Value, words: &[Word]) -> Result<(), Error> {
        self.put(value, words[0].hemisphere, Target::Fixed(words))
    }

    pub(crate) fn put(&mut self, value: Value, hemisphere: Hemisphere, target: Target<'_>) -> Result<(), Error> {
        if self.spill(value, hemisphere, target).is_some() {
            return Ok(());
        }
        // Once more through an ALU, whose output is free to go there.
        let earliest = self.earliest(value);
        let mut attempt = |c: &mut Self, cycle| {
            let producer = c.try_alu(AluOp::Identity, &[value.into()], cycle)?;
            c.add_producer(value, producer);
            c.spill_from(value, producer, hemisphere, target)
        };
        self.first("a copy", earliest, &mut attempt).or_else(|_| self.first_repeating("a copy", earliest, attempt))
    }
}

/// A memory instruction with one slot in use.
fn memory(bank: u8, slot: Slot) -> Inst {
    if bank == 0 { Inst::Mem { bank0: slot, bank1: Slot::Idle } } else { Inst::Mem { bank0: Slot::Idle, bank1: slot } }
}

fn with_destination(inst: Inst, to: Destination) -> Inst {
    match inst {
        Inst::Alu { op, a, b, c, imm, .. } => Inst::Alu { op, a, b, c, imm, to },
        Inst::Reduce { op, a, boundary, lanes, first, last, .. } => {
            Inst::Reduce { op, a, boundary, lanes, first, last, to }
        }
        other => other,
    }
}
