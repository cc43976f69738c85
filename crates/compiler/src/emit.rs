//! The last pass: blocks, their instances, memory and bindings become a program.

use std::collections::BTreeMap;
use std::ops::Range;

use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, Word};

use crate::compose::batch::Batch;
use crate::compose::batch::loops::{Found, Loops};
use crate::compose::cache::Place;
use crate::compose::section::Code;
use crate::compose::{Composer, Stored, Value};
use crate::error::Error;
use crate::network::Network;
use crate::place::cache::CacheRuns;
use crate::place::constants::Constants;
use crate::place::layout::Span;
use crate::place::tiles::Tiled;
use crate::place::{BatchPorts, Placed, PlacedKind};
use crate::{Options, Part};

/// One run of a block: which, and how far its bases move.
#[derive(Clone, Debug)]
struct Run {
    block: usize,
    offsets: [i32; BASES],
}

/// Schedules all blocks and puts them together: an entry for each number of tiles of positions.
pub(crate) fn emit(
    options: &Options,
    spec: &MachineSpec,
    network: &Network<'_>,
    placed: Placed,
    buckets: &[usize],
) -> Result<Program<'static>, Error> {
    let schedule = Scheduler { spec, network, placed: &placed };
    let mut blocks = Vec::new();
    if placed.embedding.is_some() {
        blocks.push(schedule.embed()?);
    }
    let embed = blocks.len();
    let head = match (&placed.head, &network.head) {
        (Some(head), Some(_)) => {
            blocks.push(schedule.head(head, &placed.ports.x)?);
            Some(blocks.len() - 1)
        }
        _ => None,
    };
    let mut entries = Vec::new();
    if let (Some(batch), Some(head)) = (&placed.ports.batch, &placed.head) {
        let found: Vec<Found> = network.kinds.iter().map(|_| Found::default()).collect();
        let mut runs = vec![Run { block: blocks.len(), offsets: [0; BASES] }];
        blocks.push(schedule.embed_batch(batch)?);
        runs.extend(schedule.layers(1, &mut blocks, |code, kind, _| schedule.batch(batch, code, &found[kind]))?);
        runs.push(Run { block: blocks.len(), offsets: [0; BASES] });
        let last: Vec<Vec<Word>> =
            batch.x.iter().map(|x| x.words.iter().map(|word| batch.last(*word)).collect()).collect();
        blocks.push(schedule.head(head, &last)?);
        entries.push((format!("prefill.{}", spec.lanes()), runs));
    }
    for tiles in buckets {
        let mut runs: Vec<Run> = (0..embed).map(|block| Run { block, offsets: [0; BASES] }).collect();
        runs.extend(schedule.layers(*tiles, &mut blocks, |code, _, is_last| {
            let ports = &placed.ports;
            let to = if is_last { &ports.outputs } else { &ports.x };
            Ok(vec![schedule.section("layer", code, &ports.x, to)?])
        })?);
        runs.extend(head.map(|block| Run { block, offsets: [0; BASES] }));
        let positions = *tiles * spec.lanes() as usize;
        let name = match options.part {
            Part::Layer if buckets.len() == 1 => "layer".into(),
            Part::Layer => format!("layer.{positions}"),
            Part::Model => format!("decode.{positions}"),
        };
        entries.push((name, runs));
    }
    assemble(&options.name, spec, placed, &blocks, entries)
}

fn assemble(
    name: &str,
    spec: &MachineSpec,
    placed: Placed,
    blocks: &[BlockBuilder<'_>],
    entries: Vec<(String, Vec<Run>)>,
) -> Result<Program<'static>, Error> {
    let mut program = ProgramBuilder::new(name, spec);
    // Equal names are told apart by a number.
    let mut named = BTreeMap::new();
    for image in placed.contents.images {
        let before = *named.entry(image.name.clone()).and_modify(|count| *count += 1).or_insert(0);
        let name = if before == 0 { image.name } else { format!("{}#{before}", image.name) };
        program.image(&name, image.first, image.vectors, image.content);
    }
    for binding in placed.contents.bindings {
        program.binding(&binding.name, binding.kind, binding.format, binding.elements, binding.words);
    }
    let blocks: Vec<u32> = blocks.iter().map(|block| program.block(block)).collect();
    for (name, runs) in entries {
        let entry = program.entry(&name);
        for run in runs {
            program.instance(entry, blocks[run.block], 0, program.end(entry, 0), run.offsets);
        }
    }
    program.finish().map_err(|violations| Error::Unlawful(violations.iter().map(ToString::to_string).collect()))
}

struct Scheduler<'s, 'p, 'w> {
    spec: &'s MachineSpec,
    network: &'p Network<'w>,
    placed: &'p Placed,
}

impl<'s, 'p> Scheduler<'s, 'p, '_> {
    fn composer(&self, name: &str) -> Composer<'s, 'p> {
        Composer::new(name, self.spec, &self.placed.layout, &self.placed.statics.codebooks, None)
    }

    fn embed(&self) -> Result<BlockBuilder<'s>, Error> {
        let mut c = self.composer("embed");
        let token = input(&mut c, &self.placed.ports.token, Format::I32);
        let embedding = self.placed.embedding.as_ref().ok_or_else(|| Error::shape("model", "no embedding", "one"))?;
        let row = c.embed(embedding, token, &self.placed.statics.iota)?;
        write(&mut c, &row, &self.placed.ports.x)?;
        c.finish()
    }

    /// The embeddings of a batch of tokens.
    fn embed_batch(&self, ports: &BatchPorts) -> Result<BlockBuilder<'s>, Error> {
        let code = |c: &mut Composer<'s, 'p>| {
            let token = c.stored(ports.token.clone());
            let embedding =
                self.placed.embedding.as_ref().ok_or_else(|| Error::shape("model", "no embedding", "one"))?;
            let row = c.embed(embedding, token, &self.placed.statics.iota)?;
            row.iter().zip(&ports.x).try_for_each(|(value, x)| c.write_to(*value, &x.words))
        };
        let loops = Loops {
            spec: self.spec,
            layout: &self.placed.layout,
            codebooks: &self.placed.statics.codebooks,
            turns: ports.tokens,
            name: "embed",
        };
        loops.block(code)
    }

    /// A layer for a batch of tokens.
    fn batch(&self, ports: &BatchPorts, code: &Code<'_>, found: &Found) -> Result<Vec<BlockBuilder<'s>>, Error> {
        let Placed { layout, statics, .. } = self.placed;
        let batch = Batch::new(self.spec, code, layout, &statics.codebooks, ports, found);
        batch.run(&ports.x, &ports.x)
    }

    fn head(&self, head: &PlacedKind, x: &[Vec<Word>]) -> Result<BlockBuilder<'s>, Error> {
        let section = &self.network.head.as_ref().ok_or_else(|| Error::shape("model", "no head", "one"))?.section;
        let code = Code {
            section,
            matrices: &head.matrices[0][0].placed,
            constants: &head.constants[0].placed,
            cache: &[],
            statics: &self.placed.statics,
            tiles: 0,
        };
        self.section("head", &code, x, &self.placed.ports.outputs)
    }

    /// A section from x to where its value goes.
    fn section(
        &self,
        name: &str,
        code: &Code<'_>,
        x: &[Vec<Word>],
        to: &[Vec<Word>],
    ) -> Result<BlockBuilder<'s>, Error> {
        let mut c = self.composer(name);
        let ports = &self.placed.ports;
        let x = x.iter().map(|words| input(&mut c, words, Format::F32)).collect();
        let place = Place {
            position: input(&mut c, &ports.position, Format::I32),
            length: input(&mut c, &ports.length, Format::I32),
        };
        let y = code.run(&mut c, x, place)?;
        write(&mut c, &y, to)?;
        c.finish()
    }

    /// All layers in their order; layers of one kind whose things lie in the same banks share a block.
    fn layers(
        &self,
        tiles: usize,
        blocks: &mut Vec<BlockBuilder<'s>>,
        schedule: impl Fn(&Code<'_>, usize, bool) -> Result<Vec<BlockBuilder<'s>>, Error>,
    ) -> Result<Vec<Run>, Error> {
        let mut variants: BTreeMap<(usize, Vec<usize>), Range<usize>> = BTreeMap::new();
        let mut runs = Vec::new();
        for (index, (kind, layer)) in self.network.layers.iter().enumerate() {
            let (placed, section) = (&self.placed.kinds[*kind], &self.network.kinds[*kind].section);
            let own = Own::new(placed, *layer, tiles);
            let own = own.ok_or_else(|| Error::shape("layer", index, "a layer that was placed"))?;
            let key = (*kind, own.spans);
            let is_last = index + 1 == self.network.layers.len() && self.network.head.is_none();
            let range = match variants.get(&key) {
                Some(range) if !is_last => range.clone(),
                _ => {
                    let code = Code {
                        section,
                        matrices: &own.matrices,
                        constants: own.constants,
                        cache: &own.cache,
                        statics: &self.placed.statics,
                        tiles,
                    };
                    let first = blocks.len();
                    blocks.extend(schedule(&code, *kind, is_last)?);
                    first..blocks.len()
                }
            };
            let offsets = own.offsets;
            runs.extend(range.clone().map(|block| Run { block, offsets }));
            variants.insert(key, range);
        }
        Ok(runs)
    }
}

/// What a layer has of its own, and how far it lies from where it was placed.
struct Own<'p> {
    matrices: Vec<Option<Tiled>>,
    constants: &'p Constants,
    /// Segments that a context reads.
    cache: Vec<CacheRuns>,
    offsets: [i32; BASES],
    /// Which span of each thing the layer is in: layers with equal ones share a block.
    spans: Vec<usize>,
}

impl<'p> Own<'p> {
    fn new(placed: &'p PlacedKind, layer: usize, tiles: usize) -> Option<Self> {
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
        let mut cache = Vec::new();
        for segment in placed.caches.iter().filter(|segment| segment.tiles.start < tiles) {
            let keys = found(&segment.keys, layer, &mut offsets, &mut spans)?;
            let values = found(&segment.values, layer, &mut offsets, &mut spans)?;
            cache.push(segment.runs(keys, values));
        }
        Some(Self { matrices, constants, cache, offsets, spans })
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
