//! The third pass: every tensor gets its words.
//!
//! What a layer has of its own lies at the same place for all layers of a kind but for an offset, so that one block of
//! code serves them all: weights, cache and constants move by a base each. Where a bank is full, the layers go on in the
//! other one, and the code gets a second variant.

mod banks;
pub(crate) mod cache;
pub(crate) mod capacity;
pub(crate) mod constants;
pub(crate) mod contents;
pub(crate) mod heads;
pub(crate) mod layout;
mod rotary;
pub(crate) mod tiles;
mod uses;
pub(crate) mod vocabulary;

use std::cell::RefCell;
use std::ops::Range;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::program::{BindingKind, Word};

use crate::compose::Stored;
use crate::compose::batch::is_covered;
use crate::compose::switch::Table;
use crate::error::Error;
use crate::network::{Kind, Network};
use crate::share::Share;
use crate::weights::Named;
use cache::{Segment, segments};
use constants::{Constants, Exponents, clear_exponents, constants, exponents, fill_constants};
use contents::{Contents, Port};
use heads::HeadLanes;
use layout::{Layout, Run, Span, Spot, Zone};
use tiles::{Tiled, Tiler};
use uses::{Use, uses};
use vocabulary::{Codes, RowScales};

/// Bases of addresses: 0 does not move.
const WEIGHTS: [u8; 2] = [1, 2];
const CONSTANTS: u8 = 3;
/// Inputs and outputs of sequences, where there are several.
pub(crate) const PORTS: u8 = 14;
/// Exponents of caches.
const EXPONENTS: u8 = 15;
/// Where the rotary tables lie, and where the vocabulary's scales do if they must make room.
const SPARE_SIDE: [Hemisphere; 2] = [Hemisphere::East, Hemisphere::West];

/// Codes and tables that all layers share.
#[derive(Debug)]
pub(crate) struct Statics {
    /// For each codebook, a copy for each plane.
    pub(crate) codebooks: Vec<([i8; 16], Vec<Run>)>,
    /// For each arrangement of heads, -1 on the lanes of each key head, and 1 on the first of them.
    pub(crate) masks: Vec<(HeadLanes, Vec<Stored>, Vec<Stored>)>,
    /// Each lane's number.
    pub(crate) iota: Stored,
    /// Cosines, then signed sines, of each rotary embedding: 4 byte planes each.
    pub(crate) rotaries: Vec<[Vec<Table>; 2]>,
}

/// Matrices of all layers of a kind, by weight.
type Matrices = Vec<Span<Vec<Option<Tiled>>>>;

/// A kind of sections in memory.
#[derive(Debug)]
pub(crate) struct PlacedKind {
    /// In groups, each with a base of its own; of each the matrices by weight, none for those of other groups.
    pub(crate) matrices: Vec<Matrices>,
    pub(crate) caches: Vec<Segment>,
    pub(crate) constants: Vec<Span<Constants>>,
    pub(crate) exponents: Vec<Span<Exponents>>,
}

/// The embedding in memory.
#[derive(Debug)]
pub(crate) struct PlacedEmbedding {
    pub(crate) codes: Codes,
    pub(crate) scales: RowScales,
    /// Columns.
    pub(crate) width: usize,
    pub(crate) factor: Option<f32>,
}

/// Where the host writes and reads, and where the residual stream lies between blocks.
#[derive(Debug)]
pub(crate) struct Ports {
    /// For the first sequence.
    pub(crate) own: SequencePorts,
    /// Words from what is a sequence's own to the next sequence's.
    pub(crate) stride: u32,
    pub(crate) x: Vec<Vec<Word>>,
    pub(crate) batch: Option<BatchPorts>,
}

/// Inputs and outputs of one sequence.
#[derive(Clone, Debug)]
pub(crate) struct SequencePorts {
    pub(crate) token: Vec<Word>,
    pub(crate) position: Vec<Word>,
    pub(crate) length: Vec<Word>,
    /// Elements of the output.
    pub(crate) outputs: Vec<Vec<Word>>,
}

impl SequencePorts {
    fn place(layout: &mut Layout, outputs: &Range<usize>) -> Result<Self, Error> {
        let outputs = vectors(layout, "outputs", Format::F32, outputs.clone())?;
        let mut one = |name| vectors(layout, name, Format::I32, 0..1).map(|mut words| words.swap_remove(0));
        let (token, position, length) = (one("token")?, one("position")?, one("length")?);
        Ok(Self { token, position, length, outputs })
    }
}

/// Near words for the tiles of a vector, on both sides in turn.
fn vectors(layout: &mut Layout, name: &str, format: Format, tiles: Range<usize>) -> Result<Vec<Vec<Word>>, Error> {
    let sides = [Hemisphere::West, Hemisphere::East];
    tiles.map(|tile| layout.near_words(name, sides[tile % 2], format)).collect()
}

/// The same for a batch of tokens: arrays.
#[derive(Debug)]
pub(crate) struct BatchPorts {
    pub(crate) tokens: u32,
    pub(crate) token: Stored,
    pub(crate) position: Stored,
    pub(crate) x: Vec<Stored>,
}

impl BatchPorts {
    /// The last token's word of an array.
    pub(crate) fn last(&self, first: Word) -> Word {
        Word { word: first.word + self.tokens as u16 - 1, ..first }
    }
}

/// How much is to be computed at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Vectors of positions of the longest context.
    pub(crate) tiles: usize,
    /// Tokens of a step of many.
    pub(crate) batch: u32,
    /// Sequences in flight.
    pub(crate) sequences: usize,
}

/// A network in memory.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) layout: Layout,
    pub(crate) contents: Contents,
    pub(crate) statics: Statics,
    pub(crate) embedding: Option<PlacedEmbedding>,
    pub(crate) kinds: Vec<PlacedKind>,
    pub(crate) head: Option<PlacedKind>,
    pub(crate) ports: Ports,
}

impl Placed {
    /// Places a network; where there is no room otherwise, and it may be, with sides that are filled evenly.
    pub(crate) fn new(network: &Network<'_>, spec: &MachineSpec, size: Size, evenly: bool) -> Result<Self, Error> {
        match Self::with(network, spec, size, false) {
            Err(error) if evenly && error.is_room() => Self::with(network, spec, size, true),
            placed => placed,
        }
    }

    fn with(network: &Network<'_>, spec: &MachineSpec, size: Size, evenly: bool) -> Result<Self, Error> {
        let Size { tiles, batch, sequences } = size;
        let layout = Layout::new(spec);
        let contents = Contents::new(layout.lanes());
        let (tiler, has_values) = (Tiler::new(spec, evenly), network.has_values);
        let mut place = Placer { spec, layout, contents, tiler, spare: false, sequences, has_values };
        let uses: Vec<Vec<Use>> = network.sections().map(|s| uses(s, network.rotaries, place.layout.lanes())).collect();
        let columns = network.share.of(network.hidden.div_ceil(place.layout.lanes()));
        let codes = network.embedding.as_ref().map(|(table, _)| place.codes(table, columns.clone())).transpose()?;
        let mut ports = place.ports(network)?;
        let is_all = network.begins && network.ends && network.share == Share::WHOLE;
        if batch > 1 && sequences == 1 && is_all && network.embedding.is_some() && network.sections().all(is_covered) {
            ports.batch = Some(place.batch_ports(network, batch)?);
        }
        let mut matrices = Vec::new();
        for (kind, uses) in network.kinds.iter().zip(&uses) {
            matrices.push(place.matrices(kind, uses)?);
        }
        place.make_room(network, tiles);
        let embedding = network.embedding.as_ref().zip(codes);
        let embedding =
            embedding.map(|((table, factor), codes)| place.embedding((table, columns), codes, *factor)).transpose()?;
        // Of a table that is shared out by columns the head, which is by rows, has a copy.
        let codes =
            network.embedding.as_ref().filter(|_| is_all).zip(embedding.as_ref().map(|embedding| &embedding.codes));
        let codes = codes.map(|((table, _), codes)| (table, codes));
        let head = match &network.head {
            Some(head) => Some(place.head(head, &uses[network.kinds.len()], codes, &mut ports)?),
            None => None,
        };
        // Before the caches, which take what is left.
        let rotaries = place.rotaries(network, tiles)?;
        let mut kinds = Vec::new();
        for ((kind, uses), matrices) in network.kinds.iter().zip(uses).zip(matrices) {
            kinds.push(place.kind(kind, &uses, matrices, tiles)?);
        }
        let statics = place.statics(network, rotaries)?;
        let Placer { layout, contents, .. } = place;
        Ok(Self { layout, contents, statics, embedding, kinds, head, ports })
    }
}

struct Placer<'s> {
    spec: &'s MachineSpec,
    layout: Layout,
    contents: Contents,
    tiler: Tiler<'s>,
    /// Whether tables lie behind the text, since the far slices are too few.
    spare: bool,
    /// Sequences that have caches, inputs and outputs of their own.
    sequences: usize,
    /// Whether memory is to hold values, not their places alone.
    has_values: bool,
}

impl Placer<'_> {
    fn ports(&mut self, network: &Network<'_>) -> Result<Ports, Error> {
        let lanes = self.layout.lanes();
        let hidden = network.hidden;
        let x = vectors(&mut self.layout, "x", Format::F32, 0..hidden.div_ceil(lanes))?;
        let (width, tiles) = output(network, lanes);
        let (own, stride) = match self.sequences {
            1 => (SequencePorts::place(&mut self.layout, &tiles)?, 0),
            count => {
                let near = Spot::new(None, self.layout.near);
                let place = |layout: &mut Layout, _: &Spot| SequencePorts::place(layout, &tiles);
                let mut spans = self.layout.repeated(PORTS, count, &[near], place)?;
                let span = spans.swap_remove(0);
                (span.placed, span.stride)
            }
        };
        for sequence in 0..self.sequences {
            let name = |name: &str| match self.sequences {
                1 => name.to_owned(),
                _ => format!("{name}.{sequence}"),
            };
            let at = |first: usize, words: &[Vec<Word>]| -> Vec<(usize, Vec<Word>)> {
                let moved = |word: &Word| Word { word: word.word + (sequence as u32 * stride) as u16, ..*word };
                let tile = |words: &Vec<Word>| words.iter().map(moved).collect();
                words.iter().enumerate().map(|(index, words)| (first + index, tile(words))).collect()
            };
            for (port, words) in [("token", &own.token), ("position", &own.position), ("length", &own.length)] {
                if port != "token" || network.embedding.is_some() {
                    let (kind, format) = (BindingKind::Input, Format::I32);
                    let tiles = at(0, std::slice::from_ref(words));
                    self.contents.port(Port { name: name(port), kind, format, elements: lanes, tiles });
                }
            }
            if network.ends {
                let port = if network.head.is_some() { "logits" } else { "y" };
                let (kind, format, tiles) = (BindingKind::Output, Format::F32, at(tiles.start, &own.outputs));
                self.contents.port(Port { name: name(port), kind, format, elements: width, tiles });
            }
        }
        if network.is_layer() {
            let tiles = x.iter().cloned().enumerate().collect();
            let (kind, format) = (BindingKind::Input, Format::F32);
            self.contents.port(Port { name: "x".into(), kind, format, elements: hidden, tiles });
        }
        Ok(Ports { own, stride, x, batch: None })
    }

    fn batch_ports(&mut self, network: &Network<'_>, tokens: u32) -> Result<BatchPorts, Error> {
        let lanes = self.layout.lanes();
        self.layout.set_turns(tokens);
        let sides = [Hemisphere::West, Hemisphere::East];
        let mut array = |name: &str, side, format| -> Result<Stored, Error> {
            Ok(Stored { words: self.layout.near_words(name, side, format)?, format, ready: 0 })
        };
        let token = array("tokens", Hemisphere::West, Format::I32)?;
        let position = array("positions", Hemisphere::East, Format::I32)?;
        let tiles = 0..network.hidden.div_ceil(lanes);
        let x = tiles.map(|tile| array("x", sides[tile % 2], Format::F32)).collect::<Result<_, _>>()?;
        self.layout.set_turns(1);
        for (name, stored) in [("tokens", &token), ("positions", &position)] {
            let turn = |turn: u32| {
                stored.words.iter().map(move |word| Word { word: word.word + turn as u16, ..*word }).collect::<Vec<_>>()
            };
            let tiles = (0..tokens).map(|token| (token as usize, turn(token))).collect();
            let (kind, format, elements) = (BindingKind::Input, Format::I32, lanes * tokens as usize);
            self.contents.port(Port { name: name.to_owned(), kind, format, elements, tiles });
        }
        Ok(BatchPorts { tokens, token, position, x })
    }

    /// Matrices of all layers of a kind. Where one bank does not hold them all, the first ones of each layer lie in it
    /// and the others in the other bank, so that one block of code serves all layers; else the layers are split.
    fn matrices(&mut self, kind: &Kind<'_>, uses: &[Use]) -> Result<Vec<Matrices>, Error> {
        let all = uses.len();
        let tried = (1..=all).rev().map(|first| vec![0..first, first..all]);
        let mut found = None;
        for groups in tried {
            let mut layout = self.layout.clone();
            let spans = self.groups(kind, uses, &groups, &mut layout);
            if let Some(spans) = spans.ok().filter(|groups| groups.iter().all(|spans| spans.len() == 1)) {
                found = Some((spans, layout));
                break;
            }
        }
        let (groups, layout) = if let Some(found) = found {
            found
        } else {
            let mut layout = self.layout.clone();
            (self.groups(kind, uses, &vec![0..all; 1], &mut layout)?, layout)
        };
        self.layout = layout;
        for span in groups.iter().flatten() {
            for layer in span.first..span.first + span.count {
                self.fill_matrices(&kind.weights[layer], uses, &span.placed, span.offset(layer))?;
            }
        }
        Ok(groups)
    }

    /// Groups of consecutive weights: one in any bank, several in a bank each.
    fn groups(
        &self,
        kind: &Kind<'_>,
        uses: &[Use],
        groups: &[Range<usize>],
        layout: &mut Layout,
    ) -> Result<Vec<Matrices>, Error> {
        let weights = &kind.weights[0];
        let far = [0, 1].map(|bank| Spot::new(Some(bank), layout.far));
        let mut tiler = self.tiler.clone();
        let mut placed = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let spots = if groups.len() == 1 { &far[..] } else { &far[index..=index] };
            let last = RefCell::new(tiler.clone());
            let place = |layout: &mut Layout, _: &Spot| {
                let mut tiler = tiler.clone();
                let one = |(at, (named, usage))| {
                    if group.contains(&at) { place_matrix(named, usage, &mut tiler, layout) } else { Ok(None) }
                };
                let all = weights.iter().zip(uses).enumerate().map(one).collect();
                *last.borrow_mut() = tiler;
                all
            };
            placed.push(layout.repeated(WEIGHTS[index], kind.weights.len(), spots, place)?);
            tiler = last.into_inner();
        }
        Ok(placed)
    }

    fn fill_matrices(
        &mut self,
        weights: &[Named<'_>],
        uses: &[Use],
        placed: &[Option<Tiled>],
        offset: u32,
    ) -> Result<(), Error> {
        for ((named, usage), tiled) in weights.iter().zip(uses).zip(placed) {
            if let (Use::Matrix(arrangement), Some(tiled)) = (usage, tiled) {
                tiled.fill(named.name, named.matrix()?.values, arrangement, offset, self.spec, &mut self.contents);
            }
        }
        Ok(())
    }

    /// Moves tables out of the far slices where caches would not find room beside them.
    fn make_room(&mut self, network: &Network<'_>, tiles: usize) {
        let Layout { far, spare, .. } = self.layout;
        let room = |slice: u8| [0, 1].map(|bank| self.layout.room(SPARE_SIDE[0], slice, bank)).iter().sum::<u32>();
        let room: u32 = (far.first..far.end).map(room).sum();
        let caches = capacity::cache_words(network, self.spec) / 2 * self.sequences as u64;
        let needed = (caches + capacity::rotary_words(network, self.spec)) * tiles as u64;
        let is_tight = needed > u64::from(room);
        self.spare = is_tight && spare.width() > 0;
    }

    /// The codes of the vocabulary, below the weights of layers: they do not fill all far slices.
    fn codes(&mut self, table: &Named<'_>, columns: Range<usize>) -> Result<Codes, Error> {
        let matrix = table.matrix()?;
        self.layout.set_first_bank(1);
        let codes = Codes::place(table.name, &matrix, columns, &mut self.layout)?;
        self.layout.set_first_bank(0);
        codes.fill(table.name, &matrix, self.spec, &mut self.contents);
        Ok(codes)
    }

    fn embedding(
        &mut self,
        (table, columns): (&Named<'_>, Range<usize>),
        codes: Codes,
        factor: Option<f32>,
    ) -> Result<PlacedEmbedding, Error> {
        let matrix = table.matrix()?;
        let spare = self.spare.then_some(SPARE_SIDE[1]);
        let scales = RowScales::new(table.name, (&matrix, columns), spare, &mut self.layout, &mut self.contents)?;
        Ok(PlacedEmbedding { codes, scales, width: matrix.cols, factor })
    }

    /// What follows the last layer; a matrix that is the embedding's shares its codes.
    fn head(
        &mut self,
        kind: &Kind<'_>,
        uses: &[Use],
        embedding: Option<(&Named<'_>, &Codes)>,
        ports: &mut Ports,
    ) -> Result<PlacedKind, Error> {
        let mut uses = uses.to_vec();
        let mut matrices = Vec::new();
        let lanes = self.layout.lanes();
        for (named, usage) in kind.weights[0].iter().zip(&mut uses) {
            let shared = embedding.filter(|(table, _)| table.id == named.id);
            matrices.push(match (shared, &mut *usage) {
                (Some((_, codes)), Use::Matrix(arrangement)) => {
                    let matrix = named.matrix()?;
                    let head = codes.head(named.name, matrix.cols, self.spec, &mut self.layout)?;
                    codes.fill_head(&format!("{}.head", named.name), &head, &matrix, self.spec, &mut self.contents);
                    arrangement.rows = codes.tile_rows(lanes);
                    // Its tiles come in another order than the output's.
                    let tile = |rows: &Vec<Option<usize>>| rows[0].unwrap_or_default() / lanes;
                    let outputs = &mut ports.own.outputs;
                    *outputs = arrangement.rows.iter().map(|rows| outputs[tile(rows)].clone()).collect();
                    Some(head)
                }
                (_, usage) => {
                    let placed = place_matrix(named, usage, &mut self.tiler, &mut self.layout)?;
                    self.fill_matrices(&[*named], std::slice::from_ref(usage), std::slice::from_ref(&placed), 0)?;
                    placed
                }
            });
        }
        let constants = constants(&uses, &mut self.layout)?;
        fill_constants(&kind.weights[0], &uses, &constants, 0, &mut self.contents)?;
        Ok(PlacedKind {
            matrices: vec![vec![Span { base: 0, first: 0, count: 1, stride: 0, placed: matrices }]],
            caches: Vec::new(),
            constants: vec![Span { base: 0, first: 0, count: 1, stride: 0, placed: constants }],
            exponents: Vec::new(),
        })
    }

    /// The cache and the constants of all layers of a kind.
    fn kind(
        &mut self,
        kind: &Kind<'_>,
        uses: &[Use],
        matrices: Vec<Matrices>,
        tiles: usize,
    ) -> Result<PlacedKind, Error> {
        // Each layer for each sequence in turn.
        let count = kind.weights.len() * self.sequences;
        let mut caches = Vec::new();
        if let Some(heads) = &kind.section.heads {
            for (index, tiles) in segments(tiles).into_iter().enumerate() {
                let segment = Segment::place(index, tiles, (count, heads.keys.vectors()), &mut self.layout)?;
                self.clear(kind, &segment);
                caches.push(segment);
            }
        }
        let near = Spot::new(None, self.layout.near);
        let constants = self.layout.repeated(CONSTANTS, kind.weights.len(), &[near], |l, _| constants(uses, l))?;
        for span in &constants {
            for layer in span.first..span.first + span.count {
                let weights = &kind.weights[layer];
                fill_constants(weights, uses, &span.placed, span.offset(layer), &mut self.contents)?;
            }
        }
        let exponents = self.layout.repeated(EXPONENTS, count, &[near], |l, _| exponents(&kind.section, tiles, l))?;
        for span in &exponents {
            for cached in span.first..span.first + span.count {
                let name = kind.weights[cached / self.sequences].first().map_or("", |named| named.name);
                clear_exponents(name, &span.placed, span.offset(cached), &mut self.contents);
            }
        }
        Ok(PlacedKind { matrices, caches, constants, exponents })
    }

    /// Caches are zero before the first run.
    fn clear(&mut self, kind: &Kind<'_>, segment: &Segment) {
        let rows = segment.tiles.len() * self.layout.lanes();
        for span in segment.keys.iter().chain(&segment.values) {
            let name = &kind.weights[span.first / self.sequences][0].name;
            for run in &span.placed {
                for layer in span.first..span.first + span.count {
                    self.contents.clear(&format!("{name}.cache"), run.moved(span.offset(layer)), 2 * rows);
                }
            }
        }
    }

    fn statics(&mut self, network: &Network<'_>, rotaries: Vec<[Vec<Table>; 2]>) -> Result<Statics, Error> {
        let lanes = self.layout.lanes();
        let words = self.layout.near_words("iota", Hemisphere::East, Format::I16)?;
        self.contents.constant("iota", &words, 0, Some(&(0..lanes as i32).collect::<Vec<_>>()));
        let iota = Stored { words, format: Format::I16, ready: 0 };
        let mut statics = Statics { codebooks: Vec::new(), masks: Vec::new(), iota, rotaries };
        for section in network.sections() {
            for format in section.formats.iter().flatten() {
                if let Some(codes) = tiles::TileFormat::from(*format).codebook
                    && !statics.codebooks.iter().any(|(known, _)| *known == codes)
                {
                    let copies = self.codebook(&codes, statics.codebooks.len())?;
                    statics.codebooks.push((codes, copies));
                }
            }
            for heads in section.heads.iter().flat_map(|heads| [&heads.keys, &heads.values]) {
                if statics.masks.iter().any(|(known, ..)| known == heads) {
                    continue;
                }
                let lanes = |of: &dyn Fn(usize) -> Vec<i32>| (0..heads.places.len()).map(of).collect::<Vec<_>>();
                let masks = self.lane_constants("mask", &lanes(&|kv| heads.mask(kv)))?;
                let units = self.lane_constants("unit", &lanes(&|kv| heads.unit(kv)))?;
                statics.masks.push((heads.clone(), masks, units));
            }
        }
        Ok(statics)
    }

    /// A copy of a codebook for each plane.
    fn codebook(&mut self, codes: &[i8; 16], index: usize) -> Result<Vec<Run>, Error> {
        let one = |plane: u8| {
            let name = format!("codebook{index}.plane{plane}");
            let first = self.layout.far.first + plane;
            let zone = Zone { first, end: first + 1 };
            let run = self.layout.run(&name, self.spec.plane_hemisphere(plane), zone, 1)?;
            let mut vector: Vec<u8> = codes.iter().map(|code| *code as u8).collect();
            vector.resize(self.layout.lanes(), 0);
            self.contents.fill(&name, run, 1, Some(&[vector]));
            Ok(run)
        };
        (0..self.spec.planes() as u8).map(one).collect()
    }

    /// Vectors of bytes, one a key head.
    fn lane_constants(&mut self, what: &str, vectors: &[Vec<i32>]) -> Result<Vec<Stored>, Error> {
        let one = |(kv, values): (usize, &Vec<i32>)| {
            let name = format!("{what}{kv}");
            let words = self.layout.near_words(&name, Hemisphere::West, Format::I8)?;
            self.contents.constant(&name, &words, 0, Some(values));
            Ok(Stored { words, format: Format::I8, ready: 0 })
        };
        vectors.iter().enumerate().map(one).collect()
    }
}

/// Elements of the network's output, and the vectors of it that are here.
fn output(network: &Network<'_>, lanes: usize) -> (usize, Range<usize>) {
    let all = |width: usize| (width, 0..width.div_ceil(lanes));
    let Some(section) = network.head.as_ref().map(|head| &head.section) else { return all(network.hidden) };
    let width = section.nodes[section.nodes.len() - 1].width;
    (width, section.held(width.div_ceil(lanes)))
}

fn place_matrix(
    named: &Named<'_>,
    usage: &Use,
    tiler: &mut Tiler<'_>,
    layout: &mut Layout,
) -> Result<Option<Tiled>, Error> {
    match usage {
        Use::Matrix(arrangement) => tiler.place(named.name, named.matrix()?.format, arrangement, layout).map(Some),
        Use::Vector(_) => Ok(None),
    }
}
