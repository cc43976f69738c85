//! Attention of all tokens of a batch.

use lockstep_arith::vector_block::{HEAD_BITS, key_bits};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Format, Half, Orientation, TileKind};
use lockstep_program::program::Word;

use super::{Batch, SIDES, is_covered};
use crate::compose::attention::{Attention, HALVES, load_keys, load_values, softmax};
use crate::compose::cache::{broadcast, cache_tables};
use crate::compose::matrix::{Activation, Load};
use crate::compose::timeline::Timeline;
use crate::compose::{Operand, Stored, Value};
use crate::error::Error;

/// Copies of the mask of visible positions, which each head reads twice.
const VISIBLE: usize = 4;

/// What the loops of attention hand on.
struct Heads {
    /// By query vector and key head, the codes on its lanes, and the exponent of their unit.
    queries: Vec<Stored>,
    units: Vec<Stored>,
    /// Exponents of keys and of values, on the lanes of their heads.
    rows: Vec<Stored>,
}

/// A head's weights of all positions, and their factor: the j-th of the query heads that share a key head.
struct Weights {
    kv: usize,
    j: usize,
    weight: Stored,
    factor: Stored,
}

impl<'b> Batch<'_, 'b> {
    /// Attention of all tokens.
    pub(super) fn attend(&mut self, node: usize) -> Result<(), Error> {
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
        let pending = self.take_pending();
        let inputs = self.code.section.nodes[node].inputs.clone();
        let (this, boundary) = (&*self, attention.heads.boundary());
        let rows = self.code.tiles * self.layout.lanes();
        let (c, heads) = self.schedule(|c| {
            let mut heads = Heads { queries: Vec::new(), units: Vec::new(), rows: Vec::new() };
            c.layout.shun(this.code.tables());
            let values = this.compute(c, &pending)?;
            let place = this.place(c)?;
            let of = |at: usize| values[inputs[at].0 as usize].clone();
            let masks: Vec<Value> = attention.masks.iter().map(|mask| c.stored(mask.clone())).collect();
            for (kind, (at, bits)) in [(1, key_bits(attention.heads.size)), (2, HEAD_BITS)].into_iter().enumerate() {
                let block = c.vector_block(boundary, bits, &of(at))?;
                let runs = [&attention.cache[0].keys, &attention.cache[0].values][kind];
                c.scatter(place.position, block.codes[0], &cache_tables(runs[0], rows))?;
                c.keep_as(block.unit_exponent, Format::I8);
                heads.rows.push(this.output(c, block.unit_exponent, SIDES[kind])?);
            }
            for query in of(0) {
                let block = c.vector_block(boundary, HEAD_BITS, &[query])?;
                for mask in &masks {
                    let codes = c.and(block.codes[0], *mask)?;
                    c.keep_as(codes, Format::I16);
                    // Read by the planes of either side.
                    heads.queries.push(this.output(c, codes, Hemisphere::West)?);
                    let unit = broadcast(c, block.unit_exponent, *mask)?;
                    c.keep_as(unit, Format::I8);
                    heads.units.push(this.output(c, unit, Hemisphere::East)?);
                }
            }
            Ok(heads)
        })?;
        self.push(c)?;
        self.keep(heads.queries.iter().chain(&heads.units).chain(&heads.rows));
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
                let old = &attention.exponents[kind][0][kv];
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
    fn scores(&mut self, attention: &Attention<'b>, heads: &Heads) -> Result<Vec<Weights>, Error> {
        let (kv_heads, sharing) = (attention.heads.places.len(), attention.heads.sharing);
        let mut c = self.straight();
        let kind = TileKind::Wide12;
        let planes = self.pair_planes();
        for (half, plane) in HALVES.into_iter().zip(planes) {
            if !attention.in_half(self.layout.lanes(), 0, half).is_empty() {
                load_keys(&mut c, plane, attention.cache[0].keys[0], half, 0, 0)?;
            }
        }
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.straight(c);
        let this = &*self;
        let (c, weights) = self.schedule(|c| {
            let mut weights = Vec::new();
            let place = this.place(c)?;
            let iota = c.stored(attention.iota.clone());
            let visible = attention.visible(c, &[iota], place)?;
            for visible in &visible {
                c.spread(*visible, VISIBLE)?;
            }
            let [key_exponents, value_exponents] = attention.exponents;
            for (half, plane) in HALVES.into_iter().zip(planes) {
                for (kv, _) in attention.in_half(this.layout.lanes(), 0, half) {
                    for j in 0..sharing {
                        let head = j * kv_heads + kv;
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
                        let weight = this.output(c, weight[0], Hemisphere::East)?;
                        let factor = this.output(c, factor, Hemisphere::West)?;
                        weights.push(Weights { kv, j, weight, factor });
                    }
                }
            }
            Ok(weights)
        })?;
        timeline.looped(c, self.turns);
        self.blocks.push(timeline.finish()?);
        self.keep(weights.iter().flat_map(|head| [&head.weight, &head.factor]));
        Ok(weights)
    }

    /// The driving planes of both hemispheres' pairs.
    fn pair_planes(&self) -> [u8; 2] {
        [0, self.spec.mxm.planes_per_hemisphere as u8]
    }

    /// Weighted values: each pair of planes has half of the positions, and the exact sums of both are added.
    fn weigh(&mut self, node: usize, attention: &Attention<'b>, weights: &[Weights]) -> Result<(), Error> {
        let sharing = attention.heads.sharing;
        let kind = TileKind::Wide25;
        let planes = self.pair_planes();
        let mut c = self.straight();
        for (half, plane) in [0, 1].into_iter().zip(planes) {
            load_values(&mut c, plane, attention.cache[0].values[0], half, 0)?;
        }
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.straight(c);
        let this = &*self;
        let (c, arrays) = self.schedule(|c| {
            let masks: Vec<Value> = attention.masks.iter().map(|mask| c.stored(mask.clone())).collect();
            let mut attended: Vec<Option<Value>> = vec![None; sharing];
            for Weights { kv, j, weight, factor } in weights {
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
                let joined = &mut attended[*j];
                let before = joined.map_or(Operand::from(0), Operand::from);
                *joined = Some(c.select(masks[*kv], output, before)?);
            }
            let attended: Vec<Value> = attended.into_iter().flatten().collect();
            let x = c.quantize(&attended)?;
            this.write_quantized(c, &x)
        })?;
        timeline.looped(c, self.turns);
        self.blocks.push(timeline.finish()?);
        self.receive_quantized(node, arrays);
        Ok(())
    }
}
