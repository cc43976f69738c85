//! The fourth pass: a team's blocks, in the order in which a token needs them.

use std::collections::BTreeMap;
use std::ops::Range;

use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::{BASES, Word};

use crate::compose::batch::Batch;
use crate::compose::batch::loops::{Found, Loops};
use crate::compose::cache::Place;
use crate::compose::ensemble::{Ensemble, Part};
use crate::compose::section::{self, Code};
use crate::compose::{Composer, Stored, Value};
use crate::emit::{Run, Step};
use crate::error::Error;
use crate::place::cache::CacheRuns;
use crate::place::constants::{Constants, Exponents};
use crate::place::layout::Span;
use crate::place::tiles::Tiled;
use crate::place::{BatchPorts, PORTS, Placed, PlacedKind};
use crate::team::{Rank, Team};

/// Where a section's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    /// To the outputs.
    Host,
    /// To the next section or team, as the chips have it.
    Next,
}

/// The layers that share blocks: by kind, what the chips have of x, and where things lie.
type Variants = BTreeMap<(usize, Vec<(usize, usize)>, To, Vec<Vec<usize>>), Step>;

/// The code of a team, and what is the same in all its entries.
pub(crate) struct Schedule<'s, 't, 'w> {
    spec: &'s MachineSpec,
    team: &'t Team<'w>,
    sequences: usize,
    embed: Option<Step>,
    head: Option<Step>,
}

impl<'s, 't, 'w> Schedule<'s, 't, 'w> {
    pub(crate) fn new(
        spec: &'s MachineSpec,
        team: &'t Team<'w>,
        sequences: usize,
        blocks: &mut Vec<BlockBuilder<'s>>,
    ) -> Result<Self, Error> {
        let mut schedule = Self { spec, team, sequences, embed: None, head: None };
        if team.ranks.iter().any(|rank| rank.placed.embedding.is_some()) {
            let ensemble = schedule.embed()?;
            schedule.embed = Some(kept(ensemble.finish()?, blocks));
        }
        if team.ranks[0].placed.head.is_some() {
            let x: Vec<&[Vec<Word>]> = team.ranks.iter().map(|rank| rank.placed.ports.x.as_slice()).collect();
            let held = schedule.held(team.ranks[0].network.layers.last().map(|(kind, _)| *kind));
            schedule.head = Some(kept(schedule.head(&x, &held)?.finish()?, blocks));
        }
        Ok(schedule)
    }

    /// For each sequence the steps of a token in a context of so many vectors of positions.
    pub(crate) fn decode(&self, tiles: usize, blocks: &mut Vec<BlockBuilder<'s>>) -> Result<Vec<Vec<Step>>, Error> {
        let mut variants = BTreeMap::new();
        (0..self.sequences).map(|sequence| self.token(sequence, tiles, &mut variants, blocks)).collect()
    }

    /// The steps of a sequence's token; layers whose things lie in the same banks share blocks.
    fn token(
        &self,
        sequence: usize,
        tiles: usize,
        variants: &mut Variants,
        blocks: &mut Vec<BlockBuilder<'s>>,
    ) -> Result<Vec<Step>, Error> {
        let mut steps: Vec<Step> = self.embed.iter().map(|step| self.of_sequence(step, sequence)).collect();
        let network = &self.team.ranks[0].network;
        let mut held = self.held(None);
        for (index, (kind, layer)) in network.layers.iter().enumerate() {
            let own = self.own(*kind, (*layer, sequence), tiles)?;
            let is_last = index + 1 == network.layers.len();
            let to = if is_last && network.ends && network.head.is_none() { To::Host } else { To::Next };
            let from = held.iter().map(|held| (held.start, held.end)).collect();
            let key = (*kind, from, to, own.iter().map(|own| own.spans.clone()).collect());
            let step = match variants.get(&key) {
                Some(step) => step.clone(),
                None => kept(self.layer(*kind, &own, tiles, (&held, to))?.finish()?, blocks),
            };
            held = self.held(Some(*kind));
            let moved =
                step.iter().zip(&own).map(|(run, own)| Run { offsets: own.offsets, ..*run }).collect::<Vec<_>>();
            steps.push(self.of_sequence(&moved, sequence));
            variants.insert(key, step);
        }
        steps.extend(self.head.iter().map(|step| self.of_sequence(step, sequence)));
        Ok(steps)
    }

    /// A step with the inputs and outputs of a sequence.
    fn of_sequence(&self, step: &[Run], sequence: usize) -> Step {
        let moved = |run: &Run| {
            let mut offsets = run.offsets;
            let stride = self.team.ranks[run.place].placed.ports.stride;
            offsets[usize::from(PORTS)] = sequence as i32 * stride as i32;
            Run { offsets, ..*run }
        };
        if self.sequences == 1 { step.to_vec() } else { step.iter().map(moved).collect() }
    }

    /// The steps of a batch of tokens, where the one chip of the team has room for them.
    pub(crate) fn prefill(&self, blocks: &mut Vec<BlockBuilder<'s>>) -> Result<Option<Vec<Step>>, Error> {
        let Rank { network, placed } = &self.team.ranks[0];
        let (Some(batch), Some(_)) = (&placed.ports.batch, &placed.head) else { return Ok(None) };
        let alone = |block| vec![Run { place: 0, block, offsets: [0; BASES] }];
        let found: Vec<Found> = network.kinds.iter().map(|_| Found::default()).collect();
        let mut steps = vec![alone(blocks.len())];
        blocks.push(self.embed_batch(placed, batch)?);
        let mut variants: BTreeMap<(usize, Vec<usize>), Range<usize>> = BTreeMap::new();
        for (kind, layer) in &network.layers {
            let own = self.own(*kind, (*layer, 0), 1)?;
            let own = &own[0];
            let key = (*kind, own.spans.clone());
            let range = if let Some(range) = variants.get(&key) {
                range.clone()
            } else {
                let first = blocks.len();
                blocks.extend(self.batch(&own.code(*kind, &self.team.ranks[0], 1), batch, &found[*kind])?);
                first..blocks.len()
            };
            steps.extend(range.clone().map(|block| vec![Run { place: 0, block, offsets: own.offsets }]));
            variants.insert(key, range);
        }
        let last: Vec<Vec<Word>> =
            batch.x.iter().map(|x| x.words.iter().map(|word| batch.last(*word)).collect()).collect();
        steps.push(kept(self.head(&[&last], &self.held(None))?.finish()?, blocks));
        Ok(Some(steps))
    }

    /// The vectors of x that each chip has behind a layer of a kind; behind none, all of them.
    fn held(&self, kind: Option<usize>) -> Vec<Range<usize>> {
        let one = |rank: &Rank<'_>| {
            let all = rank.placed.ports.x.len();
            kind.map_or(0..all, |kind| rank.network.kinds[kind].section.held(all))
        };
        self.team.ranks.iter().map(one).collect()
    }

    fn ensemble(&self, name: &str) -> Ensemble<'s, 't> {
        let chips = self.team.ranks.iter().map(|rank| composer(name, self.spec, &rank.placed)).collect();
        Ensemble::new(chips, self.spec, self.team.group.wires.clone())
    }

    fn own(&self, kind: usize, (layer, sequence): (usize, usize), tiles: usize) -> Result<Vec<Own<'t>>, Error> {
        let cached = layer * self.sequences + sequence;
        let own = self.team.ranks.iter().map(|rank| Own::new(&rank.placed.kinds[kind], (layer, cached), tiles));
        own.collect::<Option<_>>().ok_or_else(|| Error::shape("layer", layer, "a layer that was placed"))
    }

    fn embed(&self) -> Result<Ensemble<'s, 't>, Error> {
        let mut ensemble = self.ensemble("embed");
        let mut parts = Vec::new();
        for (c, Rank { placed, .. }) in ensemble.chips.iter_mut().zip(&self.team.ranks) {
            let Some(embedding) = &placed.embedding else {
                parts.push(Part::default());
                continue;
            };
            let token = input(c, &placed.ports.own.token, Format::I32);
            let values = c.embed(embedding, token, &placed.statics.iota)?;
            parts.push(Part { first: embedding.scales.first_tile, values });
        }
        let rows = ensemble.gather(&parts)?;
        for ((c, rank), row) in ensemble.chips.iter_mut().zip(&self.team.ranks).zip(rows) {
            write(c, &row, &rank.placed.ports.x)?;
        }
        Ok(ensemble)
    }

    /// The embeddings of a batch of tokens.
    fn embed_batch(&self, placed: &'t Placed, ports: &BatchPorts) -> Result<BlockBuilder<'s>, Error> {
        let code = |c: &mut Composer<'s, 't>| {
            let token = c.stored(ports.token.clone());
            let embedding = placed.embedding.as_ref().ok_or_else(|| Error::shape("model", "no embedding", "one"))?;
            let row = c.embed(embedding, token, &placed.statics.iota)?;
            row.iter().zip(&ports.x).try_for_each(|(value, x)| c.write_to(*value, &x.words))
        };
        let loops = Loops {
            spec: self.spec,
            layout: &placed.layout,
            codebooks: &placed.statics.codebooks,
            turns: ports.tokens,
            name: "embed",
        };
        loops.block(code)
    }

    /// A layer for a batch of tokens.
    fn batch(&self, code: &Code<'_>, ports: &BatchPorts, found: &Found) -> Result<Vec<BlockBuilder<'s>>, Error> {
        let Placed { layout, statics, .. } = &self.team.ranks[0].placed;
        let batch = Batch::new(self.spec, code, layout, &statics.codebooks, ports, found);
        batch.run(&ports.x, &ports.x)
    }

    /// A layer, from what the chips have of x.
    fn layer(
        &self,
        kind: usize,
        own: &[Own<'t>],
        tiles: usize,
        (held, to): (&[Range<usize>], To),
    ) -> Result<Ensemble<'s, 't>, Error> {
        let mut codes: Vec<Code<'_>> =
            own.iter().zip(&self.team.ranks).map(|(own, rank)| own.code(kind, rank, tiles)).collect();
        for code in &mut codes {
            code.keeps_parts = to == To::Next;
        }
        let x: Vec<&[Vec<Word>]> = self.team.ranks.iter().map(|rank| rank.placed.ports.x.as_slice()).collect();
        self.section("layer", &codes, (&x, held), to)
    }

    fn head(&self, x: &[&[Vec<Word>]], held: &[Range<usize>]) -> Result<Ensemble<'s, 't>, Error> {
        let code = |Rank { network, placed }: &'t Rank<'w>| {
            let (placed_head, head) = placed.head.as_ref().zip(network.head.as_ref())?;
            Some(Code {
                section: &head.section,
                matrices: &placed_head.matrices[0][0].placed,
                constants: &placed_head.constants[0].placed,
                exponents: None,
                cache: &[],
                statics: &placed.statics,
                tiles: 0,
                keeps_parts: true,
            })
        };
        let codes: Option<Vec<Code<'_>>> = self.team.ranks.iter().map(code).collect();
        let codes = codes.ok_or_else(|| Error::shape("model", "no head", "one"))?;
        self.section("head", &codes, (x, held), To::Host)
    }

    /// A section on all chips, from what they have of x.
    fn section(
        &self,
        name: &str,
        codes: &[Code<'_>],
        (x, held): (&[&[Vec<Word>]], &[Range<usize>]),
        to: To,
    ) -> Result<Ensemble<'s, 't>, Error> {
        let mut ensemble = self.ensemble(name);
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        for (((c, rank), x), held) in ensemble.chips.iter_mut().zip(&self.team.ranks).zip(x).zip(held) {
            let ports = &rank.placed.ports;
            let values = x[held.clone()].iter().map(|words| input(c, words, Format::F32)).collect();
            parts.push(Part { first: held.start, values });
            places.push(Place {
                position: input(c, &ports.own.position, Format::I32),
                length: input(c, &ports.own.length, Format::I32),
            });
        }
        // Where all chips have all of it, nothing is sent.
        let inputs = if held.iter().all(|one| *one == held[0]) {
            parts.into_iter().map(|part| part.values).collect()
        } else {
            ensemble.gather(&parts)?
        };
        let y = section::run(&mut ensemble, codes, inputs, &places)?;
        for (((c, rank), code), y) in ensemble.chips.iter_mut().zip(&self.team.ranks).zip(codes).zip(y) {
            let ports = &rank.placed.ports;
            let words = match to {
                To::Host => &ports.own.outputs,
                To::Next => &ports.x[code.section.held(ports.x.len())],
            };
            write(c, &y, words)?;
        }
        Ok(ensemble)
    }
}

/// Keeps the blocks of a step, one for each place.
pub(crate) fn kept<'s>(step: Vec<BlockBuilder<'s>>, blocks: &mut Vec<BlockBuilder<'s>>) -> Step {
    let first = blocks.len();
    blocks.extend(step);
    (first..blocks.len()).enumerate().map(|(place, block)| Run { place, block, offsets: [0; BASES] }).collect()
}

pub(crate) fn composer<'s, 't>(name: &str, spec: &'s MachineSpec, placed: &'t Placed) -> Composer<'s, 't> {
    Composer::new(name, spec, &placed.layout, &placed.statics.codebooks, None)
}
/// What a layer has of its own, and how far it lies from where it was placed.
struct Own<'p> {
    matrices: Vec<Option<Tiled>>,
    constants: &'p Constants,
    exponents: &'p Exponents,
    /// Segments that a context reads.
    cache: Vec<CacheRuns>,
    offsets: [i32; BASES],
    /// Which span of each thing the layer is in: layers with equal ones share a block.
    spans: Vec<usize>,
}

impl<'p> Own<'p> {
    fn new(placed: &'p PlacedKind, (layer, cached): (usize, usize), tiles: usize) -> Option<Self> {
        let (mut offsets, mut spans) = ([0; BASES], Vec::new());
        let mut matrices: Vec<Option<Tiled>> = Vec::new();
        for group in &placed.matrices {
            let span = found(group, layer, &mut offsets, &mut spans)?;
            matrices.resize(span.placed.len(), None);
            for (matrix, placed) in matrices.iter_mut().zip(&span.placed) {
                *matrix = matrix.take().or_else(|| placed.clone());
            }
        }
        let constants = &found(&placed.constants, layer, &mut offsets, &mut spans)?.placed;
        let exponents = &found(&placed.exponents, cached, &mut offsets, &mut spans)?.placed;
        let mut cache = Vec::new();
        for segment in placed.caches.iter().filter(|segment| segment.tiles.start < tiles) {
            let keys = found(&segment.keys, cached, &mut offsets, &mut spans)?;
            let values = found(&segment.values, cached, &mut offsets, &mut spans)?;
            cache.push(segment.runs(keys, values));
        }
        Some(Self { matrices, constants, exponents, cache, offsets, spans })
    }

    /// The layer's code.
    fn code<'o>(&'o self, kind: usize, rank: &'o Rank<'_>, tiles: usize) -> Code<'o> {
        Code {
            section: &rank.network.kinds[kind].section,
            matrices: &self.matrices,
            constants: self.constants,
            exponents: Some(self.exponents),
            cache: &self.cache,
            statics: &rank.placed.statics,
            tiles,
            keeps_parts: false,
        }
    }
}

/// The span that a layer is in; notes its index, and the layer's offset.
fn found<'p, T>(
    spans: &'p [Span<T>],
    layer: usize,
    offsets: &mut [i32; BASES],
    indices: &mut Vec<usize>,
) -> Option<&'p Span<T>> {
    let index = spans.iter().position(|span| (span.first..span.first + span.count).contains(&layer))?;
    let span = &spans[index];
    offsets[usize::from(span.base)] = span.offset(layer) as i32;
    indices.push(index);
    Some(span)
}

fn input(c: &mut Composer<'_, '_>, words: &[Word], format: Format) -> Value {
    c.stored(Stored { words: words.to_vec(), format, ready: 0 })
}

fn write(c: &mut Composer<'_, '_>, values: &[Value], words: &[Vec<Word>]) -> Result<(), Error> {
    values.iter().zip(words).try_for_each(|(value, words)| c.write_to(*value, words))
}
