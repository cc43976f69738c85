//! A section for many tokens at once: loops over the tokens, each a block of its own.
//!
//! A loop's body is the code for one token, scheduled once; its turns begin an interval apart, as short as the units
//! allow. What goes from loop to loop lies in arrays in memory, a word for each token. A matrix's tiles are loaded once
//! and multiply all tokens. Keys and values of all tokens are written to the cache before the first score is computed;
//! what a token must not see is masked.

use std::cell::{Cell, RefCell};

use lockstep_arith::vector_block::{HEAD_BITS, key_bits};
use lockstep_graph::Op;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Format, Half, Orientation, TileKind};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::Word;

use super::attention::{Attention, HALVES, load_keys, load_values, softmax};
use super::cache::{Place, broadcast, cache_tables};
use super::matrix::{Activation, Load, Quantized};
use super::memory::Target;
use super::section::Code;
use super::timeline::Timeline;
use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::network::Section;
use crate::place::BatchPorts;
use crate::place::layout::{Layout, Run};
use crate::place::tiles::Outputs;

/// Both sides of the vector unit.
const SIDES: [Hemisphere; 2] = [Hemisphere::West, Hemisphere::East];
/// Intervals above this are given up.
const INTERVAL_MAX: u64 = 2000;

/// How many identities may keep an output: what is tried for each interval.
const KEPT: [usize; 3] = [5, 3, 8];
/// From how many near slices the search for words begins.
const TURNS: u32 = 5;

/// Copies of a value in memory, one a token each.
type Copies = Vec<Stored>;

/// A quantised value in memory: by tile, in both hemispheres.
#[derive(Clone, Debug)]
struct QuantizedArrays {
    codes: Vec<Copies>,
    scales: Vec<Copies>,
    exponent: Copies,
}

/// What all loops need.
#[derive(Clone, Copy)]
pub(crate) struct Loops<'s, 'b, 'l> {
    pub(crate) spec: &'s MachineSpec,
    pub(crate) layout: &'l Layout,
    pub(crate) codebooks: &'b [([i8; 16], Vec<Run>)],
    pub(crate) turns: u32,
    pub(crate) name: &'l str,
}

/// Where loops of one kind were found to fit: others begin the search there.
pub(crate) type Found = RefCell<Vec<Option<Try>>>;

/// One way to schedule a loop's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    interval: u64,
    /// Identities that may keep an output.
    identities: usize,
    /// Where near words are sought first.
    turn: u32,
}

impl<'s, 'b> Loops<'s, 'b, '_> {
    /// Schedules a loop with the shortest interval that is found.
    fn schedule(
        &self,
        found: &mut Option<Try>,
        body: impl Fn(&mut Composer<'s, 'b>) -> Result<(), Error>,
    ) -> Result<Composer<'s, 'b>, Error> {
        let composer = |interval| {
            let mut c = Composer::new(self.name, self.spec, self.layout, self.codebooks, interval);
            c.layout.set_turns(self.turns);
            c
        };
        let attempt = |what: Try| {
            let mut c = composer(Some(what.interval));
            c.identities = what.identities;
            c.layout.turn_by(what.turn);
            match body(&mut c) {
                Ok(()) => Ok(Some(c)),
                Err(Error::NoSlot { .. }) if what.interval < INTERVAL_MAX => Ok(None),
                Err(error) => Err(error),
            }
        };
        let mut interval = if let Some(what) = *found {
            if let Some(c) = attempt(what)? {
                return Ok(c);
            }
            what.interval
        } else {
            let mut once = composer(None);
            body(&mut once)?;
            once.taken.least_interval().max(1)
        };
        loop {
            for turn in 0..TURNS {
                for identities in KEPT {
                    let what = Try { interval, identities, turn };
                    if let Some(c) = attempt(what)? {
                        *found = Some(what);
                        return Ok(c);
                    }
                }
            }
            interval += (interval / 24).max(1);
        }
    }

    /// A block of one loop.
    pub(crate) fn block(
        &self,
        body: impl Fn(&mut Composer<'s, 'b>) -> Result<(), Error>,
    ) -> Result<BlockBuilder<'s>, Error> {
        let c = self.schedule(&mut None, body)?;
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.looped(c, self.turns);
        timeline.finish()
    }
}

/// Whether there is code for a section's attention for many tokens at once.
pub(crate) fn is_covered(section: &Section) -> bool {
    section.heads.as_ref().is_none_or(|heads| heads.vectors() == 1 && heads.size <= heads.lanes() / 2)
}

/// A section in the making.
pub(crate) struct Batch<'s, 'b> {
    pub(crate) spec: &'s MachineSpec,
    pub(crate) code: &'b Code<'b>,
    /// Its near values are arrays.
    pub(crate) layout: Layout,
    pub(crate) codebooks: &'b [([i8; 16], Vec<Run>)],
    pub(crate) turns: u32,
    pub(crate) name: &'b str,
    /// Each token's position.
    pub(crate) position: &'b Stored,
    /// Where the loops of an equal section fit, and how many loops there are so far.
    found: &'b Found,
    loops: Cell<usize>,
    blocks: Vec<BlockBuilder<'s>>,
    /// For each node the tiles of its value, where it is in memory.
    values: Vec<Option<Vec<Copies>>>,
    quantized: Vec<Option<QuantizedArrays>>,
    /// Nodes that the next loop computes.
    pending: Vec<usize>,
}

/// A matrix's tile of outputs, and what becomes of it.
struct Job<'b> {
    outputs: &'b Outputs,
    weight: usize,
    exponents: &'b Stored,
    bias: Option<&'b Stored>,
    to: Stored,
}

impl<'s, 'b> Batch<'s, 'b> {
    pub(crate) fn new(
        spec: &'s MachineSpec,
        code: &'b Code<'b>,
        layout: &Layout,
        codebooks: &'b [([i8; 16], Vec<Run>)],
        ports: &'b BatchPorts,
        found: &'b Found,
    ) -> Self {
        let mut layout = layout.clone();
        layout.set_turns(ports.tokens);
        let nodes = code.section.nodes.len();
        Self {
            spec,
            code,
            layout,
            codebooks,
            turns: ports.tokens,
            name: "layer",
            position: &ports.position,
            found,
            loops: Cell::new(0),
            blocks: Vec::new(),
            values: vec![None; nodes],
            quantized: vec![None; nodes],
            pending: Vec::new(),
        }
    }

    /// The blocks that compute the section from x to where its value goes.
    pub(crate) fn run(mut self, x: &[Stored], to: &[Stored]) -> Result<Vec<BlockBuilder<'s>>, Error> {
        let nodes = &self.code.section.nodes;
        self.values[0] = Some(x.iter().map(|x| vec![x.clone()]).collect());
        let mut index = 1;
        while index < nodes.len() {
            match nodes[index].op {
                Op::MatMul { .. } => {
                    let input = nodes[index].inputs[0].0 as usize;
                    self.flush(&[])?;
                    self.quantize(input)?;
                    let same = |at: &usize| {
                        matches!(nodes[*at].op, Op::MatMul { .. }) && nodes[*at].inputs[0].0 as usize == input
                    };
                    let group: Vec<usize> = (index..nodes.len()).take_while(same).collect();
                    self.multiply(input, &group)?;
                    index += group.len();
                }
                Op::Attention { .. } => {
                    self.attend(index)?;
                    index += 1;
                }
                _ => {
                    self.pending.push(index);
                    index += 1;
                }
            }
        }
        self.flush(to)?;
        Ok(self.blocks)
    }

    /// Schedules a loop with the shortest interval that is found.
    fn schedule(&self, body: impl Fn(&mut Composer<'s, 'b>) -> Result<(), Error>) -> Result<Composer<'s, 'b>, Error> {
        let Self { spec, codebooks, turns, name, .. } = *self;
        let index = self.loops.get();
        self.loops.set(index + 1);
        let mut found = self.found.borrow().get(index).copied().flatten();
        let c = Loops { spec, layout: &self.layout, codebooks, turns, name }.schedule(&mut found, body)?;
        let mut all = self.found.borrow_mut();
        let count = all.len().max(index + 1);
        all.resize(count, None);
        all[index] = found;
        Ok(c)
    }

    fn straight(&self) -> Composer<'s, 'b> {
        Composer::new(self.name, self.spec, &self.layout, self.codebooks, None)
    }

    /// Memory for a value that loops hand on.
    fn array(&mut self, side: Hemisphere, format: Format) -> Result<Stored, Error> {
        let words = self.layout.near_words("values of all tokens", side, format)?;
        Ok(Stored { words, format, ready: 0 })
    }

    fn place(&self, c: &mut Composer<'s, 'b>) -> Result<Place, Error> {
        let position = c.stored(self.position.clone());
        Ok(Place { position, length: c.iadd(position, 1)? })
    }

    /// The values of all nodes that are in memory.
    fn loaded(&self, c: &mut Composer<'s, 'b>) -> Vec<Vec<Value>> {
        let tiles = |tiles: &Option<Vec<Copies>>| tiles.iter().flatten().map(|copies| c.copied(copies)).collect();
        self.values.iter().map(tiles).collect()
    }

    /// Computes pending nodes in a body.
    fn compute(&self, c: &mut Composer<'s, 'b>, pending: &[usize], values: &mut [Vec<Value>]) -> Result<(), Error> {
        let place = self.place(c)?;
        for node in pending {
            values[*node] = self.code.node(c, *node, values, &mut [], place)?;
        }
        Ok(())
    }

    /// Computes pending nodes in a loop; the last one's value goes `to` somewhere, the others that are still wanted to
    /// new arrays.
    fn flush(&mut self, to: &[Stored]) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        let Some(last) = pending.last().copied() else { return Ok(()) };
        let mut outputs: Vec<(usize, Vec<Stored>)> = Vec::new();
        let mut quantized: Vec<(usize, QuantizedArrays)> = Vec::new();
        for &node in &pending {
            let (matrix, other) = self.wanted(node, last);
            if matrix {
                quantized.push((node, self.quantized_arrays(node)?));
            }
            if node == last && !to.is_empty() {
                outputs.push((node, to.to_vec()));
            } else if other {
                let tiles = self.tiles(node);
                let arrays =
                    (0..tiles).map(|tile| self.array(SIDES[tile % 2], Format::F32)).collect::<Result<_, _>>()?;
                outputs.push((node, arrays));
            }
        }
        let this = &*self;
        let body = |c: &mut Composer<'s, 'b>| {
            let mut values = this.loaded(c);
            this.compute(c, &pending, &mut values)?;
            for (node, arrays) in &quantized {
                let x = c.quantize(&values[*node])?;
                write_quantized(c, &x, arrays)?;
            }
            for (node, arrays) in &outputs {
                for (value, array) in values[*node].iter().zip(arrays) {
                    c.write_to(*value, &array.words)?;
                }
            }
            Ok(())
        };
        let c = self.schedule(body)?;
        self.push(c)?;
        for (node, arrays) in outputs {
            self.values[node] = Some(arrays.into_iter().map(|array| vec![array]).collect());
        }
        for (node, arrays) in quantized {
            self.quantized[node] = Some(arrays);
        }
        Ok(())
    }

    fn push(&mut self, c: Composer<'s, 'b>) -> Result<(), Error> {
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.looped(c, self.turns);
        self.blocks.push(timeline.finish()?);
        Ok(())
    }

    /// Whether a node behind `last` multiplies the node's value by a matrix, and whether one does something else with it.
    fn wanted(&self, node: usize, last: usize) -> (bool, bool) {
        let nodes = &self.code.section.nodes;
        let users = nodes.iter().skip(last + 1).filter(|user| user.inputs.iter().any(|input| input.0 as usize == node));
        users.fold((false, false), |(matrix, other), user| match user.op {
            Op::MatMul { .. } => (true, other),
            _ => (matrix, true),
        })
    }

    /// Vectors of a node's value.
    fn tiles(&self, node: usize) -> usize {
        self.code.section.nodes[node].width.div_ceil(self.layout.lanes())
    }

    fn quantized_arrays(&mut self, node: usize) -> Result<QuantizedArrays, Error> {
        self.quantized_arrays_of(self.tiles(node))
    }

    fn quantized_arrays_of(&mut self, tiles: usize) -> Result<QuantizedArrays, Error> {
        let mut arrays = QuantizedArrays { codes: Vec::new(), scales: Vec::new(), exponent: Vec::new() };
        for _ in 0..tiles {
            let (mut codes, mut scales) = (Vec::new(), Vec::new());
            for side in SIDES {
                // An activation reads both in one cycle, so they are in different slices.
                let mut words = self.layout.near_planes("activations of all tokens", side, 3)?;
                let scale: Vec<Word> = words.split_off(1);
                codes.push(Stored { words, format: Format::I8, ready: 0 });
                scales.push(Stored { words: scale, format: Format::U16, ready: 0 });
            }
            arrays.codes.push(codes);
            arrays.scales.push(scales);
        }
        arrays.exponent.push(self.array(Hemisphere::East, Format::I8)?);
        Ok(arrays)
    }

    /// Quantises a node's value in a loop of its own, where that has not been done.
    fn quantize(&mut self, node: usize) -> Result<(), Error> {
        if self.quantized[node].is_some() {
            return Ok(());
        }
        let arrays = self.quantized_arrays(node)?;
        let this = &*self;
        let c = self.schedule(|c| {
            let values = this.loaded(c);
            let x = c.quantize(&values[node])?;
            write_quantized(c, &x, &arrays)
        })?;
        self.push(c)?;
        self.quantized[node] = Some(arrays);
        Ok(())
    }

    /// Products of one value by several matrices, their tiles in rounds of at most one a plane.
    fn multiply(&mut self, input: usize, group: &[usize]) -> Result<(), Error> {
        let code = self.code;
        let mut jobs: Vec<Job<'b>> = Vec::new();
        let mut results = Vec::new();
        for &node in group {
            let Op::MatMul { weight, bias } = &code.section.nodes[node].op else { continue };
            let weight = weight.0 as usize;
            let matrix =
                code.matrices[weight].as_ref().ok_or_else(|| Error::shape("weight", "a vector", "a matrix"))?;
            let mut arrays = Vec::new();
            for (tile, (outputs, exponents)) in matrix.outputs.iter().zip(&code.constants.weights[weight]).enumerate() {
                let to = self.array(SIDES[tile % 2], Format::F32)?;
                arrays.push(vec![to.clone()]);
                let bias = bias.map(|bias| &code.constants.weights[bias.0 as usize][tile]);
                jobs.push(Job { outputs, weight, exponents, bias, to });
            }
            results.push((node, arrays));
        }
        let mut rest = jobs.as_slice();
        while !rest.is_empty() {
            let kind = |job: &Job<'b>| code.section.formats[job.weight];
            let new = |at: &usize| {
                let job = &rest[*at];
                let free = rest[..*at].iter().all(|before| before.outputs.plane != job.outputs.plane);
                free && kind(job) == kind(&rest[0])
            };
            let count = (0..rest.len()).take_while(new).count();
            let (round, after) = rest.split_at(count);
            self.round(input, round)?;
            rest = after;
        }
        for (node, arrays) in results {
            self.values[node] = Some(arrays);
        }
        Ok(())
    }

    /// Multiplies by one tile of outputs a plane: tile after tile of inputs, and what comes out after the last.
    fn round(&mut self, input: usize, jobs: &[Job<'b>]) -> Result<(), Error> {
        let Some(x) = self.quantized[input].clone() else {
            return Err(Error::shape("value", "not quantised", "a quantised value"));
        };
        let format =
            |job: &Job<'b>| self.code.matrices[job.weight].as_ref().map(|matrix| (matrix.format, matrix.inputs));
        let mut timeline = Timeline::new(self.name, self.spec);
        let loads = jobs.iter().map(|job| job.outputs.tiles.len()).max().unwrap_or_default();
        for load in 0..loads {
            let mut c = self.straight();
            for job in jobs {
                let Some((format, _)) = format(job) else { continue };
                if let Some(tile) = job.outputs.tiles.get(load) {
                    c.load_codebook(job.outputs.plane, format)?;
                    c.load_tile(job.outputs.plane, format, tile)?;
                    c.install(job.outputs.plane, format.kind)?;
                }
            }
            timeline.straight(c);
            let c = self.schedule(|c| {
                let exponent = c.copied(&x.exponent);
                let here: Vec<&Job<'b>> = jobs.iter().filter(|job| load < job.outputs.tiles.len()).collect();
                let mut ready = [0; SIDES.len()];
                for job in &here {
                    // The first row of each plane.
                    c.new_row(job.outputs.plane)?;
                }
                for (side, ready) in ready.iter_mut().enumerate() {
                    let of_side = here.iter().filter(|job| c.plane_hemisphere(job.outputs.plane) == SIDES[side]);
                    let planes: Vec<u8> = of_side.map(|job| job.outputs.plane).collect();
                    let Some((format, inputs)) = here.first().and_then(|job| format(job)) else { continue };
                    if planes.is_empty() {
                        continue;
                    }
                    let per_load = format.inputs_per_load();
                    for at in load * per_load..((load + 1) * per_load).min(inputs) {
                        let half = if at % per_load == 0 { Half::Low } else { Half::High };
                        let (vector, scale) = (&x.codes[at][side], Some(&x.scales[at][side]));
                        let what = Activation {
                            kind: format.kind,
                            half,
                            row: 0,
                            first: at == 0,
                            ready: *ready,
                            vector,
                            scale,
                        };
                        *ready = c.activate_all(&planes, &what)?;
                    }
                }
                for job in here.into_iter().filter(|job| load + 1 == job.outputs.tiles.len()) {
                    let side = usize::from(c.plane_hemisphere(job.outputs.plane) == SIDES[1]);
                    let sum = c.accumulated(job.outputs.plane, 0, ready[side]);
                    let exponents = c.stored(job.exponents.clone());
                    let moved = c.beside(sum, 3, |c| c.iadd(exponents, exponent))?;
                    let mut product = c.ldexp(sum, moved)?;
                    if let Some(bias) = job.bias {
                        let bias = c.stored(bias.clone());
                        product = c.add(product, bias)?;
                    }
                    c.write_to(product, &job.to.words)?;
                }
                Ok(())
            })?;
            timeline.looped(c, self.turns);
        }
        self.blocks.push(timeline.finish()?);
        Ok(())
    }

    /// Attention of all tokens.
    fn attend(&mut self, node: usize) -> Result<(), Error> {
        let code = self.code;
        let attention = code.attention(&code.section.nodes[node])?;
        if code.tiles != 1 || !is_covered(code.section) {
            return Err(Error::unsupported("for many tokens at once and such sizes:", &code.section.nodes[node].op));
        }
        let heads = self.present(node, &attention)?;
        self.exponents(&attention, &heads)?;
        let weights = self.scores(&attention, &heads)?;
        self.weigh(node, &attention, &weights)
    }

    /// Computes what is pending, writes keys and values to the cache, and hands on queries and exponents.
    fn present(&mut self, node: usize, attention: &Attention<'b>) -> Result<Heads, Error> {
        let pending = std::mem::take(&mut self.pending);
        let (kv_heads, sharing) = (attention.heads.places.len(), attention.heads.sharing);
        let mut heads = Heads { queries: Vec::new(), units: Vec::new(), rows: Vec::new() };
        for _ in 0..kv_heads * sharing {
            // Read by the planes of either side.
            heads.queries.push(self.array(Hemisphere::West, Format::I16)?);
            heads.units.push(self.array(Hemisphere::East, Format::I8)?);
        }
        for side in SIDES {
            heads.rows.push(self.array(side, Format::I8)?);
        }
        let inputs = self.code.section.nodes[node].inputs.clone();
        let (this, boundary) = (&*self, attention.heads.boundary());
        let rows = self.code.tiles * self.layout.lanes();
        let c = self.schedule(|c| {
            let mut values = this.loaded(c);
            this.compute(c, &pending, &mut values)?;
            let place = this.place(c)?;
            let of = |at: usize| values[inputs[at].0 as usize].clone();
            let masks: Vec<Value> = attention.masks.iter().map(|mask| c.stored(mask.clone())).collect();
            for (kind, (at, bits)) in [(1, key_bits(attention.heads.size)), (2, HEAD_BITS)].into_iter().enumerate() {
                let block = c.vector_block(boundary, bits, &of(at))?;
                let runs = [&attention.cache.keys, &attention.cache.values][kind];
                c.scatter(place.position, block.codes[0], &cache_tables(runs[0], rows))?;
                c.keep_as(block.unit_exponent, Format::I8);
                c.write_to(block.unit_exponent, &heads.rows[kind].words)?;
            }
            for (j, query) in of(0).into_iter().enumerate() {
                let block = c.vector_block(boundary, HEAD_BITS, &[query])?;
                for (kv, mask) in masks.iter().enumerate() {
                    let codes = c.and(block.codes[0], *mask)?;
                    c.keep_as(codes, Format::I16);
                    c.write_to(codes, &heads.queries[kv * sharing + j].words)?;
                    let unit = broadcast(c, block.unit_exponent, *mask)?;
                    c.keep_as(unit, Format::I8);
                    c.write_to(unit, &heads.units[kv * sharing + j].words)?;
                }
            }
            Ok(())
        })?;
        self.push(c)?;
        Ok(heads)
    }

    /// Puts the new exponents in the vectors whose lanes are positions: the rows of all tokens, as a matrix, are
    /// multiplied by the unit vector of each head's first lane, and moved to the lanes of their positions.
    fn exponents(&mut self, attention: &Attention<'b>, heads: &Heads) -> Result<(), Error> {
        let mut c = self.straight();
        c.layout.set_turns(1);
        let tokens = self.turns as i32;
        let iota = c.stored(attention.iota.clone());
        let first = c.stored(self.position.clone());
        let token = c.isub(iota, first)?;
        let not_before = c.iless(-1, token)?;
        let not_behind = c.iless(token, tokens)?;
        let is_new = c.and(not_before, not_behind)?;
        let map = c.select(is_new, token, 0xffff)?;
        c.keep_as(map, Format::U16);
        for (kind, side) in SIDES.into_iter().enumerate() {
            let plane = (kind as u32 * self.spec.mxm.planes_per_hemisphere) as u8;
            let base = heads.rows[kind].words[0];
            let words: Vec<Word> = (0..self.turns as u16).map(|at| Word { word: base.word + at, ..base }).collect();
            let load = Load { words: &words, width: 1, each: 1, ready: 0 };
            c.load(plane, &load, |first, streams, from| {
                let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
                let (kind, orientation) = (TileKind::Int8, Orientation::Row);
                Some(Inst::Load { kind, orientation, half: Half::Low, first, streams, from })
            })?;
            c.install(plane, TileKind::Int8)?;
            for (kv, units) in attention.units.iter().enumerate() {
                let row = c.new_row(plane)?;
                let unit = c.stored(units.clone());
                let vector = &c.in_memory(unit, side)?;
                let what = Activation {
                    kind: TileKind::Int8,
                    half: Half::Low,
                    row,
                    first: true,
                    ready: 0,
                    vector,
                    scale: None,
                };
                let ready = c.activate(plane, &what)?;
                let drained = c.accumulated_as(Format::I32, plane, row, ready);
                let of_tokens = c.imin(drained, 127)?;
                c.keep_as(of_tokens, Format::I8);
                let of_positions = c.permute(of_tokens, &[map], Format::I8)?;
                let old = &attention.constants.exponents[kind][0][kv];
                let before = c.stored(old.clone());
                let value = c.select(is_new, of_positions, before)?;
                c.keep_as(value, Format::I8);
                c.write_to(value, &old.words)?;
            }
        }
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.straight(c);
        self.blocks.push(timeline.finish()?);
        Ok(())
    }

    /// Scores and softmax: the weights of all positions and their factor, by head.
    fn scores(&mut self, attention: &Attention<'b>, heads: &Heads) -> Result<Vec<[Stored; 2]>, Error> {
        let sharing = attention.heads.sharing;
        let mut weights = Vec::new();
        for _ in 0..heads.queries.len() {
            weights.push([self.array(Hemisphere::East, Format::I32)?, self.array(Hemisphere::West, Format::F32)?]);
        }
        let mut c = self.straight();
        let kind = TileKind::Wide12;
        let planes = self.pair_planes();
        for (half, plane) in HALVES.into_iter().zip(planes) {
            if !attention.in_half(self.layout.lanes(), 0, half).is_empty() {
                load_keys(&mut c, plane, attention.cache.keys[0], half, 0, 0)?;
            }
        }
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.straight(c);
        let this = &*self;
        let c = self.schedule(|c| {
            let place = this.place(c)?;
            let iota = c.stored(attention.iota.clone());
            let visible = attention.visible(c, &[iota], place)?;
            let [key_exponents, value_exponents] = &attention.constants.exponents;
            for (half, plane) in HALVES.into_iter().zip(planes) {
                for (kv, _) in attention.in_half(this.layout.lanes(), 0, half) {
                    for j in 0..sharing {
                        let head = kv * sharing + j;
                        let row = c.new_row(plane)?;
                        let vector = &heads.queries[head];
                        let ready = c.activate(
                            plane,
                            &Activation { kind, half, row, first: true, ready: 0, vector, scale: None },
                        )?;
                        let dot = c.accumulated(plane, row, ready);
                        let unit = c.stored(heads.units[head].clone());
                        let exponents = c.stored(key_exponents[0][kv].clone());
                        let score = attention.scaled(c, dot, unit, exponents)?;
                        let units = c.stored(value_exponents[0][kv].clone());
                        let (weight, factor) = softmax(c, &[score], &visible, &[units])?;
                        c.write_to(weight[0], &weights[head][0].words)?;
                        c.write_to(factor, &weights[head][1].words)?;
                    }
                }
            }
            Ok(())
        })?;
        timeline.looped(c, self.turns);
        self.blocks.push(timeline.finish()?);
        Ok(weights)
    }

    /// The driving planes of both hemispheres' pairs.
    fn pair_planes(&self) -> [u8; 2] {
        [0, self.spec.mxm.planes_per_hemisphere as u8]
    }

    /// Weighted values: each pair of planes has half of the positions, and the exact sums of both are added.
    fn weigh(&mut self, node: usize, attention: &Attention<'b>, weights: &[[Stored; 2]]) -> Result<(), Error> {
        let sharing = attention.heads.sharing;
        let kind = TileKind::Wide25;
        let planes = self.pair_planes();
        let mut c = self.straight();
        for (half, plane) in [0, 1].into_iter().zip(planes) {
            load_values(&mut c, plane, attention.cache.values[0], half, 0)?;
        }
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.straight(c);
        let arrays = self.quantized_arrays_of(sharing)?;
        let c = self.schedule(|c| {
            let masks: Vec<Value> = attention.masks.iter().map(|mask| c.stored(mask.clone())).collect();
            let mut attended: Vec<Option<Value>> = vec![None; sharing];
            for (head, [weight, factor]) in weights.iter().enumerate() {
                let mut parts = Vec::new();
                for (half, plane) in HALVES.into_iter().zip(planes) {
                    let row = c.new_row(plane)?;
                    let what = Activation { kind, half, row, first: true, ready: 0, vector: weight, scale: None };
                    let ready = c.activate(plane, &what)?;
                    parts.push(c.accumulated_as(Format::I64, plane, row, ready));
                }
                let sum = c.add_i64(parts[0], parts[1])?;
                let sum = c.round_i64(sum)?;
                let factor = c.stored(factor.clone());
                let output = c.multiply(sum, factor)?;
                let joined = &mut attended[head % sharing];
                let before = joined.map_or(super::Operand::from(0), super::Operand::from);
                *joined = Some(c.select(masks[head / sharing], output, before)?);
            }
            let attended: Vec<Value> = attended.into_iter().flatten().collect();
            let x = c.quantize(&attended)?;
            write_quantized(c, &x, &arrays)
        })?;
        timeline.looped(c, self.turns);
        self.blocks.push(timeline.finish()?);
        self.quantized[node] = Some(arrays);
        Ok(())
    }
}

/// What the loops of attention hand on.
struct Heads {
    /// By head, the codes on its lanes, and the exponent of their unit.
    queries: Vec<Stored>,
    units: Vec<Stored>,
    /// Exponents of keys and of values, on the lanes of their heads.
    rows: Vec<Stored>,
}

fn write_quantized(c: &mut Composer<'_, '_>, x: &Quantized, arrays: &QuantizedArrays) -> Result<(), Error> {
    for (values, arrays) in [(&x.codes, &arrays.codes), (&x.scales, &arrays.scales)] {
        for (value, copies) in values.iter().zip(arrays) {
            for copy in copies {
                c.put(*value, copy.hemisphere(), Target::Fixed(&copy.words))?;
            }
        }
    }
    c.keep_as(x.exponent, Format::I8);
    c.write_to(x.exponent, &arrays.exponent[0].words)
}
