//! A section for many tokens at once: loops over the tokens, each a block of its own.
//!
//! A loop's body is the code for one token, scheduled once; its turns begin an interval apart, as short as the units
//! allow. What goes from loop to loop lies in arrays in memory, a word for each token. A matrix's tiles are loaded once
//! and multiply all tokens. Keys and values of all tokens are written to the cache before the first score is computed;
//! what a token must not see is masked.

mod attention;
pub(crate) mod loops;

use std::cell::Cell;

use lockstep_graph::Op;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::{Format, Half};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::Word;

use super::cache::Place;
use super::matrix::{Activation, Quantized};
use super::section::Code;
use super::timeline::Timeline;
use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::network::Section;
use crate::place::BatchPorts;
use crate::place::layout::{Layout, Run};
use crate::place::tiles::{Outputs, Tiled};
use loops::{Found, Loops};

/// Both sides of the vector unit.
const SIDES: [Hemisphere; 2] = [Hemisphere::West, Hemisphere::East];

/// Copies of an exponent that all planes' products wait for.
const EXPONENTS: usize = 4;

/// Copies of a value in memory, one a token each.
type Copies = Vec<Stored>;

/// A quantised value in memory: by tile, in both hemispheres.
#[derive(Clone, Debug)]
struct QuantizedArrays {
    codes: Vec<Copies>,
    scales: Vec<Copies>,
    exponent: Copies,
}

/// What a loop computed of a node: its value where later loops want it, quantised where matrices do.
struct Handed {
    node: usize,
    arrays: Vec<Stored>,
    quantized: Option<QuantizedArrays>,
}

/// Whether there is code for a section's attention for many tokens at once.
pub(crate) fn is_covered(section: &Section) -> bool {
    section.heads.as_ref().is_none_or(|heads| heads.keys.vectors() == 1 && heads.keys.size <= heads.keys.lanes() / 2)
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
    /// A word of each slice that tables need.
    tables: Vec<Word>,
    /// Each token's position.
    pub(crate) position: &'b Stored,
    /// Where the loops of an equal section fit, and how many loops there are so far.
    found: &'b Found,
    loops: Cell<usize>,
    blocks: Vec<BlockBuilder<'s>>,
    /// For each node the tiles of its value, where it is in memory.
    values: Vec<Option<Vec<Copies>>>,
    quantized: Vec<Option<QuantizedArrays>>,
    /// Products that the next loop begins with, their tiles being loaded.
    lead: Option<Work<'b>>,
    /// Nodes that it computes then.
    pending: Vec<usize>,
    /// What comes before it in its block.
    timeline: Timeline<'s>,
}

/// Tiles that are loaded at once, one a plane at most, and what they multiply.
#[derive(Clone)]
struct Work<'b> {
    x: QuantizedArrays,
    jobs: Vec<Job<'b>>,
    /// Which of the tiles of inputs.
    load: usize,
}

/// A matrix's tile of outputs, and what becomes of it.
#[derive(Clone, Copy)]
struct Job<'b> {
    outputs: &'b Outputs,
    weight: usize,
    exponents: &'b Stored,
    bias: Option<&'b Stored>,
    /// The node, and the tile of its value.
    node: usize,
    tile: usize,
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
        layout.widen();
        let nodes = code.section.nodes.len();
        Self {
            spec,
            code,
            layout,
            codebooks,
            turns: ports.tokens,
            name: "layer",
            tables: code.tables().flat_map(|run| (0..run.width.into()).map(move |at| run.word(at))).collect(),
            position: &ports.position,
            found,
            loops: Cell::new(0),
            blocks: Vec::new(),
            values: vec![None; nodes],
            quantized: vec![None; nodes],
            lead: None,
            pending: Vec::new(),
            timeline: Timeline::new("layer", spec),
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

    /// Schedules a loop with the shortest interval that is found; gives what the body made, too.
    fn schedule<T>(
        &self,
        body: impl Fn(&mut Composer<'s, 'b>) -> Result<T, Error>,
    ) -> Result<(Composer<'s, 'b>, T), Error> {
        let Self { spec, codebooks, turns, name, .. } = *self;
        let index = self.loops.get();
        self.loops.set(index + 1);
        let mut found = self.found.borrow().get(index).copied().flatten();
        let done = Loops { spec, layout: &self.layout, codebooks, turns, name }.schedule(&mut found, body)?;
        let mut all = self.found.borrow_mut();
        let count = all.len().max(index + 1);
        all.resize(count, None);
        all[index] = found;
        Ok(done)
    }

    fn straight(&self) -> Composer<'s, 'b> {
        Composer::new(self.name, self.spec, &self.layout, self.codebooks, None)
    }

    /// Keeps arrays for the loops that follow.
    fn keep<'v>(&mut self, arrays: impl IntoIterator<Item = &'v Stored>) {
        for word in arrays.into_iter().flat_map(|array| &array.words) {
            self.layout.keep(*word);
        }
    }

    /// An array for the loops that follow; its slices are none that tables need.
    fn output(&self, c: &mut Composer<'s, 'b>, value: Value, side: Hemisphere) -> Result<Stored, Error> {
        c.output(value, side, &self.tables)
    }

    fn place(&self, c: &mut Composer<'s, 'b>) -> Result<Place, Error> {
        let position = c.stored(self.position.clone());
        Ok(Place { position, length: c.iadd(position, 1)? })
    }

    /// The values of all nodes that are in memory.
    fn loaded(&self, c: &mut Composer<'s, 'b>) -> Vec<Vec<Value>> {
        // Of a node whose products are being made, some tiles are not in memory.
        let tiles = |tiles: &Option<Vec<Copies>>| {
            let of = |copies: &Copies| if copies.is_empty() { Value(usize::MAX) } else { c.copied(copies) };
            tiles.iter().flatten().map(of).collect()
        };
        self.values.iter().map(tiles).collect()
    }

    /// What the next loop computes: products that are being made and pending nodes. Nothing is pending then.
    fn take_pending(&mut self) -> (Option<Work<'b>>, Vec<usize>) {
        (self.lead.take(), std::mem::take(&mut self.pending))
    }

    /// Computes in a body what was pending; gives all values.
    fn compute(
        &self,
        c: &mut Composer<'s, 'b>,
        (lead, pending): &(Option<Work<'b>>, Vec<usize>),
    ) -> Result<Vec<Vec<Value>>, Error> {
        let mut values = self.loaded(c);
        if let Some(lead) = lead {
            for (node, tile, product) in self.products(c, lead)? {
                values[node][tile] = product;
            }
        }
        let place = self.place(c)?;
        for node in pending {
            let inputs = self.code.section.nodes[*node].inputs.iter().map(|input| values[input.0 as usize].clone());
            values[*node] = self.code.node(c, *node, &inputs.collect::<Vec<_>>(), &mut [], place)?;
        }
        Ok(values)
    }

    /// Computes in a loop what is pending; the last value goes `to` somewhere, the others that are still wanted to new
    /// arrays.
    fn flush(&mut self, to: &[Stored]) -> Result<(), Error> {
        let what = self.take_pending();
        let mut nodes: Vec<usize> = what.0.iter().flat_map(|lead| &lead.jobs).map(|job| job.node).collect();
        nodes.dedup();
        nodes.extend(&what.1);
        let Some(last) = nodes.last().copied() else { return Ok(()) };
        let this = &*self;
        let body = |c: &mut Composer<'s, 'b>| {
            let values = this.compute(c, &what)?;
            this.hand_on(c, (&nodes, last), &values, to)
        };
        let (c, handed) = self.schedule(body)?;
        self.push(c)?;
        self.receive(handed);
        Ok(())
    }

    /// Writes what nodes behind the `last` want of these; the last one's value goes `to` somewhere.
    fn hand_on(
        &self,
        c: &mut Composer<'s, 'b>,
        (nodes, last): (&[usize], usize),
        values: &[Vec<Value>],
        to: &[Stored],
    ) -> Result<Vec<Handed>, Error> {
        let mut all = Vec::new();
        for &node in nodes {
            let (matrix, other) = self.wanted(node, last);
            let quantized = if matrix {
                let x = c.quantize(&values[node])?;
                Some(self.write_quantized(c, &x)?)
            } else {
                None
            };
            let mut arrays = Vec::new();
            if node == last && !to.is_empty() {
                for (value, array) in values[node].iter().zip(to) {
                    c.write_to(*value, &array.words)?;
                    arrays.push(array.clone());
                }
            } else if other {
                for (value, side) in values[node].iter().zip(SIDES.into_iter().cycle()) {
                    arrays.push(self.output(c, *value, side)?);
                }
            }
            all.push(Handed { node, arrays, quantized });
        }
        Ok(all)
    }

    /// Notes where values are.
    fn receive(&mut self, all: Vec<Handed>) {
        for Handed { node, arrays, quantized } in all {
            self.keep(&arrays);
            if !arrays.is_empty() {
                self.values[node] = Some(arrays.into_iter().map(|array| vec![array]).collect());
            }
            if let Some(quantized) = quantized {
                self.receive_quantized(node, quantized);
            }
        }
    }

    fn receive_quantized(&mut self, node: usize, arrays: QuantizedArrays) {
        self.keep(arrays.codes.iter().chain(&arrays.scales).flatten().chain(&arrays.exponent));
        self.quantized[node] = Some(arrays);
    }

    fn push(&mut self, c: Composer<'s, 'b>) -> Result<(), Error> {
        self.timeline.looped(c, self.turns);
        self.end_block()
    }

    /// What is done so far becomes a block.
    fn end_block(&mut self) -> Result<(), Error> {
        let timeline = std::mem::replace(&mut self.timeline, Timeline::new(self.name, self.spec));
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

    /// Quantises a node's value in a loop of its own, where that has not been done.
    fn quantize(&mut self, node: usize) -> Result<(), Error> {
        if self.quantized[node].is_some() {
            return Ok(());
        }
        let this = &*self;
        let (c, arrays) = self.schedule(|c| {
            let values = this.loaded(c);
            let x = c.quantize(&values[node])?;
            this.write_quantized(c, &x)
        })?;
        self.push(c)?;
        self.receive_quantized(node, arrays);
        Ok(())
    }

    /// Products of one value by several matrices, their tiles in rounds of at most one a plane.
    fn multiply(&mut self, input: usize, group: &[usize]) -> Result<(), Error> {
        let code = self.code;
        let mut jobs: Vec<Job<'b>> = Vec::new();
        for &node in group {
            let Op::MatMul { weight, bias } = &code.section.nodes[node].op else { continue };
            let weight = weight.0 as usize;
            let matrix =
                code.matrices[weight].as_ref().ok_or_else(|| Error::shape("weight", "a vector", "a matrix"))?;
            self.values[node] = Some(vec![Vec::new(); matrix.outputs.len()]);
            for (tile, (outputs, exponents)) in matrix.outputs.iter().zip(&code.constants[weight]).enumerate() {
                let bias = bias.map(|bias| &code.constants[bias.0 as usize][tile]);
                jobs.push(Job { outputs, weight, exponents, bias, node, tile });
            }
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
            self.round(input, round, after.is_empty())?;
            rest = after;
        }
        Ok(())
    }

    /// Multiplies by one tile of outputs a plane: tile after tile of inputs. What comes out after the last is computed in
    /// a loop of its own, or, of the last round, in the loop that follows.
    fn round(&mut self, input: usize, jobs: &[Job<'b>], is_last: bool) -> Result<(), Error> {
        let Some(x) = self.quantized[input].clone() else {
            return Err(Error::shape("value", "not quantised", "a quantised value"));
        };
        let loads = jobs.iter().map(|job| job.outputs.tiles.len()).max().unwrap_or_default();
        for load in 0..loads {
            let mut c = self.straight();
            for job in jobs {
                let Some(matrix) = self.matrix(job) else { continue };
                if let Some(tile) = job.outputs.tiles.get(load) {
                    c.load_codebook(job.outputs.plane, matrix.format)?;
                    c.load_tile(job.outputs, matrix.format, tile)?;
                    c.install(job.outputs.plane, matrix.format.kind)?;
                }
            }
            self.timeline.straight(c);
            let here = jobs.iter().filter(|job| load < job.outputs.tiles.len()).copied();
            let work = Work { x: x.clone(), jobs: here.collect(), load };
            if is_last && load + 1 == loads {
                self.lead = Some(work);
                return Ok(());
            }
            let this = &*self;
            let (c, products) = self.schedule(|c| {
                let products = this.products(c, &work)?.into_iter();
                let kept =
                    products.map(|(node, tile, product)| Ok((node, tile, this.output(c, product, SIDES[tile % 2])?)));
                kept.collect::<Result<Vec<_>, Error>>()
            })?;
            self.timeline.looped(c, self.turns);
            for (node, tile, array) in products {
                self.keep([&array]);
                if let Some(tiles) = &mut self.values[node] {
                    tiles[tile] = vec![array];
                }
            }
        }
        self.end_block()
    }

    fn matrix(&self, job: &Job<'b>) -> Option<&'b Tiled> {
        self.code.matrices[job.weight].as_ref()
    }

    /// Multiplies by the tiles that are loaded; gives the tiles of values that are complete, with their nodes.
    fn products(&self, c: &mut Composer<'s, 'b>, work: &Work<'b>) -> Result<Vec<(usize, usize, Value)>, Error> {
        let Work { x, jobs, load } = work;
        let exponent = c.copied(&x.exponent);
        let mut ready = [0; SIDES.len()];
        for job in jobs {
            // The first row of each plane.
            c.new_row(job.outputs.plane)?;
        }
        for (side, ready) in ready.iter_mut().enumerate() {
            let of_side = jobs.iter().filter(|job| c.plane_hemisphere(job.outputs.plane) == SIDES[side]);
            let planes: Vec<u8> = of_side.map(|job| job.outputs.plane).collect();
            let Some(Tiled { format, inputs, .. }) = jobs.first().and_then(|job| self.matrix(job)) else { continue };
            if planes.is_empty() {
                continue;
            }
            let per_load = format.inputs_per_load();
            for at in load * per_load..((load + 1) * per_load).min(*inputs) {
                let half = if at % per_load == 0 { Half::Low } else { Half::High };
                let (vector, scale) = (&x.codes[at][side], Some(&x.scales[at][side]));
                let (kind, first) = (format.kind, at == 0);
                let what = Activation { kind, half, row: 0, first, ready: *ready, vector, scale };
                *ready = c.activate_all(&planes, &what)?;
            }
        }
        let mut products = Vec::new();
        for job in jobs.iter().filter(|job| load + 1 == job.outputs.tiles.len()) {
            let side = usize::from(c.plane_hemisphere(job.outputs.plane) == SIDES[1]);
            let sum = c.accumulated(job.outputs.plane, 0, ready[side]);
            let exponents = c.stored(job.exponents.clone());
            let moved = c.beside(sum, 3, |c| c.iadd(exponents, exponent))?;
            let mut product = c.ldexp(sum, moved)?;
            if let Some(bias) = job.bias {
                let bias = c.stored(bias.clone());
                product = c.add(product, bias)?;
            }
            products.push((job.node, job.tile, product));
        }
        Ok(products)
    }

    /// Writes a quantised value for both sides: an activation reads codes and scales in one cycle, so they are in
    /// different slices.
    fn write_quantized(&self, c: &mut Composer<'s, 'b>, x: &Quantized) -> Result<QuantizedArrays, Error> {
        let mut arrays = QuantizedArrays { codes: Vec::new(), scales: Vec::new(), exponent: Vec::new() };
        for (code, scale) in x.codes.iter().zip(&x.scales) {
            let (mut codes, mut scales) = (Vec::new(), Vec::new());
            for side in SIDES {
                let code = self.output(c, *code, side)?;
                let others: Vec<Word> = self.tables.iter().chain(&code.words).copied().collect();
                scales.push(c.output(*scale, side, &others)?);
                codes.push(code);
            }
            arrays.codes.push(codes);
            arrays.scales.push(scales);
        }
        c.keep_as(x.exponent, Format::I8);
        for side in SIDES.into_iter().cycle().take(EXPONENTS) {
            let before = arrays.exponent.iter().flat_map(|array: &Stored| &array.words);
            let others: Vec<Word> = self.tables.iter().chain(before).copied().collect();
            arrays.exponent.push(c.output(x.exponent, side, &others)?);
        }
        Ok(arrays)
    }
}
