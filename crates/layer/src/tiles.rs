//! Weight matrices as tiles: which row and column stands where, and the vectors that a plane loads.

use lockstep_arith::matrix::{BlockMatrix, Format as BlockFormat, GROUP};
use lockstep_machine::access::scale_vectors;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::{Format, TileKind};
use lockstep_machine::spec::MachineSpec;

use crate::error::Error;
use crate::layout::{Layout, Run, Zone};

/// How a matrix is spread over tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrangement {
    /// For each tile of outputs and each of its lanes, the matrix's row.
    pub(crate) rows: Vec<Vec<Option<usize>>>,
    /// For each tile of inputs and each of its groups of 32 lanes, the matrix's group of columns.
    pub(crate) groups: Vec<Vec<Option<usize>>>,
}

/// `0..count` dealt to tiles of `size`, the last one filled up with nothing.
pub(crate) fn in_order(count: usize, size: usize) -> Vec<Vec<Option<usize>>> {
    (0..count.div_ceil(size))
        .map(|tile| (tile * size..(tile + 1) * size).map(|at| (at < count).then_some(at)).collect())
        .collect()
}

/// A tile in memory, as a plane loads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// The vectors' run, and where the tile's begin in it.
    pub(crate) run: Run,
    pub(crate) codes: (usize, usize),
    pub(crate) scales: (usize, usize),
}

/// All tiles of one tile of outputs.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) plane: u8,
    /// One for LB8, or one pair for LB4, after the other.
    pub(crate) tiles: Vec<Tile>,
    /// Exponents j of the rows, 8 bits a lane.
    pub(crate) exponents: crate::composer::Stored,
}

/// The codes of LB4.
#[derive(Clone, Debug)]
pub(crate) struct Codebook {
    pub(crate) codes: [i8; 16],
    /// One vector for each plane.
    pub(crate) copies: Vec<Run>,
}

/// A matrix in memory.
#[derive(Clone, Debug)]
pub(crate) struct Tiled {
    pub(crate) kind: TileKind,
    pub(crate) offsets: bool,
    pub(crate) codebook: Option<Codebook>,
    /// Tiles of inputs.
    pub(crate) inputs: usize,
    pub(crate) outputs: Vec<Outputs>,
}

/// The slices from which a plane's tiles come: each plane of a hemisphere has its own, so that both can load at once.
pub(crate) fn plane_zone(spec: &MachineSpec, far: Zone, plane: u8) -> Zone {
    let each = (far.end - far.first) / spec.mxm.planes_per_hemisphere as u8;
    let width = each.min(spec.mxm.load_streams as u8);
    let first = far.first + plane % spec.mxm.planes_per_hemisphere as u8 * each;
    Zone { first, end: first + width }
}

/// Places matrices: their tiles of outputs go round the planes, each matrix going on where the one before it ended.
#[derive(Debug)]
pub(crate) struct Tiler<'a> {
    pub(crate) spec: &'a MachineSpec,
    pub(crate) plane: u8,
}

impl Tiler<'_> {
    pub(crate) fn place(
        &mut self,
        name: &str,
        matrix: &BlockMatrix,
        arrangement: &Arrangement,
        layout: &mut Layout,
    ) -> Result<Tiled, Error> {
        let tiled = Tiled::new(name, matrix, arrangement, self.plane, self.spec, layout)?;
        self.plane = (self.plane + arrangement.rows.len() as u8) % self.spec.planes() as u8;
        Ok(tiled)
    }
}

impl Tiled {
    /// Places a matrix: its tiles of outputs go round the planes, from `plane` on.
    pub(crate) fn new(
        name: &str,
        matrix: &BlockMatrix,
        arrangement: &Arrangement,
        first_plane: u8,
        spec: &MachineSpec,
        layout: &mut Layout,
    ) -> Result<Self, Error> {
        let (kind, offsets) = match matrix.format {
            BlockFormat::Lb4 { has_offset, .. } => (TileKind::Lb4, has_offset),
            BlockFormat::Lb8 => (TileKind::Lb8, false),
        };
        let planes = spec.planes() as u8;
        let mut parts: Vec<Part> = (0..planes).map(|plane| Part::new(plane_zone(spec, layout.far, plane))).collect();
        let mut placed = Vec::new();
        for (index, rows) in arrangement.rows.iter().enumerate() {
            let plane = (first_plane + index as u8) % planes;
            let part = &mut parts[usize::from(plane)];
            let per_load = if kind == TileKind::Lb4 { 2 } else { 1 };
            let tiles: Vec<_> = arrangement
                .groups
                .chunks(per_load)
                .map(|inputs| {
                    let codes = part.append(code_vectors(matrix, rows, inputs, spec));
                    (codes, part.append(all_scale_vectors(matrix, rows, inputs, kind, offsets, spec)))
                })
                .collect();
            placed.push((plane, tiles, rows));
        }
        let mut runs = Vec::new();
        for (plane, part) in parts.iter().enumerate() {
            let side = spec.plane_hemisphere(plane as u8);
            let run = layout.far_run(name, side, part.zone, part.vectors.len())?;
            layout.fill_run(&format!("{name}.plane{plane}"), run, &part.vectors);
            runs.push(run);
        }
        let mut outputs = Vec::new();
        for (index, (plane, tiles, rows)) in placed.into_iter().enumerate() {
            let run = runs[usize::from(plane)];
            let tiles = tiles.into_iter().map(|(codes, scales)| Tile { run, codes, scales }).collect();
            let values: Vec<i32> = rows.iter().map(|row| row.map_or(0, |row| matrix.exponent[row].into())).collect();
            let side = if index % 2 == 0 { Hemisphere::West } else { Hemisphere::East };
            let words = layout.constant(&format!("{name}.exponents{index}"), side, Format::I8, &values)?;
            let exponents = crate::composer::Stored { words, format: Format::I8, ready: 0 };
            outputs.push(Outputs { plane, tiles, exponents });
        }
        let codebook = codebook(name, matrix, &runs, layout)?;
        Ok(Self { kind, offsets, codebook, inputs: arrangement.groups.len(), outputs })
    }
}

/// A copy of the codebook beside the tiles of each plane, where the format has one.
fn codebook(name: &str, matrix: &BlockMatrix, runs: &[Run], layout: &mut Layout) -> Result<Option<Codebook>, Error> {
    let BlockFormat::Lb4 { codebook, .. } = matrix.format else { return Ok(None) };
    let mut copies = Vec::new();
    for (plane, run) in runs.iter().enumerate() {
        let zone = Zone { first: run.first_slice, end: run.first_slice + 1 };
        let copy = layout.far_run(name, run.hemisphere, zone, 1)?;
        let mut vector: Vec<u8> = codebook.iter().map(|code| *code as u8).collect();
        vector.resize(layout.lanes(), 0);
        layout.fill_run(&format!("{name}.codebook{plane}"), copy, &[vector]);
        copies.push(copy);
    }
    Ok(Some(Codebook { codes: codebook, copies }))
}

/// The vectors of one plane, tile parts beginning at whole rows of the run.
struct Part {
    zone: Zone,
    vectors: Vec<Vec<u8>>,
}

impl Part {
    fn new(zone: Zone) -> Self {
        Self { zone, vectors: Vec::new() }
    }

    /// Appends vectors; gives the first one's index and their number.
    fn append(&mut self, vectors: Vec<Vec<u8>>) -> (usize, usize) {
        let width = usize::from(self.zone.end - self.zone.first);
        let (first, count) = (self.vectors.len(), vectors.len());
        let lanes = vectors.first().map_or(0, Vec::len);
        self.vectors.extend(vectors);
        self.vectors.resize((first + count).next_multiple_of(width), vec![0; lanes]);
        (first, count)
    }
}

/// Row vectors of codes; for LB4 the second tile's stand in the high nibbles.
fn code_vectors(
    matrix: &BlockMatrix,
    rows: &[Option<usize>],
    inputs: &[Vec<Option<usize>>],
    spec: &MachineSpec,
) -> Vec<Vec<u8>> {
    let used = rows.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let mut vectors = vec![vec![0; spec.lanes() as usize]; used];
    for (vector, row) in vectors.iter_mut().zip(rows) {
        let Some(row) = row else { continue };
        for (tile, groups) in inputs.iter().enumerate() {
            for (at, group) in groups.iter().enumerate() {
                let Some(group) = group else { continue };
                let codes = &matrix.codes[(row * matrix.groups() + group) * GROUP..][..GROUP];
                for (lane, code) in vector[at * GROUP..].iter_mut().zip(codes) {
                    *lane |= if tile == 0 { *code as u8 } else { (*code as u8) << 4 };
                }
            }
        }
    }
    vectors
}

/// Scale vectors, lanes being outputs.
fn all_scale_vectors(
    matrix: &BlockMatrix,
    rows: &[Option<usize>],
    inputs: &[Vec<Option<usize>>],
    kind: TileKind,
    offsets: bool,
    spec: &MachineSpec,
) -> Vec<Vec<u8>> {
    let lanes = spec.lanes() as usize;
    let groups = lanes.div_ceil(GROUP);
    let mut vectors = Vec::with_capacity(scale_vectors(kind, offsets, spec) as usize);
    for tile in inputs {
        for table in [Some(&matrix.scale), offsets.then_some(&matrix.offset)].into_iter().flatten() {
            for at in 0..groups {
                let number = |row: &Option<usize>| match (row, tile.get(at).copied().flatten()) {
                    (Some(row), Some(group)) => table[row * matrix.groups() + group],
                    _ => 0,
                };
                for byte in 0..2 {
                    let mut vector: Vec<u8> = rows.iter().map(|row| number(row).to_le_bytes()[byte]).collect();
                    vector.resize(lanes, 0);
                    vectors.push(vector);
                }
            }
        }
    }
    vectors
}
