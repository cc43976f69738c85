//! Attention of one token: heads, cache, scores, softmax, weighted values.
//!
//! The vectors of queries: vector j holds, on the lanes of each key head, the j-th of the query heads that share it.
//! Keys are in the west, values in the east.

use lockstep_arith::matrix::GROUP;
use lockstep_arith::vector_block::{HEAD_BITS, key_bits};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Format, Half, LaneMap, Orientation, TileKind};

use crate::cache::{Cache, Place, Present, broadcast, store, wide_width};
use crate::composer::{Composer, Stored, Value};
use crate::error::Error;
use crate::heads::{head_groups, iota, masks, rotary_tables};
use crate::layout::Layout;
use crate::matrix::{Activation, Load, Quantized};
use crate::numbers::Block;
use crate::switch::Table;
use crate::tiles::{Arrangement, Tiled, Tiler, in_order};
use crate::weights::LayerWeights;

/// The lowest finite f32: the score of a position that is not visible.
const LOWEST: f32 = f32::MIN;
/// The fixed-point one of the softmax, `2^30`.
const ONE: f32 = 1_073_741_824.0;

/// Everything that attention has in memory.
#[derive(Debug)]
pub(crate) struct Attention {
    sharing: usize,
    head_size: usize,
    scale: f32,
    heads: Vec<usize>,
    query: Tiled,
    key: Tiled,
    value: Tiled,
    output: Tiled,
    /// Cosines, then sines with the sign of each lane: 4 byte planes each.
    rotary: [Vec<Table>; 2],
    keys: Cache,
    values: Cache,
    /// -1 on the lanes of each head.
    masks: Vec<Stored>,
    /// Each lane's number.
    iota: Stored,
}

impl Attention {
    /// Places matrices, tables, masks and an empty cache.
    pub(crate) fn new(w: &LayerWeights, layout: &mut Layout, tiler: &mut Tiler<'_>) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let heads = w.head_lanes(lanes)?;
        let (size, sharing) = (w.head_size, w.sharing());
        let hidden = in_order(w.hidden().div_ceil(GROUP), lanes / GROUP);
        let order = w.rotated_order();
        let natural: Vec<usize> = (0..size).collect();
        let rows = |head_of: &dyn Fn(usize) -> usize, order: &[usize]| {
            let mut rows = vec![None; lanes];
            for (kv, first) in heads.iter().enumerate() {
                for (lane, element) in order.iter().enumerate() {
                    rows[first + lane] = Some(head_of(kv) * size + element);
                }
            }
            rows
        };
        let queries = (0..sharing).map(|j| rows(&|kv| kv * sharing + j, &order)).collect();
        let query = Arrangement { rows: queries, groups: hidden.clone() };
        let key = Arrangement { rows: vec![rows(&|kv| kv, &order)], groups: hidden.clone() };
        let value = Arrangement { rows: vec![rows(&|kv| kv, &natural)], groups: hidden };
        let output = Arrangement {
            rows: in_order(w.hidden(), lanes),
            groups: (0..sharing).map(|j| head_groups(&heads, size, lanes, |kv| kv * sharing + j)).collect(),
        };
        Ok(Self {
            sharing,
            head_size: size,
            scale: w.scale,
            query: tiler.place("query", &w.query, &query, layout)?,
            key: tiler.place("key", &w.key, &key, layout)?,
            value: tiler.place("value", &w.value, &value, layout)?,
            output: tiler.place("output", &w.output, &output, layout)?,
            rotary: rotary_tables(w, &heads, &order, layout)?,
            keys: Cache::new("keys", Hemisphere::West, heads.len(), layout)?,
            values: Cache::new("values", Hemisphere::East, heads.len(), layout)?,
            masks: masks(&heads, size, layout)?,
            iota: iota(layout)?,
            heads,
        })
    }

    /// Segments of a reduction: one a head, and one for what lies between heads.
    fn boundary(&self) -> u32 {
        let ends = self.heads.iter().flat_map(|first| [*first, first + self.head_size]);
        ends.fold(1, |bits, lane| bits | 1 << (lane / GROUP)) & 0x3ff
    }

    /// Attention of one token with quantised input, up to and with the output matrix.
    pub(crate) fn step(&self, c: &mut Composer<'_, '_>, x: &Quantized, place: Place) -> Result<Vec<Value>, Error> {
        let queries = c.matmul(&self.query, x)?;
        let key = c.matmul(&self.key, x)?[0];
        let value = c.matmul(&self.value, x)?[0];
        let cosines = c.gather(place.position, &self.rotary[0], Format::F32)?;
        let sines = c.gather(place.position, &self.rotary[1], Format::F32)?;
        let mut turned = Vec::new();
        for x in queries.into_iter().chain([key]) {
            turned.push(rotate(c, x, cosines, sines)?);
        }
        let key = turned.pop().unwrap_or(key);
        let key = c.vector_block(self.boundary(), key_bits(self.head_size), &[key])?;
        let value = c.vector_block(self.boundary(), HEAD_BITS, &[value])?;
        let masks: Vec<Value> = self.masks.iter().map(|mask| c.stored(mask.clone())).collect();
        let keys = store(c, &self.keys, &key, &masks, &self.iota, place)?;
        let values = store(c, &self.values, &value, &masks, &self.iota, place)?;
        let blocks = turned
            .iter()
            .map(|query| c.vector_block(self.boundary(), HEAD_BITS, &[*query]))
            .collect::<Result<Vec<_>, _>>()?;
        let scores = self.scores(c, &blocks, &masks, &keys)?;
        let attended = self.attend(c, &scores, &masks, &values, place)?;
        let attended = c.quantize(&attended)?;
        c.matmul(&self.output, &attended)
    }

    /// `s[t]` of each query head, lanes being positions; in the order of key heads, then of those that share them.
    fn scores(
        &self,
        c: &mut Composer<'_, '_>,
        queries: &[Block],
        masks: &[Value],
        keys: &Present,
    ) -> Result<Vec<Value>, Error> {
        let (plane, kind) = (even_plane(c, Hemisphere::West), TileKind::Wide12);
        let lanes = c.layout.lanes();
        let words = self.keys.words(0, lanes);
        let mut scores = Vec::new();
        for half in [Half::Low, Half::High] {
            let here = |first: usize| (first >= lanes / 2) == (half == Half::High);
            let heads: Vec<usize> = (0..masks.len()).filter(|kv| here(self.heads[*kv])).collect();
            if heads.is_empty() {
                continue;
            }
            let load = Load { words: &words, width: wide_width(c), each: 2, ready: keys.ready };
            c.load(plane, &load, |first, streams, from| {
                let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
                Some(Inst::Load { kind, orientation: Orientation::Row, half, first, streams, from })
            })?;
            c.install(plane, kind)?;
            for kv in heads {
                for query in queries {
                    let codes = c.and(query.codes[0], masks[kv])?;
                    c.keep_as(codes, Format::I16);
                    let vector = &c.in_memory(codes, Hemisphere::West)?;
                    let row = c.new_row(plane)?;
                    let ready = c.activate(plane, &Activation { kind, half, row, first: true, vector, scale: None })?;
                    let dot = c.accumulated(plane, row, ready);
                    let unit = broadcast(c, query.unit_exponent, masks[kv])?;
                    let unit = c.iadd(unit, keys.exponents[kv])?;
                    let factor = c.ldexp(self.scale, unit)?;
                    scores.push(c.multiply(dot, factor)?);
                }
            }
        }
        Ok(scores)
    }

    /// Softmax and weighted values; vectors arranged as those of the queries.
    fn attend(
        &self,
        c: &mut Composer<'_, '_>,
        scores: &[Value],
        masks: &[Value],
        values: &Present,
        place: Place,
    ) -> Result<Vec<Value>, Error> {
        let iota = c.stored(self.iota.clone());
        let visible = c.iless(iota, place.length)?;
        let mut weights = Vec::new();
        for (head, score) in scores.iter().enumerate() {
            weights.push(softmax(c, *score, visible, values.exponents[head / self.sharing])?);
        }
        let sums = self.weigh(c, &weights, values)?;
        let mut attended = vec![None; self.sharing];
        for (head, (sum, (_, factor))) in sums.into_iter().zip(&weights).enumerate() {
            let output = c.multiply(sum, *factor)?;
            let mask = masks[head / self.sharing];
            let joined = &mut attended[head % self.sharing];
            *joined = Some(match *joined {
                Some(before) => c.select(mask, output, before)?,
                None => c.select(mask, output, 0)?,
            });
        }
        Ok(attended.into_iter().flatten().collect())
    }

    /// The exact sums of weighted values, in f32: all lanes, of which those of the head count.
    fn weigh(
        &self,
        c: &mut Composer<'_, '_>,
        weights: &[(Value, Value)],
        values: &Present,
    ) -> Result<Vec<Value>, Error> {
        let (plane, kind) = (even_plane(c, Hemisphere::East), TileKind::Wide25);
        let middle = c.layout.lanes() / 2;
        let rows = weights.iter().map(|_| c.new_row(plane)).collect::<Result<Vec<_>, _>>()?;
        let mut ready = vec![0; rows.len()];
        for (half, from) in [(Half::Low, 0), (Half::High, middle)] {
            let words = self.values.words(from, from + middle);
            let load = Load { words: &words, width: wide_width(c), each: 2, ready: values.ready };
            c.load(plane, &load, |first, streams, from| {
                let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
                Some(Inst::Load { kind, orientation: Orientation::Column, half: Half::Low, first, streams, from })
            })?;
            c.install(plane, kind)?;
            for ((weight, _), (row, ready)) in weights.iter().zip(rows.iter().zip(&mut ready)) {
                let vector = &c.in_memory(*weight, Hemisphere::East)?;
                let first = half == Half::Low;
                *ready = c.activate(plane, &Activation { kind, half, row: *row, first, vector, scale: None })?;
            }
        }
        Ok(rows.iter().zip(ready).map(|(row, ready)| c.accumulated(plane, *row, ready)).collect())
    }
}

/// Turns pairs of neighbouring lanes.
fn rotate(c: &mut Composer<'_, '_>, x: Value, cosines: Value, sines: Value) -> Result<Value, Error> {
    let partner = c.distribute(x, LaneMap(std::array::from_fn(|lane| Some(lane as u8 ^ 1))))?;
    let along = c.multiply(x, cosines)?;
    let across = c.multiply(partner, sines)?;
    c.add(along, across)
}

/// The weights W of all positions, and the factor of their sums (section 4 of the contract).
fn softmax(c: &mut Composer<'_, '_>, score: Value, visible: Value, units: Value) -> Result<(Value, Value), Error> {
    let score = c.select(visible, score, LOWEST)?;
    let largest = c.maximum(Composer::WHOLE, &[score])?;
    let below = c.subtract(score, largest)?;
    let e = c.exp32(below)?;
    let e = c.select(visible, e, 0)?;
    let p = c.multiply(e, ONE)?;
    let p = c.round_even(p)?;
    let z = c.sum(Composer::WHOLE, &[p])?;
    let w = c.ldexp(e, units)?;
    let most = c.maximum(Composer::WHOLE, &[w])?;
    let ew = c.exponent(most)?;
    let ew = c.iadd(ew, 1)?;
    let up = c.isub(24, ew)?;
    let weight = c.ldexp(w, up)?;
    let weight = c.round_even(weight)?;
    let exponent = c.iadd(ew, 30 - 24)?;
    let factor = c.ldexp(1.0, exponent)?;
    let factor = c.divide(factor, z)?;
    Ok((weight, factor))
}

/// The plane that drives a hemisphere's pair.
fn even_plane(c: &Composer<'_, '_>, side: Hemisphere) -> u8 {
    match side {
        Hemisphere::West => 0,
        Hemisphere::East => c.spec.mxm.planes_per_hemisphere as u8,
    }
}
