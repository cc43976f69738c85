//! Attention of one token: cache, scores, softmax, weighted values. Keys are in the west, values in the east.

use lockstep_arith::vector_block::{HEAD_BITS, key_bits};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{Format, Half, Orientation, TileKind};

use super::cache::{Place, Present, broadcast, cache_words, store, wide_width};
use super::matrix::{Activation, Load};
use super::numbers::Block;
use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::place::cache::CacheRuns;
use crate::place::constants::Exponents;
use crate::place::heads::HeadLanes;
use crate::place::layout::Run;

/// The lowest finite f32: the score of a position that is not visible.
const LOWEST: f32 = f32::MIN;
/// The fixed-point one of the softmax, `2^30`.
const ONE: f32 = 1_073_741_824.0;

/// The attention of a layer: what it computes and what it has in memory.
pub(crate) struct Attention<'p> {
    /// The lanes of queries and keys.
    pub(crate) heads: &'p HeadLanes,
    /// Those of values and of the output.
    pub(crate) values: &'p HeadLanes,
    pub(crate) scale: f32,
    pub(crate) window: Option<usize>,
    pub(crate) soft_cap: Option<f32>,
    /// By segment of positions.
    pub(crate) cache: &'p [CacheRuns],
    pub(crate) exponents: &'p Exponents,
    pub(crate) masks: &'p [Stored],
    pub(crate) value_masks: &'p [Stored],
    pub(crate) iota: &'p Stored,
    /// The unit vector of each key head's first lane.
    pub(crate) units: &'p [Stored],
}

/// The two halves of a vector's lanes.
pub(crate) const HALVES: [Half; 2] = [Half::Low, Half::High];

impl Attention<'_> {
    /// Attention of one token over `tiles` vectors of positions; values are arranged as those of the heads, and so is
    /// the output.
    pub(crate) fn step(
        &self,
        c: &mut Composer<'_, '_>,
        [queries, keys, values]: [&[Value]; 3],
        place: Place,
        tiles: usize,
    ) -> Result<Vec<Value>, Error> {
        let blocks = |c: &mut Composer<'_, '_>, heads: &HeadLanes, bits: u32, x: &[Value]| {
            x.iter().map(|x| c.vector_block(heads.boundary(), bits, &[*x])).collect::<Result<Vec<Block>, Error>>()
        };
        let key = blocks(c, self.heads, key_bits(self.heads.size), keys)?;
        let value = blocks(c, self.values, HEAD_BITS, values)?;
        let [masks, value_masks] = [self.masks, self.value_masks]
            .map(|masks| masks.iter().map(|mask| c.stored(mask.clone())).collect::<Vec<Value>>());
        let iotas = self.iotas(c, tiles)?;
        let [key_exponents, value_exponents] = self.exponents;
        let (keys, values): (Vec<_>, Vec<_>) =
            self.cache.iter().map(|s| ((&s.tiles, s.keys.as_slice()), (&s.tiles, s.values.as_slice()))).unzip();
        let keys = store(c, self.heads, (&keys, key_exponents), &key, &masks, &iotas, place)?;
        let values = store(c, self.values, (&values, value_exponents), &value, &value_masks, &iotas, place)?;
        let queries = blocks(c, self.heads, HEAD_BITS, queries)?;
        let scores = self.scores(c, &queries, &masks, &keys, tiles)?;
        let visible = self.visible(c, &iotas, place)?;
        self.attend(c, &scores, &value_masks, &values, &visible)
    }

    /// The numbers of all positions, tile by tile.
    fn iotas(&self, c: &mut Composer<'_, '_>, tiles: usize) -> Result<Vec<Value>, Error> {
        let iota = c.stored(self.iota.clone());
        let lanes = c.layout.lanes() as i32;
        let more = (1..tiles as i32).map(|tile| c.iadd(iota, tile * lanes));
        std::iter::once(Ok(iota)).chain(more).collect()
    }

    /// -1 for the positions that the token sees.
    pub(crate) fn visible(&self, c: &mut Composer<'_, '_>, iotas: &[Value], place: Place) -> Result<Vec<Value>, Error> {
        let mut visible = iotas.iter().map(|iota| c.iless(*iota, place.length)).collect::<Result<Vec<_>, _>>()?;
        if let Some(window) = self.window {
            // A wider one sees as much.
            let window = window.min(iotas.len() * c.layout.lanes()) as i32;
            let before = c.isub(place.length, window + 1)?;
            for (visible, iota) in visible.iter_mut().zip(iotas) {
                let inside = c.iless(before, *iota)?;
                *visible = c.and(*visible, inside)?;
            }
        }
        for visible in &visible {
            c.keep_as(*visible, Format::I8);
        }
        Ok(visible)
    }

    /// `s[t]` of each query head, tile by tile, lanes being positions; heads in their own order.
    fn scores(
        &self,
        c: &mut Composer<'_, '_>,
        queries: &[Block],
        masks: &[Value],
        keys: &Present,
        tiles: usize,
    ) -> Result<Vec<Vec<Value>>, Error> {
        let plane = even_plane(c, Hemisphere::West);
        let sharing = self.heads.sharing;
        let mut scores = vec![Vec::new(); masks.len() * sharing];
        for tile in 0..tiles {
            let (segment, inside) = self.segment(tile)?;
            for (vector, run) in self.cache[segment].keys.iter().enumerate() {
                let mut rows: Vec<Option<(u16, u64)>> = vec![None; scores.len()];
                for half in HALVES {
                    let here: Vec<(usize, bool)> = self.in_half(c.layout.lanes(), vector, half);
                    if here.is_empty() {
                        continue;
                    }
                    load_keys(c, plane, *run, half, inside, keys.ready[segment][vector])?;
                    for (kv, ends) in here {
                        for j in 0..sharing {
                            let query = &queries[vector * sharing + j];
                            let row = &mut rows[kv * sharing + j];
                            let so_far = row.map(|(_, ready)| ready);
                            let at = match *row {
                                Some((at, _)) => at,
                                None => c.new_row(plane)?,
                            };
                            let ready = activate_query(c, plane, half, (at, so_far), query, masks[kv])?;
                            *row = Some((at, ready));
                            if ends {
                                let dot = c.accumulated(plane, at, ready);
                                let exponent = keys.exponents[tile][kv];
                                let score = self.score(c, dot, query.unit_exponent, masks[kv], exponent)?;
                                c.release(dot);
                                scores[kv * sharing + j].push(score);
                            }
                        }
                    }
                }
            }
        }
        Ok(scores)
    }

    /// The key heads of a vector that have lanes in a half, and whether they end there.
    pub(crate) fn in_half(&self, lanes: usize, vector: usize, half: Half) -> Vec<(usize, bool)> {
        let middle = lanes / 2;
        let spans = self.heads.of_vector(vector).map(|(kv, first)| (kv, first, first + self.heads.size));
        match half {
            Half::Low => spans.filter(|span| span.1 < middle).map(|(kv, _, end)| (kv, end <= middle)).collect(),
            Half::High => spans.filter(|span| span.2 > middle).map(|(kv, ..)| (kv, true)).collect(),
        }
    }

    fn score(
        &self,
        c: &mut Composer<'_, '_>,
        dot: Value,
        query_exponent: Value,
        mask: Value,
        key_exponents: Value,
    ) -> Result<Value, Error> {
        let unit = broadcast(c, query_exponent, mask)?;
        self.scaled(c, dot, unit, key_exponents)
    }

    /// The score of an exact q.k; both exponents are those of the units.
    pub(crate) fn scaled(
        &self,
        c: &mut Composer<'_, '_>,
        dot: Value,
        unit: Value,
        key_exponents: Value,
    ) -> Result<Value, Error> {
        let scale = self.scale;
        let factor = c.beside(dot, 6, |c| {
            let unit = c.iadd(unit, key_exponents)?;
            c.ldexp(scale, unit)
        })?;
        let score = c.multiply(dot, factor)?;
        match self.soft_cap {
            Some(cap) => c.soft_cap(score, cap),
            None => Ok(score),
        }
    }

    /// Softmax and weighted values.
    fn attend(
        &self,
        c: &mut Composer<'_, '_>,
        scores: &[Vec<Value>],
        masks: &[Value],
        values: &Present,
        visible: &[Value],
    ) -> Result<Vec<Value>, Error> {
        let mut weights = Vec::new();
        for (head, scores) in scores.iter().enumerate() {
            let units: Vec<Value> = values.exponents.iter().map(|tile| tile[head / self.heads.sharing]).collect();
            weights.push(softmax(c, scores, visible, &units)?);
        }
        let sharing = self.values.sharing;
        let mut attended = vec![None; self.values.vectors() * sharing];
        for vector in 0..self.values.vectors() {
            let heads: Vec<usize> =
                self.values.of_vector(vector).flat_map(|(kv, _)| (0..sharing).map(move |j| kv * sharing + j)).collect();
            let of_heads: Vec<&[Value]> = heads.iter().map(|head| weights[*head].0.as_slice()).collect();
            let sums = self.weigh(c, &of_heads, vector, values)?;
            for (head, sum) in heads.into_iter().zip(sums) {
                let output = c.multiply(sum, weights[head].1)?;
                c.release(sum);
                let mask = masks[head / sharing];
                let joined = &mut attended[vector * sharing + head % sharing];
                *joined = Some(match *joined {
                    Some(before) => c.select(mask, output, before)?,
                    None => c.select(mask, output, 0)?,
                });
            }
        }
        Ok(attended.into_iter().flatten().collect())
    }

    /// The exact sums of weighted values of several heads, in f32: all lanes, of which those of the head count.
    fn weigh(
        &self,
        c: &mut Composer<'_, '_>,
        weights: &[&[Value]],
        vector: usize,
        values: &Present,
    ) -> Result<Vec<Value>, Error> {
        let (plane, kind) = (even_plane(c, Hemisphere::East), TileKind::Wide25);
        let side = c.plane_hemisphere(plane);
        let tiles = weights.first().map_or(0, |weights| weights.len());
        let rows = weights.iter().map(|_| c.new_row(plane)).collect::<Result<Vec<_>, _>>()?;
        let mut ready = vec![0; rows.len()];
        for tile in 0..tiles {
            let (segment, inside) = self.segment(tile)?;
            let (run, cached) = (self.cache[segment].values[vector], values.ready[segment][vector]);
            for (from, half) in HALVES.into_iter().enumerate() {
                load_values(c, plane, run, 2 * inside + from, cached)?;
                for (weights, (row, ready)) in weights.iter().zip(rows.iter().zip(&mut ready)) {
                    let vector = &c.in_memory(weights[tile], side)?;
                    let first = tile == 0 && half == Half::Low;
                    *ready = c.activate(
                        plane,
                        &Activation { kind, half, row: *row, first, ready: *ready, vector, scale: None },
                    )?;
                }
            }
        }
        Ok(rows.iter().zip(ready).map(|(row, ready)| c.accumulated(plane, *row, ready)).collect())
    }

    /// The segment of a vector of positions, and which of its vectors it is.
    fn segment(&self, tile: usize) -> Result<(usize, usize), Error> {
        let found = self.cache.iter().position(|segment| segment.tiles.contains(&tile));
        let segment = found.ok_or_else(|| Error::shape("positions", tile, "a vector that is cached"))?;
        Ok((segment, tile - self.cache[segment].tiles.start))
    }
}

/// Loads a half of a tile of cached keys.
pub(crate) fn load_keys(
    c: &mut Composer<'_, '_>,
    plane: u8,
    run: Run,
    half: Half,
    tile: usize,
    ready: u64,
) -> Result<(), Error> {
    let (kind, lanes) = (TileKind::Wide12, c.layout.lanes());
    let words = cache_words(run, tile * lanes, (tile + 1) * lanes);
    let load = Load { words: &words, width: wide_width(c, run), each: 2, ready };
    c.load(plane, &load, |first, streams, from| {
        let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
        Some(Inst::Load { kind, orientation: Orientation::Row, half, first, streams, from })
    })?;
    c.install(plane, kind)
}

/// Multiplies a head's query by the keys of the half that is installed; gives the first cycle for a drain.
fn activate_query(
    c: &mut Composer<'_, '_>,
    plane: u8,
    half: Half,
    (row, so_far): (u16, Option<u64>),
    query: &Block,
    mask: Value,
) -> Result<u64, Error> {
    let codes = c.and(query.codes[0], mask)?;
    c.keep_as(codes, Format::I16);
    let vector = &c.in_memory(codes, c.plane_hemisphere(plane))?;
    c.activate(
        plane,
        &Activation {
            kind: TileKind::Wide12,
            half,
            row,
            first: so_far.is_none(),
            ready: so_far.unwrap_or_default(),
            vector,
            scale: None,
        },
    )
}

/// Loads a half of a tile of cached values: the `half`-th of all halves.
pub(crate) fn load_values(c: &mut Composer<'_, '_>, plane: u8, run: Run, half: usize, ready: u64) -> Result<(), Error> {
    let (kind, rows) = (TileKind::Wide25, c.layout.lanes() / 2);
    let words = cache_words(run, half * rows, (half + 1) * rows);
    let load = Load { words: &words, width: wide_width(c, run), each: 2, ready };
    c.load(plane, &load, |first, streams, from| {
        let (first, streams) = (Uint::new(first as u32)?, Uint::new(streams as u32)?);
        Some(Inst::Load { kind, orientation: Orientation::Column, half: Half::Low, first, streams, from })
    })?;
    c.install(plane, kind)
}

/// The weights W of all positions, tile by tile, and the factor of their sums (section 4 of the contract).
pub(crate) fn softmax(
    c: &mut Composer<'_, '_>,
    scores: &[Value],
    visible: &[Value],
    units: &[Value],
) -> Result<(Vec<Value>, Value), Error> {
    let mut masked = Vec::new();
    for (score, visible) in scores.iter().zip(visible) {
        masked.push(c.select(*visible, *score, LOWEST)?);
    }
    let largest = c.maximum(Composer::WHOLE, &masked)?;
    let (mut ps, mut ws) = (Vec::new(), Vec::new());
    for ((score, visible), units) in masked.iter().zip(visible).zip(units) {
        let below = c.subtract(*score, largest)?;
        let e = c.exp32(below)?;
        let e = c.select(*visible, e, 0)?;
        let p = c.multiply(e, ONE)?;
        ps.push(c.round_even(p)?);
        ws.push(c.ldexp(e, *units)?);
    }
    let z = c.sum(Composer::WHOLE, &ps)?;
    let most = c.maximum(Composer::WHOLE, &ws)?;
    // Of the contract's f = expo + 1, 24 - f and f - 24 + 30.
    let e = c.exponent(most)?;
    let up = c.isub(24 - 1, e)?;
    let mut weights = Vec::new();
    for w in ws {
        let weight = c.ldexp(w, up)?;
        weights.push(c.round_even(weight)?);
    }
    let exponent = c.iadd(e, 1 + 30 - 24)?;
    let factor = c.ldexp(1.0, exponent)?;
    let factor = c.divide(factor, z)?;
    Ok((weights, factor))
}

/// The plane that drives a hemisphere's pair.
fn even_plane(c: &Composer<'_, '_>, side: Hemisphere) -> u8 {
    match side {
        Hemisphere::West => 0,
        Hemisphere::East => c.spec.mxm.planes_per_hemisphere as u8,
    }
}
