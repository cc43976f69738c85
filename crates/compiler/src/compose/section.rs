//! A section's nodes, one after the other, for one token, on one chip or on the chips of a group.

use lockstep_graph::{Node, Op};
use lockstep_machine::inst::operand::LaneMap;

use super::attention::Attention;
use super::cache::Place;
use super::ensemble::{Ensemble, Part};
use super::matrix::Quantized;
use super::{Composer, Value};
use crate::error::Error;
use crate::network::{Order, Section};
use crate::place::Statics;
use crate::place::cache::CacheRuns;
use crate::place::constants::{Constants, Exponents};
use crate::place::heads::{HeadLanes, Heads};
use crate::place::layout::Run;
use crate::place::tiles::Tiled;
use lockstep_machine::inst::operand::Format;

/// A section and what it has in memory.
pub(crate) struct Code<'p> {
    pub(crate) section: &'p Section,
    pub(crate) matrices: &'p [Option<Tiled>],
    pub(crate) constants: &'p Constants,
    /// Those of the cache; none without one.
    pub(crate) exponents: Option<&'p Exponents>,
    /// The segments of the cache, as far as the context goes.
    pub(crate) cache: &'p [CacheRuns],
    pub(crate) statics: &'p Statics,
    /// Vectors of positions that attention covers.
    pub(crate) tiles: usize,
    /// Whether a last value in parts stays so, for the host or another team.
    pub(crate) keeps_parts: bool,
}

/// The section's value for its input x, on all chips of an ensemble: whole, or the parts of it where they are kept.
pub(crate) fn run(
    ensemble: &mut Ensemble<'_, '_>,
    codes: &[Code<'_>],
    x: Vec<Vec<Value>>,
    places: &[Place],
) -> Result<Vec<Vec<Value>>, Error> {
    let section = codes.first().ok_or_else(|| Error::shape("chips", 0, "one at least"))?.section;
    let count = section.nodes.len();
    let mut own: Vec<Vec<Vec<Value>>> = x.into_iter().map(|x| vec![x]).collect();
    // What was exchanged takes the place of the parts, but for nodes that work on parts.
    let mut whole: Vec<Option<Vec<Vec<Value>>>> = vec![None; count];
    let mut quantized: Vec<Vec<Option<Quantized>>> = vec![vec![None; count]; codes.len()];
    for index in 1..count {
        let wanted: Vec<usize> = section.wanted_whole(index).collect();
        for &input in &wanted {
            if whole[input].is_none() {
                whole[input] = Some(gather(ensemble, codes, &own, input)?);
            }
        }
        for (rank, code) in codes.iter().enumerate() {
            let inputs = section.nodes[index].inputs.iter().map(|input| {
                let input = input.0 as usize;
                let exchanged = whole[input].as_ref().filter(|_| wanted.contains(&input));
                let values = exchanged.map_or(&own[rank][input], |whole| &whole[rank]);
                let is_whole = exchanged.is_some() || !section.in_parts(input);
                if is_whole && section.takes_part(index) {
                    values[code.section.tiles(index)].to_vec()
                } else {
                    values.clone()
                }
            });
            let inputs: Vec<Vec<Value>> = inputs.collect();
            let c = &mut ensemble.chips[rank];
            let value = code.node(c, index, &inputs, &mut quantized[rank], places[rank])?;
            own[rank].push(value);
        }
    }
    let last = count - 1;
    if section.in_parts(last) && !codes[0].keeps_parts {
        return gather(ensemble, codes, &own, last);
    }
    Ok(own.into_iter().filter_map(|mut values| values.pop()).collect())
}

fn gather(
    ensemble: &mut Ensemble<'_, '_>,
    codes: &[Code<'_>],
    own: &[Vec<Vec<Value>>],
    node: usize,
) -> Result<Vec<Vec<Value>>, Error> {
    let part = |(code, values): (&Code<'_>, &Vec<Vec<Value>>)| {
        let tiles = code.section.tiles(node);
        Part { first: tiles.start, values: values[node].clone() }
    };
    let parts: Vec<Part> = codes.iter().zip(own).map(part).collect();
    ensemble.gather(&parts)
}

impl Code<'_> {
    /// A node's value for its inputs.
    pub(crate) fn node(
        &self,
        c: &mut Composer<'_, '_>,
        index: usize,
        inputs: &[Vec<Value>],
        quantized: &mut [Option<Quantized>],
        place: Place,
    ) -> Result<Vec<Value>, Error> {
        let node = &self.section.nodes[index];
        let input = |at: usize| inputs[at].as_slice();
        match &node.op {
            Op::MatMul { weight, bias } => {
                let weight = weight.0 as usize;
                let matrix =
                    self.matrices[weight].as_ref().ok_or_else(|| Error::shape("weight", "a vector", "a matrix"))?;
                if matrix.outputs.is_empty() {
                    return Ok(Vec::new());
                }
                let from = node.inputs[0].0 as usize;
                let x = match &quantized[from] {
                    Some(x) => x.clone(),
                    None => c.quantize(input(0))?,
                };
                quantized[from] = Some(x.clone());
                let product = c.matmul(matrix, &self.constants[weight], &x)?;
                match bias {
                    Some(bias) => {
                        let bias = self.vector(c, bias.0);
                        pairs(&product, &bias, |x, y| c.add(x, y))
                    }
                    None => Ok(product),
                }
            }
            Op::RmsNorm { weight, eps, group } => {
                let weight = self.vector(c, weight.0);
                if self.section.orders[index] == Order::Natural {
                    return c.rms_norm_to_quantize(input(0), &weight, *group, *eps);
                }
                let boundary =
                    self.section.heads.as_ref().map_or(Composer::WHOLE, |heads| match self.section.orders[index] {
                        Order::Values => heads.values.boundary(),
                        _ => heads.keys.boundary(),
                    });
                let heads = input(0)
                    .iter()
                    .zip(&weight)
                    .map(|(x, w)| c.rms_norm(boundary, &[*x], &[*w], *group, *eps).map(|vectors| vectors[0]));
                heads.collect()
            }
            Op::Rotary { .. } | Op::Attention { .. } if input(0).is_empty() => Ok(Vec::new()),
            Op::Rotary { rotary, .. } => self.rotate(c, *rotary, input(0), place),
            Op::Attention { .. } => self.attention(node)?.step(c, [input(0), input(1), input(2)], place, self.tiles),
            Op::Silu => input(0).iter().map(|x| c.silu(*x)).collect(),
            Op::Gelu => input(0).iter().map(|x| c.gelu(*x)).collect(),
            Op::SoftCap { cap } => input(0).iter().map(|x| c.soft_cap(*x, *cap)).collect(),
            Op::Add => pairs(input(0), input(1), |x, y| c.add(x, y)),
            Op::Mul => pairs(input(0), input(1), |x, y| c.multiply(x, y)),
            Op::Embed { .. } => Err(Error::unsupported("inside a layer:", &node.op)),
        }
    }

    fn vector(&self, c: &mut Composer<'_, '_>, weight: u32) -> Vec<Value> {
        self.constants[weight as usize].iter().map(|stored| c.stored(stored.clone())).collect()
    }

    /// Turns pairs of neighbouring lanes by the angles of the position.
    fn rotate(&self, c: &mut Composer<'_, '_>, rotary: usize, x: &[Value], place: Place) -> Result<Vec<Value>, Error> {
        let [cosines, sines] = &self.statics.rotaries[rotary];
        let cosines = c.gathered(place.position, cosines, Format::F32)?;
        let sines = c.gathered(place.position, sines, Format::F32)?;
        let turn = |x: &Value| {
            let partner = c.distribute(*x, LaneMap(std::array::from_fn(|lane| Some(lane as u8 ^ 1))))?;
            let along = c.multiply(*x, cosines)?;
            let across = c.multiply(partner, sines)?;
            c.add(along, across)
        };
        x.iter().map(turn).collect()
    }

    /// What is gathered from or scattered to.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Run> {
        let caches = self.cache.iter().flat_map(|cache| cache.keys.iter().chain(&cache.values)).copied();
        caches.chain(self.statics.rotaries.iter().flatten().flatten().map(|table| table.run))
    }

    pub(crate) fn attention(&self, node: &Node) -> Result<Attention<'_>, Error> {
        let (Op::Attention { scale, window, soft_cap, .. }, Some(heads), cache @ [_, ..], Some(exponents)) =
            (&node.op, &self.section.heads, self.cache, self.exponents)
        else {
            return Err(Error::unsupported("without a cache:", &node.op));
        };
        let Heads { keys, values } = heads;
        let lanes = |of: &HeadLanes| self.statics.masks.iter().find(|(known, ..)| known == of);
        let masks = |of| lanes(of).map_or(&[][..], |(_, masks, _)| masks);
        Ok(Attention {
            heads: keys,
            values,
            scale: *scale,
            window: *window,
            soft_cap: *soft_cap,
            cache,
            exponents,
            masks: masks(keys),
            value_masks: masks(values),
            iota: &self.statics.iota,
            units: lanes(keys).map_or(&[], |(_, _, units)| units),
        })
    }
}

fn pairs(
    x: &[Value],
    y: &[Value],
    mut step: impl FnMut(Value, Value) -> Result<Value, Error>,
) -> Result<Vec<Value>, Error> {
    x.iter().zip(y).map(|(x, y)| step(*x, *y)).collect()
}
