//! One decoder layer as a program written by hand: proof that the instruction set is complete before any compiler
//! exists.
//!
//! In: a machine and a layer's weights as plain data. Out: a [`Program`] for one chip with the entry `layer`, from an f32
//! x to an f32 y with the update of the key and value cache, for one token at any position of the context; and for each
//! table of rows (an embedding) an entry of its name that gathers one row. It knows no files and no simulator. Start
//! reading at [`build`], then `composer.rs` (how steps find their cycles), then `attention.rs`.

mod attention;
mod cache;
mod composer;
mod error;
mod heads;
mod layout;
mod matrix;
mod memory;
mod model;
mod numbers;
mod repeat;
mod reserve;
mod rows;
mod switch;
mod tiles;
mod vector;
mod weights;

pub use error::Error;
pub use model::{first_layer, layer_weights};
pub use weights::{LayerWeights, Pairs};

use std::collections::BTreeMap;

use lockstep_arith::matrix::GROUP;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, BindingKind, Word};

use attention::Attention;
use cache::Place;
use composer::{Composer, Stored, Value};
use layout::Layout;
use rows::Rows;
use tiles::{Arrangement, Tiled, Tiler, in_order};

/// The program of a layer.
///
/// Inputs: `x` (f32, one a lane of the residual stream), `position` and `length` (i32, the same number in all lanes;
/// `length` is `position + 1` for the newest token), `row` (i32, the same number in all lanes: which row of a table).
/// Outputs: `y` (f32), and for each table its name (f32).
pub fn build(spec: &MachineSpec, weights: &LayerWeights) -> Result<Program<'static>, Error> {
    let lanes = spec.lanes() as usize;
    check_machine(spec)?;
    weights.check(lanes)?;
    let mut layout = Layout::new(spec);
    let inputs = Inputs::new(weights.hidden(), &mut layout)?;
    let layer = Layer::new(weights, spec, &mut layout)?;
    let mut blocks = vec![("layer".to_owned(), layer.block(&inputs, spec, &mut layout)?)];
    for (name, matrix) in &weights.tables {
        let rows = Rows::new(name, matrix, &mut layout)?;
        let output = layout.binding(name, BindingKind::Output, Format::F32, matrix.cols)?;
        let mut c = Composer::new(name, spec, &mut layout);
        let index = input(&mut c, &inputs.row[0], Format::I32);
        let row = rows.row(&mut c, index)?;
        write_outputs(&mut c, &row, &output)?;
        blocks.push((name.clone(), c.finish()?));
    }
    assemble(spec, layout, &blocks)
}

fn assemble(
    spec: &MachineSpec,
    layout: Layout,
    blocks: &[(String, BlockBuilder<'_>)],
) -> Result<Program<'static>, Error> {
    let mut program = ProgramBuilder::new("layer", spec);
    // Equal names, such as those of one table's permutations, are told apart by a number.
    let mut named = BTreeMap::new();
    for image in layout.images {
        let before = *named.entry(image.name.clone()).and_modify(|count| *count += 1).or_insert(0);
        let name = if before == 0 { image.name } else { format!("{}#{before}", image.name) };
        program.image(&name, image.first, image.vectors, image.content);
    }
    for binding in layout.bindings {
        program.binding(&binding.name, binding.kind, binding.format, binding.elements, binding.words);
    }
    for (name, block) in blocks {
        let (block, entry) = (program.block(block), program.entry(name));
        program.instance(entry, block, 0, 0, [0; BASES]);
    }
    program.finish().map_err(|violations| Error::Unlawful(violations.iter().map(ToString::to_string).collect()))
}

fn check_machine(spec: &MachineSpec) -> Result<(), Error> {
    let needs = [
        (spec.vxm.reduce_units > 0, "lane reducers"),
        (spec.mxm.block, "block matrix mode"),
        (spec.mxm.wide, "wide matrix mode"),
        (spec.mxm.load_column, "load by column"),
        (spec.mxm.planes_per_hemisphere >= 2, "pairs of matrix planes"),
        (spec.mem.slices_per_hemisphere >= 40, "40 memory slices in each hemisphere"),
        (spec.lanes().is_multiple_of(2 * GROUP as u32), "even number of groups of 32 lanes"),
    ];
    match needs.iter().find(|(there, _)| !there) {
        Some((_, what)) => Err(Error::Machine { machine: spec.name.clone(), what }),
        None => Ok(()),
    }
}

/// Where the host writes.
struct Inputs {
    x: Vec<Vec<Word>>,
    position: Vec<Vec<Word>>,
    length: Vec<Vec<Word>>,
    row: Vec<Vec<Word>>,
}

impl Inputs {
    fn new(hidden: usize, layout: &mut Layout) -> Result<Self, Error> {
        let lanes = layout.lanes();
        Ok(Self {
            x: layout.binding("x", BindingKind::Input, Format::F32, hidden)?,
            position: layout.binding("position", BindingKind::Input, Format::I32, lanes)?,
            length: layout.binding("length", BindingKind::Input, Format::I32, lanes)?,
            row: layout.binding("row", BindingKind::Input, Format::I32, lanes)?,
        })
    }
}

fn input(c: &mut Composer<'_, '_>, words: &[Word], format: Format) -> Value {
    c.stored(Stored { words: words.to_vec(), format, ready: 0 })
}

fn write_outputs(c: &mut Composer<'_, '_>, values: &[Value], words: &[Vec<Word>]) -> Result<(), Error> {
    values.iter().zip(words).try_for_each(|(value, words)| c.write_to(*value, words))
}

/// A layer in memory.
struct Layer {
    hidden: usize,
    eps: f32,
    norms: [Vec<Stored>; 2],
    attention: Attention,
    gate: Tiled,
    up: Tiled,
    down: Tiled,
    y: Vec<Vec<Word>>,
}

impl Layer {
    fn new(w: &LayerWeights, spec: &MachineSpec, layout: &mut Layout) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let mut tiler = Tiler { spec, plane: 0 };
        let plain = |rows: usize, cols: usize| Arrangement {
            rows: in_order(rows, lanes),
            groups: in_order(cols.div_ceil(GROUP), lanes / GROUP),
        };
        let (hidden, inside) = (w.hidden(), w.feed_forward());
        Ok(Self {
            hidden,
            eps: w.eps,
            norms: [
                vector("attention_norm", &w.attention_norm, layout)?,
                vector("feed_forward_norm", &w.feed_forward_norm, layout)?,
            ],
            attention: Attention::new(w, layout, &mut tiler)?,
            gate: tiler.place("gate", &w.gate, &plain(inside, hidden), layout)?,
            up: tiler.place("up", &w.up, &plain(inside, hidden), layout)?,
            down: tiler.place("down", &w.down, &plain(hidden, inside), layout)?,
            y: layout.binding("y", BindingKind::Output, Format::F32, hidden)?,
        })
    }

    fn block<'a>(
        &self,
        inputs: &Inputs,
        spec: &'a MachineSpec,
        layout: &mut Layout,
    ) -> Result<BlockBuilder<'a>, Error> {
        let mut composer = Composer::new("layer", spec, layout);
        let c = &mut composer;
        let x: Vec<Value> = inputs.x.iter().map(|words| input(c, words, Format::F32)).collect();
        let place = Place {
            position: input(c, &inputs.position[0], Format::I32),
            length: input(c, &inputs.length[0], Format::I32),
        };
        let norms = self.norms.each_ref().map(|norm| norm.iter().map(|w| c.stored(w.clone())).collect::<Vec<_>>());
        let normed = c.rms_norm(&x, &norms[0], self.hidden, self.eps)?;
        let quantized = c.quantize(&normed)?;
        let attended = self.attention.step(c, &quantized, place)?;
        let x = add(c, &x, &attended)?;
        let normed = c.rms_norm(&x, &norms[1], self.hidden, self.eps)?;
        let quantized = c.quantize(&normed)?;
        let gates = c.matmul(&self.gate, &quantized)?;
        let ups = c.matmul(&self.up, &quantized)?;
        let mut gated = Vec::new();
        for (gate, up) in gates.into_iter().zip(ups) {
            let gate = c.silu(gate)?;
            gated.push(c.multiply(gate, up)?);
        }
        let quantized = c.quantize(&gated)?;
        let moved = c.matmul(&self.down, &quantized)?;
        let y = add(c, &x, &moved)?;
        write_outputs(c, &y, &self.y)?;
        composer.finish()
    }
}

fn add(c: &mut Composer<'_, '_>, x: &[Value], y: &[Value]) -> Result<Vec<Value>, Error> {
    x.iter().zip(y).map(|(x, y)| c.add(*x, *y)).collect()
}

/// A constant vector of f32, tile by tile.
fn vector(name: &str, values: &[f32], layout: &mut Layout) -> Result<Vec<Stored>, Error> {
    let sides = [Hemisphere::East, Hemisphere::West];
    let tiles: Vec<Vec<i32>> =
        values.chunks(layout.lanes()).map(|tile| tile.iter().map(|x| x.to_bits() as i32).collect()).collect();
    let one = |(index, tile): (usize, &Vec<i32>)| {
        let words = layout.constant(&format!("{name}{index}"), sides[index % 2], Format::F32, tile)?;
        Ok(Stored { words, format: Format::F32, ready: 0 })
    };
    tiles.iter().enumerate().map(one).collect()
}
