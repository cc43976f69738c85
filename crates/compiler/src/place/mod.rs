//! The third pass: every tensor gets its words.
//!
//! What a layer has of its own lies at the same place for all layers of a kind but for an offset, so that one block of
//! code serves them all: weights, cache and constants move by a base each. Where a bank is full, the layers go on in the
//! other one, and the code gets a second variant.

mod capacity;
pub(crate) mod contents;
pub(crate) mod heads;
pub(crate) mod layout;
pub(crate) mod tiles;
pub(crate) mod vocabulary;

use lockstep_arith::matrix::GROUP;
use lockstep_graph::{Op, Rotary};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::program::{BindingKind, Word};

use crate::compose::Stored;
use crate::compose::batch::is_covered;
use crate::compose::switch::Table;
use crate::error::Error;
use crate::network::{Kind, Named, Network, Order, Section};
use contents::Contents;
use heads::{HeadLanes, rotated_order};
use layout::{Layout, Run, Span, Spot, Zone};
use tiles::{Arrangement, Tiled, Tiler, in_order};
use vocabulary::{Codes, RowScales};

/// Bases of addresses: 0 does not move.
const WEIGHTS: u8 = 1;
const CACHE: u8 = 2;
const CONSTANTS: u8 = 3;

/// Which rows of a weight stand where.
#[derive(Clone, Debug)]
enum Use {
    Matrix(Arrangement),
    /// For each vector and lane the element.
    Vector(Vec<Vec<Option<usize>>>),
}

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

/// Keys or values in memory: one run for each vector of a row; low and high bytes in turn.
#[derive(Clone, Debug)]
pub(crate) struct CacheRuns {
    pub(crate) keys: Vec<Run>,
    pub(crate) values: Vec<Run>,
}

/// What a layer has of its own beside matrices and cache rows.
#[derive(Clone, Debug)]
pub(crate) struct Constants {
    /// For each weight: exponents of a matrix by tile of outputs, or the tiles of a vector.
    pub(crate) weights: Vec<Vec<Stored>>,
    /// Exponents of cached keys and values: by tile of positions, then by key head.
    pub(crate) exponents: [Vec<Vec<Stored>>; 2],
}

/// A kind of sections in memory.
#[derive(Debug)]
pub(crate) struct PlacedKind {
    /// By weight.
    pub(crate) matrices: Vec<Span<Vec<Option<Tiled>>>>,
    pub(crate) caches: Vec<Span<CacheRuns>>,
    pub(crate) constants: Vec<Span<Constants>>,
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
    pub(crate) token: Vec<Word>,
    pub(crate) position: Vec<Word>,
    pub(crate) length: Vec<Word>,
    pub(crate) x: Vec<Vec<Word>>,
    /// Elements of the output.
    pub(crate) outputs: Vec<Vec<Word>>,
    pub(crate) batch: Option<BatchPorts>,
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
    /// Places a network with a cache of `tiles` vectors of positions.
    pub(crate) fn new(network: &Network<'_>, spec: &MachineSpec, tiles: usize, batch: u32) -> Result<Self, Error> {
        let explained = |cause| capacity::explained(cause, network, spec, tiles);
        Self::place(network, spec, tiles, batch).map_err(explained)
    }

    fn place(network: &Network<'_>, spec: &MachineSpec, tiles: usize, batch: u32) -> Result<Self, Error> {
        let layout = Layout::new(spec);
        let contents = Contents::new(layout.lanes());
        let mut place = Placer { spec, layout, contents, tiler: Tiler { spec, plane: 0 } };
        let uses: Vec<Vec<Use>> = network.sections().map(|s| uses(s, network.rotaries, place.layout.lanes())).collect();
        let mut ports = place.ports(network)?;
        if batch > 1 && network.embedding.is_some() && network.sections().all(is_covered) {
            ports.batch = Some(place.batch_ports(network, batch)?);
        }
        let mut matrices = Vec::new();
        for (kind, uses) in network.kinds.iter().zip(&uses) {
            matrices.push(place.matrices(kind, uses)?);
        }
        let embedding =
            network.embedding.as_ref().map(|(table, factor)| place.embedding(table, *factor)).transpose()?;
        let codes = network.embedding.as_ref().zip(embedding.as_ref().map(|embedding| &embedding.codes));
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
}

impl Placer<'_> {
    fn ports(&mut self, network: &Network<'_>) -> Result<Ports, Error> {
        let lanes = self.layout.lanes();
        let mut vectors = |name: &str, format, elements: usize| {
            let sides = [Hemisphere::West, Hemisphere::East];
            let tiles = 0..elements.div_ceil(lanes);
            tiles.map(|tile| self.layout.near_words(name, sides[tile % 2], format)).collect::<Result<Vec<_>, _>>()
        };
        let hidden = network.hidden;
        let x = vectors("x", Format::F32, hidden)?;
        let width = network.head.as_ref().and_then(|head| head.section.nodes.last()).map_or(hidden, |node| node.width);
        let outputs = vectors("outputs", Format::F32, width)?;
        let [token, position, length] = ["token", "position", "length"].map(|name| vectors(name, Format::I32, lanes));
        let (token, position, length) = (token?, position?, length?);
        for (name, words) in [("token", &token), ("position", &position), ("length", &length)] {
            if name != "token" || network.embedding.is_some() {
                self.contents.binding(name, BindingKind::Input, Format::I32, lanes, words);
            }
        }
        if network.embedding.is_none() {
            self.contents.binding("x", BindingKind::Input, Format::F32, hidden, &x);
        }
        let name = if network.head.is_some() { "logits" } else { "y" };
        self.contents.binding(name, BindingKind::Output, Format::F32, width, &outputs);
        let one = |mut words: Vec<Vec<Word>>| words.swap_remove(0);
        let batch = None;
        Ok(Ports { token: one(token), position: one(position), length: one(length), x, outputs, batch })
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
            let words: Vec<Vec<Word>> = (0..tokens).map(turn).collect();
            self.contents.binding(name, BindingKind::Input, Format::I32, lanes * tokens as usize, &words);
        }
        Ok(BatchPorts { tokens, token, position, x })
    }

    /// Matrices of all layers of a kind.
    fn matrices(&mut self, kind: &Kind<'_>, uses: &[Use]) -> Result<Vec<Span<Vec<Option<Tiled>>>>, Error> {
        let first = &kind.weights[0];
        let tiler = &self.tiler;
        let far = [0, 1].map(|bank| Spot::new(Some(bank), self.layout.far));
        let spans: Vec<Span<Vec<Option<Tiled>>>> =
            self.layout.repeated(WEIGHTS, kind.weights.len(), &far, |layout, _| {
                let mut tiler = tiler.clone();
                first.iter().zip(uses).map(|(named, usage)| place_matrix(named, usage, &mut tiler, layout)).collect()
            })?;
        for span in &spans {
            for layer in span.first..span.first + span.count {
                self.fill_matrices(&kind.weights[layer], uses, &span.placed, span.offset(layer))?;
            }
        }
        Ok(spans)
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
                tiled.fill(named.name, named.matrix()?, arrangement, offset, self.spec, &mut self.contents);
            }
        }
        Ok(())
    }

    fn embedding(&mut self, table: &Named<'_>, factor: Option<f32>) -> Result<PlacedEmbedding, Error> {
        let matrix = table.matrix()?;
        let codes = Codes::place(table.name, matrix, &mut self.layout)?;
        codes.fill(table.name, matrix, self.spec, &mut self.contents);
        let scales = RowScales::new(table.name, matrix, &mut self.layout, &mut self.contents)?;
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
            let shared = embedding.filter(|(table, _)| std::ptr::eq(table.weight, named.weight));
            matrices.push(match (shared, &mut *usage) {
                (Some((_, codes)), Use::Matrix(arrangement)) => {
                    let matrix = named.matrix()?;
                    let head = codes.head(named.name, matrix.cols, self.spec, &mut self.layout)?;
                    codes.fill_head(&format!("{}.head", named.name), &head, matrix, self.spec, &mut self.contents);
                    arrangement.rows = codes.tile_rows(lanes);
                    // Its tiles come in another order than the output's.
                    let tile = |rows: &Vec<Option<usize>>| rows[0].unwrap_or_default() / lanes;
                    ports.outputs = arrangement.rows.iter().map(|rows| ports.outputs[tile(rows)].clone()).collect();
                    Some(head)
                }
                (_, usage) => {
                    let placed = place_matrix(named, usage, &mut self.tiler, &mut self.layout)?;
                    self.fill_matrices(&[*named], std::slice::from_ref(usage), std::slice::from_ref(&placed), 0)?;
                    placed
                }
            });
        }
        let constants = constants(&kind.section, &uses, 0, &mut self.layout)?;
        fill_constants(&kind.weights[0], &uses, &constants, 0, &mut self.contents)?;
        Ok(PlacedKind {
            matrices: vec![Span { first: 0, count: 1, stride: 0, placed: matrices }],
            caches: Vec::new(),
            constants: vec![Span { first: 0, count: 1, stride: 0, placed: constants }],
        })
    }

    /// The cache and the constants of all layers of a kind.
    fn kind(
        &mut self,
        kind: &Kind<'_>,
        uses: &[Use],
        matrices: Vec<Span<Vec<Option<Tiled>>>>,
        tiles: usize,
    ) -> Result<PlacedKind, Error> {
        let count = kind.weights.len();
        let mut caches = Vec::new();
        if let Some(heads) = &kind.section.heads {
            let rows = tiles * self.layout.lanes();
            let spots = cache_spots(&self.layout);
            let place = |layout: &mut Layout, spot: &Spot| cache_runs(heads.vectors(), rows, layout, spot.zone);
            caches = self.layout.repeated(CACHE, count, &spots, place)?;
            for span in &caches {
                let name = &kind.weights[span.first][0].name;
                for run in span.placed.keys.iter().chain(&span.placed.values) {
                    for layer in span.first..span.first + span.count {
                        self.contents.clear(&format!("{name}.cache"), run.moved(span.offset(layer)), 2 * rows);
                    }
                }
            }
        }
        let near = Spot::new(None, self.layout.near);
        let constants =
            self.layout.repeated(CONSTANTS, count, &[near], |l, _| constants(&kind.section, uses, tiles, l))?;
        for span in &constants {
            for layer in span.first..span.first + span.count {
                fill_constants(&kind.weights[layer], uses, &span.placed, span.offset(layer), &mut self.contents)?;
            }
        }
        Ok(PlacedKind { matrices, caches, constants })
    }

    fn statics(&mut self, network: &Network<'_>, rotaries: Vec<[Vec<Table>; 2]>) -> Result<Statics, Error> {
        let lanes = self.layout.lanes();
        let words = self.layout.near_words("iota", Hemisphere::East, Format::I16)?;
        self.contents.constant("iota", &words, 0, &(0..lanes as i32).collect::<Vec<_>>());
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
            if let Some(heads) = &section.heads
                && !statics.masks.iter().any(|(known, ..)| known == heads)
            {
                let lanes = |of: &dyn Fn(usize) -> Vec<i32>| (0..heads.places.len()).map(of).collect::<Vec<_>>();
                let masks = self.lane_constants("mask", &lanes(&|kv| heads.mask(kv)))?;
                let units = self.lane_constants("unit", &lanes(&|kv| heads.unit(kv)))?;
                statics.masks.push((heads.clone(), masks, units));
            }
        }
        Ok(statics)
    }

    /// Tables of all rotary embeddings. All layers' heads stand on the same lanes.
    fn rotaries(&mut self, network: &Network<'_>, tiles: usize) -> Result<Vec<[Vec<Table>; 2]>, Error> {
        let Some(heads) = network.sections().find_map(|section| section.heads.as_ref()) else { return Ok(Vec::new()) };
        let positions = tiles * self.layout.lanes();
        let one = |(index, rotary)| self.rotary(index, rotary, heads, positions);
        network.rotaries.iter().enumerate().map(one).collect()
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
            self.contents.fill(&name, run, &[vector]);
            Ok(run)
        };
        (0..self.spec.planes() as u8).map(one).collect()
    }

    /// Vectors of bytes, one a key head.
    fn lane_constants(&mut self, what: &str, vectors: &[Vec<i32>]) -> Result<Vec<Stored>, Error> {
        let one = |(kv, values): (usize, &Vec<i32>)| {
            let name = format!("{what}{kv}");
            let words = self.layout.near_words(&name, Hemisphere::West, Format::I8)?;
            self.contents.constant(&name, &words, 0, values);
            Ok(Stored { words, format: Format::I8, ready: 0 })
        };
        vectors.iter().enumerate().map(one).collect()
    }

    /// The outermost far slices of which each has room for a byte plane.
    fn rotary_slices(&self, planes: u8, positions: usize) -> u8 {
        let far = self.layout.far;
        let room = |slice: u8| [0, 1].map(|bank| self.layout.room(Hemisphere::East, slice, bank)).into_iter().max();
        let fits = |first: &u8| (*first..first + planes).all(|slice| room(slice) >= Some(positions as u32));
        (far.first..=far.end - planes).rev().find(fits).unwrap_or(far.end - planes)
    }

    /// Rows of cosines and sines by position: each byte plane in a slice of its own.
    fn rotary(
        &mut self,
        index: usize,
        rotary: &Rotary,
        heads: &HeadLanes,
        positions: usize,
    ) -> Result<[Vec<Table>; 2], Error> {
        let rows = heads.rotary_rows(rotary, positions);
        let planes = 2 * Format::F32.streams();
        let mut slice = self.rotary_slices(planes, positions);
        let mut tables = [Vec::new(), Vec::new()];
        for ((name, rows), tables) in ["cosines", "sines"].iter().zip(&rows).zip(&mut tables) {
            for plane in 0..usize::from(Format::F32.streams()) {
                let name = format!("rotary{index}.{name}.{plane}");
                let run = self.layout.run(&name, Hemisphere::East, Zone { first: slice, end: slice + 1 }, positions)?;
                let bytes = |row: &Vec<f32>| row.iter().map(|x| x.to_le_bytes()[plane]).collect();
                self.contents.fill(&name, run, &rows.iter().map(bytes).collect::<Vec<_>>());
                tables.push(Table::new(run, positions));
                slice += 1;
            }
        }
        Ok(tables)
    }
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

/// Where caches may lie, in the order of preference: where a load finds a row in each of many pairs of slices, then in
/// fewer, then among the values.
fn cache_spots(layout: &Layout) -> Vec<Spot> {
    let Layout { near, far, .. } = layout;
    let zone = |first: u8, width: u8| Zone { first, end: first + width };
    let mut spots = Vec::new();
    let mut next = far.first;
    for width in [16, 8, 4] {
        while next + width <= far.end {
            spots.extend([1, 0].map(|bank| Spot::new(Some(bank), zone(next, width))));
            next += width;
        }
    }
    // The index and the row that are written come from inside; a block's own values need most of the room.
    let (first, kept) = (near.end.saturating_sub(4), layout.words_per_bank() / 2);
    spots.extend([1, 0].map(|bank| Spot { kept, ..Spot::new(Some(bank), zone(first, 4)) }));
    spots
}

/// Keys in the west, values in the east: rows of 16 bits as low and high bytes in pairs of slices.
fn cache_runs(vectors: usize, rows: usize, layout: &mut Layout, zone: Zone) -> Result<CacheRuns, Error> {
    let mut side =
        |name: &str, side| (0..vectors).map(|_| layout.run(name, side, zone, 2 * rows)).collect::<Result<Vec<_>, _>>();
    Ok(CacheRuns { keys: side("keys", Hemisphere::West)?, values: side("values", Hemisphere::East)? })
}

fn constants(section: &Section, uses: &[Use], tiles: usize, layout: &mut Layout) -> Result<Constants, Error> {
    let sides = [Hemisphere::West, Hemisphere::East];
    let mut vectors = |format, count: usize, what: &str| -> Result<Vec<Stored>, Error> {
        let one = |at: usize| Ok(Stored { words: layout.near_words(what, sides[at % 2], format)?, format, ready: 0 });
        (0..count).map(one).collect()
    };
    let weights = uses.iter().map(|usage| match usage {
        Use::Matrix(arrangement) => vectors(Format::I8, arrangement.rows.len(), "exponents"),
        Use::Vector(rows) => vectors(Format::F32, rows.len(), "vector"),
    });
    let weights = weights.collect::<Result<_, Error>>()?;
    let heads = section.heads.as_ref().map_or(0, |heads| heads.places.len());
    let mut exponents = |side| -> Result<Vec<Vec<Stored>>, Error> {
        let mut one = |_| {
            let words = layout.near_words("cache exponents", side, Format::I8)?;
            Ok(Stored { words, format: Format::I8, ready: 0 })
        };
        (0..tiles).map(|_| (0..heads).map(&mut one).collect()).collect()
    };
    Ok(Constants { weights, exponents: [exponents(Hemisphere::West)?, exponents(Hemisphere::East)?] })
}

fn fill_constants(
    weights: &[Named<'_>],
    uses: &[Use],
    placed: &Constants,
    offset: u32,
    contents: &mut Contents,
) -> Result<(), Error> {
    for ((named, usage), stored) in weights.iter().zip(uses).zip(&placed.weights) {
        let (rows, what, value): (_, _, Box<dyn Fn(usize) -> i32 + '_>) = match usage {
            Use::Matrix(arrangement) => {
                let matrix = named.matrix()?;
                (&arrangement.rows, "exponents", Box::new(|row| matrix.exponent[row].into()))
            }
            Use::Vector(rows) => {
                let vector = named.vector()?;
                (rows, "vector", Box::new(|row| vector[row].to_bits() as i32))
            }
        };
        for (tile, (rows, stored)) in rows.iter().zip(stored).enumerate() {
            let values: Vec<i32> = rows.iter().map(|row| row.map_or(0, &value)).collect();
            contents.constant(&format!("{}.{what}{tile}", named.name), &stored.words, offset, &values);
        }
    }
    let name = weights.first().map_or("", |named| named.name);
    for (kind, tiles) in ["keys", "values"].iter().zip(&placed.exponents) {
        for (index, stored) in tiles.iter().flatten().enumerate() {
            contents.constant(&format!("{name}.{kind}.exponents{index}"), &stored.words, offset, &[]);
        }
    }
    Ok(())
}

/// How each weight of a section is used.
fn uses(section: &Section, rotaries: &[Rotary], lanes: usize) -> Vec<Use> {
    let mut uses = vec![Use::Vector(Vec::new()); section.formats.len()];
    for (index, node) in section.nodes.iter().enumerate() {
        let rows = rows(section, section.orders[index], node.width, rotaries, lanes);
        match node.op {
            Op::MatMul { weight, bias } => {
                let input = node.inputs[0].0 as usize;
                let groups = match (section.orders[input], &section.heads) {
                    (Order::Attended, Some(heads)) => heads.query_groups(),
                    _ => in_order(section.nodes[input].width.div_ceil(GROUP), lanes / GROUP),
                };
                if let Some(bias) = bias {
                    uses[bias.0 as usize] = Use::Vector(rows.clone());
                }
                uses[weight.0 as usize] = Use::Matrix(Arrangement { rows, groups });
            }
            Op::RmsNorm { weight, group, .. } => {
                let in_group = |row: &Option<usize>| row.map(|row| row % group);
                let rows = rows.iter().map(|lanes| lanes.iter().map(in_group).collect()).collect();
                uses[weight.0 as usize] = Use::Vector(rows);
            }
            _ => {}
        }
    }
    uses
}

/// The element for each vector and lane of a value.
fn rows(section: &Section, order: Order, width: usize, rotaries: &[Rotary], lanes: usize) -> Vec<Vec<Option<usize>>> {
    let Some(heads) = &section.heads else { return in_order(width, lanes) };
    let natural: Vec<usize> = (0..heads.size).collect();
    let rotated = |rotary: Option<usize>| rotary.map_or(natural.clone(), |at| rotated_order(heads.size, &rotaries[at]));
    match order {
        Order::Natural => in_order(width, lanes),
        Order::Queries(rotary) => heads.query_rows(&rotated(rotary)),
        Order::Keys(rotary) => heads.key_rows(&rotated(rotary)),
        Order::Values => heads.key_rows(&natural),
        Order::Attended => heads.query_rows(&natural),
    }
}
