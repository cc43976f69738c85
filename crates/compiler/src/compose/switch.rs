//! Moves between lanes through the switch units, and memory by index.

use lockstep_machine::geometry::{Hemisphere, Position, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Address, Format, LaneMap};
use lockstep_program::program::Word;

use super::memory::Target;
use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::place::layout::Run;

/// A table of one byte plane, its rows dealt round some of the slices of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) run: Run,
    /// The run's slice of row 0, and the step from row to row.
    pub(crate) offset: usize,
    pub(crate) step: usize,
    pub(crate) log2_interleave: u32,
    /// Rows.
    pub(crate) count: u32,
}

impl Table {
    /// A table in all slices of a run.
    pub(crate) fn new(run: Run, count: usize) -> Self {
        let log2_interleave = u32::from(run.width).trailing_zeros();
        Self { run, offset: 0, step: 1, log2_interleave, count: count as u32 }
    }

    /// The first word of each slice, by the residue of the rows in it.
    fn slices(&self) -> Vec<Word> {
        (0..1 << self.log2_interleave).map(|residue| self.run.word(self.offset + residue * self.step)).collect()
    }
}

impl Composer<'_, '_> {
    /// Takes each lane from a lane of its own superlane.
    pub(crate) fn distribute(&mut self, value: Value, map: LaneMap) -> Result<Value, Error> {
        let from = self.anywhere(value, Hemisphere::East)?;
        let delay = self.spec.sxm.distribute_delay;
        let planes = from.format.streams();
        let make = |inputs: &[Stream], to| {
            let streams = Uint::new(planes.into())?;
            Some(Inst::Distribute { map, streams, from: inputs[0], to })
        };
        let format = from.format;
        let stored = self.switch(&[from], format, delay, &[], &make)?;
        Ok(self.stored(stored))
    }

    /// Takes the bytes of each lane from the lanes that `maps` name, one map for each byte plane of the result.
    pub(crate) fn permute(&mut self, value: Value, maps: &[Value], format: Format) -> Result<Value, Error> {
        let side = self.anywhere(value, Hemisphere::East)?.hemisphere();
        let delay = self.spec.sxm.permute_delay + self.spec.stagger();
        let make =
            |inputs: &[Stream], to| Some(Inst::Permute { map: inputs[0], streams: Uint::new(1)?, from: inputs[1], to });
        let mut stored = Stored { words: Vec::new(), format, ready: 0 };
        for map in maps {
            let copies = self.apart(&[*map, value], side)?;
            let plane = self.switch(&copies, Format::U8, delay, &stored.words, &make)?;
            stored.words.extend(plane.words);
            stored.ready = stored.ready.max(plane.ready);
        }
        Ok(self.stored(stored))
    }

    /// One pass through a switch unit: operands from memory, results to memory, in other slices than `beside`.
    fn switch(
        &mut self,
        inputs: &[Stored],
        format: Format,
        delay: u32,
        beside: &[Word],
        make: &impl Fn(&[Stream], Stream) -> Option<Inst>,
    ) -> Result<Stored, Error> {
        let side = inputs[0].hemisphere();
        let position = self.spec.position(Queue::Sxm(side, 0));
        let from = inputs.iter().map(|input| input.ready).max().unwrap_or_default();
        self.first("switch unit", from, |c, cycle| {
            let queues = 0..c.spec.sxm.queues_per_hemisphere as u8;
            let queue = queues.map(|index| Queue::Sxm(side, index)).find(|queue| c.taken.is_free(*queue, cycle))?;
            let streams = inputs.iter().map(|input| c.read(input, position, cycle)).collect::<Option<Vec<_>>>()?;
            let (to, stored) = c.bring_in(position, cycle + u64::from(delay), side, format, beside)?;
            c.taken.issue(queue, cycle, make(&streams, to)?).then_some(stored)
        })
    }

    /// Takes inward streams from `position` to near memory, in other slices than `beside`.
    fn bring_in(
        &mut self,
        position: Position,
        cycle: u64,
        side: Hemisphere,
        format: Format,
        beside: &[Word],
    ) -> Option<(Stream, Stored)> {
        let align = format.streams();
        let groups = self.spec.streams as u8 / align;
        (0..groups).rev().find_map(|group| {
            let mark = self.mark();
            let to = Stream { direction: side.inward(), number: group * align };
            let stored = self.write(to, format, position, cycle, side, Target::Beside(beside));
            if stored.is_none() {
                self.rollback(&mark);
            }
            stored.map(|stored| (to, stored))
        })
    }

    /// Slices from which streams flow outward past all of a table's slices.
    fn inner_slices(&self, table: &Table) -> u8 {
        self.layout.inner(table.run.first_slice)
    }

    /// A copy of the value from which streams reach all of a table's slices.
    fn inside(&mut self, value: Value, table: &Table) -> Result<Stored, Error> {
        let (side, limit) = (table.run.hemisphere, self.inner_slices(table));
        let fits = |stored: &&Stored| stored.hemisphere() == side && stored.words.iter().all(|word| word.slice < limit);
        if self.copies(value).iter().find(fits).is_none() {
            let others = self.outer_words(side, limit);
            self.put(value, side, Target::Beside(&others))?;
        }
        let found = self.copies(value).iter().find(fits).cloned();
        found.ok_or_else(|| Error::NoSlot { what: "an index inside its table".into(), from: 0, tried: 0 })
    }

    /// As [`Self::gather`], but once for all that ask for the same.
    pub(crate) fn gathered(&mut self, index: Value, tables: &[Table], format: Format) -> Result<Value, Error> {
        let key = (index, tables[0].run);
        if let Some((_, value)) = self.gathered.iter().find(|(known, _)| *known == key) {
            return Ok(*value);
        }
        let value = self.gather(index, tables, format)?;
        self.gathered.push((key, value));
        Ok(value)
    }

    /// Reads the row that `index` names, in each byte plane's table; all tables are in one hemisphere.
    pub(crate) fn gather(&mut self, index: Value, tables: &[Table], format: Format) -> Result<Value, Error> {
        let innermost = tables.iter().min_by_key(|table| self.inner_slices(table)).unwrap_or(&tables[0]);
        let index = self.inside(index, innermost)?;
        let mut stored = Stored { words: Vec::new(), format, ready: 0 };
        for tables in apart(tables) {
            let planes =
                self.first("gather", index.ready, |c, cycle| c.try_gather(&index, tables, &stored.words, cycle))?;
            stored.words.extend(planes.words);
            stored.ready = stored.ready.max(planes.ready);
        }
        Ok(self.stored(stored))
    }

    /// Gathers so that what the slices give meets at the vector unit's register in one cycle, each plane on a stream;
    /// slices of one register share the index.
    fn try_gather(&mut self, index: &Stored, tables: &[Table], beside: &[Word], arrives: u64) -> Option<Stored> {
        let mut stored = Stored { words: Vec::new(), format: Format::U8, ready: 0 };
        let mut streams: Vec<(Position, Stream)> = Vec::new();
        for table in tables {
            let beside = [beside, &stored.words].concat();
            let plane = self.try_gather_plane(index, table, &beside, arrives, &mut streams)?;
            stored.words.extend(plane.words);
            stored.ready = stored.ready.max(plane.ready);
        }
        Some(stored)
    }

    /// One plane of it; `streams` are where the index flows by already.
    fn try_gather_plane(
        &mut self,
        index: &Stored,
        table: &Table,
        beside: &[Word],
        arrives: u64,
        streams: &mut Vec<(Position, Stream)>,
    ) -> Option<Stored> {
        let side = table.run.hemisphere;
        let slices = table.slices();
        let positions: Vec<Position> = slices.iter().map(|word| self.slice_position(word)).collect();
        let outermost = *positions.iter().max_by_key(|position| self.distance(**position))?;
        let issued_at = |c: &Self, position| {
            arrives
                .checked_sub(u64::from(c.spec.mem.gather_delay) + c.distance(position))
                .filter(|at| *at >= index.ready)
        };
        let starts = issued_at(self, outermost)? + u64::from(self.spec.mem.gather_delay);
        // What the innermost slices give passes no slice of their own register.
        let outer = self.outer_words(side, self.inner_slices(table));
        let (to, stored) = self.bring_in(outermost, starts, side, Format::U8, &[beside, &outer].concat())?;
        for (residue, (word, position)) in slices.iter().zip(&positions).enumerate() {
            let issued = issued_at(self, *position)?;
            let known = streams.iter().find(|(at, _)| at == position).map(|(_, stream)| *stream);
            let index = if let Some(stream) = known {
                stream
            } else {
                let stream = self.read(index, *position, issued)?;
                streams.push((*position, stream));
                stream
            };
            let inst = Inst::Gather {
                index,
                address: Address { word: word.word, base: 0 },
                bank: Uint::new(word.bank.into())?,
                log2_interleave: Uint::new(table.log2_interleave)?,
                residue: Uint::new(residue as u32)?,
                count: Uint::new(table.count)?,
                quiet: table.log2_interleave > 0,
                to,
            };
            if !self.taken.issue(Queue::Mem(side, word.slice), issued, inst) {
                return None;
            }
        }
        Some(stored)
    }

    /// Writes a value's byte planes into the row that `index` names; each plane has its table. Gives the first cycle in
    /// which reads find it.
    pub(crate) fn scatter(&mut self, index: Value, value: Value, tables: &[Table]) -> Result<u64, Error> {
        let (side, limit) = (tables[0].run.hemisphere, self.inner_slices(&tables[0]));
        let both: u8 = [index, value].iter().map(|value| self.nodes[value.0].format.streams()).sum();
        let copies = if both <= limit {
            self.apart_below(&[index, value], side, limit)?
        } else {
            // Too few slices for both; what comes from the other side passes all of this one.
            let other = if side == Hemisphere::West { Hemisphere::East } else { Hemisphere::West };
            vec![self.inside(index, &tables[0])?, self.in_memory(value, other)?]
        };
        let from = copies.iter().map(|copy| copy.ready).max().unwrap_or_default();
        self.first("scatter", from, |c, cycle| c.try_scatter(&copies[0], &copies[1], tables, cycle))
    }

    /// Scatters a row that reaches the outermost slice in `cycle`; the index flows beside it.
    fn try_scatter(&mut self, index: &Stored, value: &Stored, tables: &[Table], cycle: u64) -> Option<u64> {
        let side = tables[0].run.hemisphere;
        let all = tables.iter().flat_map(Table::slices).map(|word| self.slice_position(&word));
        let outermost = all.max_by_key(|position| self.distance(*position))?;
        let index = self.read(index, outermost, cycle)?;
        let first = self.read(value, outermost, cycle)?;
        for (plane, table) in tables.iter().enumerate() {
            for (residue, word) in table.slices().iter().enumerate() {
                let inst = Inst::Scatter {
                    index,
                    address: Address { word: word.word, base: 0 },
                    bank: Uint::new(word.bank.into())?,
                    log2_interleave: Uint::new(table.log2_interleave)?,
                    residue: Uint::new(residue as u32)?,
                    count: Uint::new(table.count)?,
                    from: first.plus(plane as u8),
                };
                let issued = cycle - u64::from(self.slice_position(word).abs_diff(outermost));
                if !self.taken.issue(Queue::Mem(side, word.slice), issued, inst) {
                    return None;
                }
            }
        }
        Some(cycle + u64::from(self.spec.mem.write_delay))
    }
}

/// The byte planes in groups, each as long as its tables are in different slices: a slice gathers once a cycle.
fn apart(tables: &[Table]) -> impl Iterator<Item = &[Table]> {
    let mut rest = tables;
    std::iter::from_fn(move || {
        let mut seen: Vec<u8> = Vec::new();
        let new = |table: &&Table| {
            let slices: Vec<u8> = table.slices().iter().map(|word| word.slice).collect();
            let is_new = slices.iter().all(|slice| !seen.contains(slice));
            seen.extend(slices);
            is_new
        };
        let count = rest.iter().take_while(new).count();
        let (group, after) = rest.split_at(count);
        rest = after;
        (count > 0).then_some(group)
    })
}
