//! Matrix units: loading tiles, activating them, and what comes out.

use lockstep_machine::access::scale_vectors;
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Half, Orientation, TileKind};
use lockstep_program::program::Word;

use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::place::tiles::{Outputs, Tile, TileFormat, Tiled, Vectors, load_width};

/// What a plane is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plane {
    codebook: Option<[i8; 16]>,
    /// From here on the buffer can take the next tile.
    buffer_free: u64,
    /// The last cycle in which the array is in use.
    array_used: u64,
    /// From here on activations find the tile installed last.
    installed: u64,
    /// Rows of accumulators given out.
    rows: Vec<Row>,
    /// Those whose values are no longer wanted.
    free: Vec<u16>,
}

/// A row of accumulators.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// The last cycle in which it was drained.
    drained: u64,
    /// The first cycle in which a new sum can begin in it.
    from: u64,
}

/// Vectors of a tile in memory, in loads of up to `width` vectors.
pub(crate) struct Load<'v> {
    pub(crate) words: &'v [Word],
    /// Words taken a load, and words a vector.
    pub(crate) width: usize,
    pub(crate) each: usize,
    /// The first cycle in which a read finds them.
    pub(crate) ready: u64,
}

/// One activation.
pub(crate) struct Activation<'v> {
    pub(crate) kind: TileKind,
    pub(crate) half: Half,
    pub(crate) row: u16,
    pub(crate) first: bool,
    /// When the row could be drained so far: what is added to a row comes after what clears it.
    pub(crate) ready: u64,
    /// The vector, in the plane's hemisphere.
    pub(crate) vector: &'v Stored,
    /// A of the groups.
    pub(crate) scale: Option<&'v Stored>,
}

/// A quantised vector: the contract's a, A and E, tile by tile.
#[derive(Clone, Debug)]
pub(crate) struct Quantized {
    pub(crate) codes: Vec<Value>,
    pub(crate) scales: Vec<Value>,
    pub(crate) exponent: Value,
}

impl Plane {
    /// Rows of accumulators given out.
    pub(crate) fn rows(&self) -> u16 {
        self.rows.len() as u16
    }
}

impl Composer<'_, '_> {
    pub(crate) fn plane_hemisphere(&self, plane: u8) -> Hemisphere {
        self.spec.plane_hemisphere(plane)
    }

    /// A row of accumulators that nothing else uses: a new one, or the one that has been free for longest.
    pub(crate) fn new_row(&mut self, plane: u8) -> Result<u16, Error> {
        let (state, most) = (&mut self.planes[usize::from(plane)], self.spec.mxm.accumulator_rows);
        if state.rows.len() < most as usize {
            state.rows.push(Row::default());
            return Ok(state.rows.len() as u16 - 1);
        }
        let oldest = (0..state.free.len()).min_by_key(|at| state.rows[usize::from(state.free[*at])].from);
        let found = oldest.map(|at| state.free.swap_remove(at));
        found.ok_or_else(|| Error::shape("rows of accumulators in use", most + 1, format!("at most {most}")))
    }

    /// Notes that a row was drained in a cycle.
    pub(crate) fn drained(&mut self, plane: u8, row: u16, cycle: u64) {
        let row = &mut self.planes[usize::from(plane)].rows[usize::from(row)];
        row.drained = row.drained.max(cycle);
    }

    /// Gives back the row of a value that has been read for the last time from its accumulators.
    pub(crate) fn release(&mut self, value: Value) {
        let Some((plane, number)) = self.leave_row(value) else { return };
        let state = &mut self.planes[usize::from(plane)];
        let row = &mut state.rows[usize::from(number)];
        row.from = row.drained + 1;
        state.free.push(number);
    }

    /// Reads words onto consecutive streams and issues on the load queue what takes them.
    fn load_once(
        &mut self,
        plane: u8,
        words: &[Word],
        align: u8,
        ready: u64,
        cycle: u64,
        inst: &impl Fn(Stream) -> Option<Inst>,
    ) -> Option<()> {
        let queue = Queue::Load(plane);
        let last = (self.spec.streams as usize).checked_sub(words.len())? as u8;
        let numbers: Vec<u8> = (0..=last / align).map(|at| at * align).collect();
        let from = self.read_words(words, ready, &numbers, self.spec.position(queue), cycle)?;
        let inst = inst(from)?;
        self.taken.issue(queue, cycle, inst).then_some(())
    }

    /// How many of the first of some words can be read for a load in a cycle, as far as their slices go.
    fn readable(&self, plane: u8, words: &[Word], cycle: u64) -> usize {
        let target = self.spec.position(Queue::Load(plane));
        let is_taken = |word: &Word| {
            let way = u64::from(self.slice_position(word).abs_diff(target) + self.spec.mem.read_delay);
            cycle.checked_sub(way).is_some_and(|at| !self.taken.is_free(Queue::Mem(word.hemisphere, word.slice), at))
        };
        words.iter().position(is_taken).unwrap_or(words.len())
    }

    /// Loads all vectors with instructions that `inst` makes of the first vector, the words taken and the stream.
    pub(crate) fn load(
        &mut self,
        plane: u8,
        load: &Load<'_>,
        inst: impl Fn(usize, usize, Stream) -> Option<Inst> + Copy,
    ) -> Result<(), Error> {
        let (mut next, mut done) = (self.planes[usize::from(plane)].buffer_free, 0);
        while done < load.words.len() {
            let chunk = &load.words[done..(done + load.width).min(load.words.len())];
            let make = |streams| move |from| inst(done / load.each, streams, from);
            (next, done) = self.first(&format!("load of plane {plane}"), next, |c, cycle| {
                // What another plane reads in this cycle ends the chunk, and the next one begins where that has been.
                let words = &chunk[..c.readable(plane, chunk, cycle) / load.each * load.each];
                let taken = c.load_once(plane, words, load.each as u8, load.ready, cycle, &make(words.len()));
                taken.map(|()| (cycle + 1, done + words.len()))
            })?;
        }
        self.planes[usize::from(plane)].buffer_free = next;
        Ok(())
    }

    /// Makes what was loaded the array, once the array before it has done its work.
    pub(crate) fn install(&mut self, plane: u8, kind: TileKind) -> Result<(), Error> {
        let state = &self.planes[usize::from(plane)];
        let from = state.buffer_free.max(state.array_used + 1);
        let cycle = self.first(&format!("install in plane {plane}"), from, |c, cycle| {
            c.taken.issue(Queue::Load(plane), cycle, Inst::Install { kind }).then_some(cycle)
        })?;
        let state = &mut self.planes[usize::from(plane)];
        (state.buffer_free, state.installed, state.array_used) = (cycle + 1, cycle + 1, cycle);
        Ok(())
    }

    /// Multiplies a vector by the array; gives the first cycle in which its row can be drained.
    pub(crate) fn activate(&mut self, plane: u8, what: &Activation<'_>) -> Result<u64, Error> {
        self.activate_all(&[plane], what)
    }

    /// The same for several planes of a hemisphere, which take the vector from one stream.
    pub(crate) fn activate_all(&mut self, planes: &[u8], what: &Activation<'_>) -> Result<u64, Error> {
        let installed = planes.iter().map(|plane| self.planes[usize::from(*plane)].installed).max().unwrap_or_default();
        let before = (what.ready + 2).saturating_sub(self.spec.mxm.result_delay.into());
        let cleared =
            planes.iter().map(|plane| self.planes[usize::from(*plane)].rows[usize::from(what.row)].from).max();
        let from = installed.max(if what.first { cleared.unwrap_or_default() } else { before });
        let cycle = self
            .first(&format!("activation of planes {planes:?}"), from, |c, cycle| c.try_activate(planes, what, cycle))?;
        let last = cycle + u64::from(what.kind.activation_cycles()) - 1;
        for plane in planes {
            let state = &mut self.planes[usize::from(*plane)];
            state.array_used = state.array_used.max(last);
        }
        Ok(last + u64::from(self.spec.mxm.result_delay) - 1)
    }

    fn try_activate(&mut self, planes: &[u8], what: &Activation<'_>, cycle: u64) -> Option<u64> {
        // All planes of a hemisphere have one register.
        let target = self.spec.position(Queue::Activate(*planes.first()?));
        for plane in planes {
            for at in cycle..cycle + u64::from(what.kind.activation_cycles()) {
                let both = what.kind.takes_pair();
                if !self.taken.port(*plane, at) || (both && !self.taken.port(plane + 1, at)) {
                    return None;
                }
            }
        }
        let from = self.read(what.vector, target, cycle)?;
        let scale = match what.scale {
            Some(scale) => self.read(scale, target, cycle)?,
            None => Stream { number: 0, ..from },
        };
        let row = Uint::new(what.row.into())?;
        let Activation { kind, half, first, .. } = *what;
        let inst = Inst::Activate { kind, half, row, first, from, scale };
        planes.iter().all(|plane| self.taken.issue(Queue::Activate(*plane), cycle, inst)).then_some(cycle)
    }

    /// The product of a matrix and a quantised vector, in f32, tile by tile; `exponents` are those of its rows.
    pub(crate) fn matmul(&mut self, matrix: &Tiled, exponents: &[Stored], x: &Quantized) -> Result<Vec<Value>, Error> {
        let (per_load, kind) = (matrix.format.inputs_per_load(), matrix.format.kind);
        // Sums are exact: they may begin with what comes first.
        let comes = |c: &Self, input: usize| c.earliest(x.codes[input]).max(c.earliest(x.scales[input]));
        let inputs = |load: usize| load * per_load..((load + 1) * per_load).min(matrix.inputs);
        let complete = |c: &Self, load| inputs(load).map(|input| comes(c, input)).max().unwrap_or_default();
        let order = self.as_they_come(matrix.inputs.div_ceil(per_load), complete);
        let mut results = Vec::new();
        for (outputs, exponents) in matrix.outputs.iter().zip(exponents) {
            let plane = outputs.plane;
            let side = self.plane_hemisphere(plane);
            self.load_codebook(plane, matrix.format)?;
            let row = self.new_row(plane)?;
            let mut ready = 0;
            for &load in &order {
                self.load_tile(outputs, matrix.format, &outputs.tiles[load])?;
                self.install(plane, kind)?;
                for input in inputs(load) {
                    let copies = self.apart(&[x.codes[input], x.scales[input]], side)?;
                    let (vector, scale) = (&copies[0], Some(&copies[1]));
                    let half = if input % per_load == 0 { Half::Low } else { Half::High };
                    ready = self.activate(
                        plane,
                        &Activation {
                            kind,
                            half,
                            row,
                            first: load == order[0] && input % per_load == 0,
                            ready,
                            vector,
                            scale,
                        },
                    )?;
                }
            }
            let sum = self.accumulated(plane, row, ready);
            let exponents = self.stored(exponents.clone());
            let exponent = self.beside(sum, 3, |c| c.iadd(exponents, x.exponent))?;
            results.push(self.ldexp(sum, exponent)?);
            self.release(sum);
        }
        Ok(results)
    }

    pub(crate) fn load_codebook(&mut self, plane: u8, format: TileFormat) -> Result<(), Error> {
        let Some(codes) = format.codebook else { return Ok(()) };
        let state = &self.planes[usize::from(plane)];
        let known = self.codebooks.iter().find(|(known, _)| *known == codes);
        let (false, Some((_, copies))) = (state.codebook == Some(codes), known) else { return Ok(()) };
        let (from, word) = (state.buffer_free, copies[usize::from(plane)].word(0));
        let next = self.first("load of a codebook", from, |c, cycle| {
            c.load_once(plane, &[word], 1, 0, cycle, &|from| Some(Inst::Codebook { from })).map(|()| cycle + 1)
        })?;
        let state = &mut self.planes[usize::from(plane)];
        (state.buffer_free, state.codebook) = (next, Some(codes));
        Ok(())
    }

    /// Loads one of the tiles of some outputs.
    pub(crate) fn load_tile(&mut self, outputs: &Outputs, format: TileFormat, tile: &Tile) -> Result<(), Error> {
        let Outputs { plane, first: from_row, .. } = *outputs;
        let words =
            |at: Vectors| -> Vec<Word> { (at.first..at.first + at.count).map(|index| at.run.word(index)).collect() };
        let TileFormat { kind, offsets, .. } = format;
        // A run over all far slices serves the planes of its side together.
        let most = load_width(self.spec, self.layout.far);
        let width = |at: Vectors| {
            let run = usize::from(at.run.width);
            if run <= self.spec.mxm.load_streams as usize { run } else { most }
        };
        let (codes, width_of_scales) = (words(tile.codes), width(tile.scales));
        let width = width(tile.codes);
        self.load(plane, &Load { words: &codes, width, each: 1, ready: 0 }, |first, streams, from| {
            let (first, streams) = (Uint::new((from_row + first) as u32)?, Uint::new(streams as u32)?);
            Some(Inst::Load { kind, orientation: Orientation::Row, half: Half::Low, first, streams, from })
        })?;
        let (scales, width) = (words(tile.scales), width_of_scales);
        debug_assert!(scales.len() <= scale_vectors(kind, offsets, self.spec) as usize);
        self.load(plane, &Load { words: &scales, width, each: 1, ready: 0 }, |first, streams, from| {
            let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
            Some(Inst::Scale { kind, offsets, first, streams, from })
        })
    }
}
