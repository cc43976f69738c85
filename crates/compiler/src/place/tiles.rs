//! Weight matrices as tiles: which row and column stands where, and the vectors that a plane loads.

use std::ops::Range;

use lockstep_arith::matrix::{BlockMatrix, Format as BlockFormat, GROUP};
use lockstep_machine::access::scale_vectors;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::TileKind;
use lockstep_machine::spec::MachineSpec;

use super::contents::Contents;
use super::layout::{Layout, Run, Zone};
use crate::error::Error;

/// How a matrix is spread over tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrangement {
    /// For each tile of outputs and each of its lanes, the matrix's row.
    pub(crate) rows: Vec<Vec<Option<usize>>>,
    /// For each tile of inputs and each of its groups of 32 lanes, the matrix's group of columns.
    pub(crate) groups: Vec<Vec<Option<usize>>>,
}

impl Arrangement {
    /// Vectors of codes and scales that it takes in a format.
    pub(crate) fn vectors(&self, format: TileFormat, spec: &MachineSpec) -> usize {
        let loads: Vec<_> = self.groups.chunks(format.inputs_per_load()).collect();
        let scales: usize = loads.iter().map(|inputs| scale_count(format, inputs, spec)).sum();
        self.rows.iter().map(|rows| used(rows).len() * loads.len() + scales).sum()
    }
}

/// `0..count` dealt to tiles of `size`, the last one filled up with nothing.
pub(crate) fn in_order(count: usize, size: usize) -> Vec<Vec<Option<usize>>> {
    (0..count.div_ceil(size))
        .map(|tile| (tile * size..(tile + 1) * size).map(|at| (at < count).then_some(at)).collect())
        .collect()
}

/// Consecutive vectors of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vectors {
    pub(crate) run: Run,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// A tile in memory, as a plane loads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub(crate) codes: Vectors,
    pub(crate) scales: Vectors,
}

/// All tiles of one tile of outputs.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) plane: u8,
    /// The first row that is loaded: those before it stay zero.
    pub(crate) first: usize,
    /// One for LB8, or one pair for LB4, after the other.
    pub(crate) tiles: Vec<Tile>,
}

/// The kind of a format's tiles, and what else its loads depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileFormat {
    pub(crate) kind: TileKind,
    pub(crate) offsets: bool,
    pub(crate) codebook: Option<[i8; 16]>,
}

impl From<BlockFormat> for TileFormat {
    fn from(format: BlockFormat) -> Self {
        match format {
            BlockFormat::Lb4 { codebook, has_offset } => {
                Self { kind: TileKind::Lb4, offsets: has_offset, codebook: Some(codebook) }
            }
            BlockFormat::Lb8 => Self { kind: TileKind::Lb8, offsets: false, codebook: None },
        }
    }
}

impl TileFormat {
    /// Tiles of inputs that one load installs.
    pub(crate) fn inputs_per_load(self) -> usize {
        if self.kind == TileKind::Lb4 { 2 } else { 1 }
    }
}

/// The sides of the chip.
const SIDES: [Hemisphere; 2] = [Hemisphere::West, Hemisphere::East];

/// A matrix in memory.
#[derive(Clone, Debug)]
pub(crate) struct Tiled {
    pub(crate) format: TileFormat,
    /// Tiles of inputs.
    pub(crate) inputs: usize,
    pub(crate) outputs: Vec<Outputs>,
}

/// Vectors that a plane loads at once, so that both planes of a hemisphere can load from the far slices.
pub(crate) fn load_width(spec: &MachineSpec, far: Zone) -> usize {
    let each = u32::from(far.width()) / spec.mxm.planes_per_hemisphere;
    each.min(spec.mxm.load_streams) as usize
}

/// Places matrices: their tiles of outputs go round the planes, each matrix going on where the one before it ended; or
/// each to the side that has less, so that matrices of few tiles fill both alike.
#[derive(Clone, Debug)]
pub(crate) struct Tiler<'a> {
    spec: &'a MachineSpec,
    evenly: bool,
    /// Tiles so far: on both sides together, or on each.
    tiles: [u8; SIDES.len()],
    /// Vectors of each side so far.
    vectors: [usize; SIDES.len()],
}

impl<'a> Tiler<'a> {
    pub(crate) fn new(spec: &'a MachineSpec, evenly: bool) -> Self {
        Self { spec, evenly, tiles: [0; SIDES.len()], vectors: [0; SIDES.len()] }
    }

    /// The plane of the next tile.
    fn next_plane(&mut self) -> u8 {
        let (all, of_side) = (self.spec.planes() as u8, self.spec.mxm.planes_per_hemisphere as u8);
        let side = usize::from(self.evenly && self.vectors[1] < self.vectors[0]);
        let turn = self.tiles[side];
        let planes = if self.evenly { of_side } else { all };
        self.tiles[side] = (turn + 1) % planes;
        side as u8 * of_side + turn
    }

    pub(crate) fn place(
        &mut self,
        name: &str,
        format: BlockFormat,
        arrangement: &Arrangement,
        layout: &mut Layout,
    ) -> Result<Tiled, Error> {
        let (format, spec) = (TileFormat::from(format), self.spec);
        let mut counts = [0; SIDES.len()];
        let mut counted = Vec::new();
        for rows in &arrangement.rows {
            let plane = self.next_plane();
            let (used, side) = (used(rows), usize::from(spec.plane_hemisphere(plane) == SIDES[1]));
            let mut append = |count: usize| {
                self.vectors[side] += count;
                counts[side] += count;
                (counts[side] - count, count)
            };
            let tiles = arrangement.groups.chunks(format.inputs_per_load()).map(|inputs| {
                let codes = append(used.len());
                (codes, append(scale_count(format, inputs, spec)))
            });
            counted.push((plane, side, used.start, tiles.collect::<Vec<_>>()));
        }
        let mut runs = Vec::new();
        for (side, count) in SIDES.into_iter().zip(counts) {
            runs.push(layout.run(name, side, layout.far, count)?);
        }
        let outputs = counted.into_iter().map(|(plane, side, first, tiles)| {
            let vectors = |(first, count)| Vectors { run: runs[side], first, count };
            let tiles =
                tiles.into_iter().map(|(codes, scales)| Tile { codes: vectors(codes), scales: vectors(scales) });
            Outputs { plane, first, tiles: tiles.collect() }
        });
        Ok(Tiled { format, inputs: arrangement.groups.len(), outputs: outputs.collect() })
    }
}

impl Tiled {
    /// Writes a matrix so many words further than the tiles were placed.
    pub(crate) fn fill(
        &self,
        name: &str,
        matrix: Option<&BlockMatrix>,
        arrangement: &Arrangement,
        offset: u32,
        spec: &MachineSpec,
        contents: &mut Contents,
    ) {
        let mut counts: Vec<(Run, usize)> = Vec::new();
        for at in self.outputs.iter().flat_map(|outputs| &outputs.tiles).flat_map(|tile| [tile.codes, tile.scales]) {
            match counts.iter_mut().find(|(run, _)| *run == at.run) {
                Some((_, count)) => *count = (*count).max(at.first + at.count),
                None => counts.push((at.run, at.first + at.count)),
            }
        }
        for (run, count) in counts {
            let vectors = matrix.map(|matrix| self.vectors(run, count, matrix, arrangement, spec));
            contents.fill(name, run.moved(offset), count, vectors.as_deref());
        }
    }

    /// What a run holds.
    fn vectors(
        &self,
        run: Run,
        count: usize,
        matrix: &BlockMatrix,
        arrangement: &Arrangement,
        spec: &MachineSpec,
    ) -> Vec<Vec<u8>> {
        let mut held = vec![Vec::new(); count];
        let mut put = |at: &Vectors, vectors: &dyn Fn() -> Vec<Vec<u8>>| {
            if at.run == run {
                held[at.first..at.first + at.count].iter_mut().zip(vectors()).for_each(|(held, vector)| *held = vector);
            }
        };
        for (rows, outputs) in arrangement.rows.iter().zip(&self.outputs) {
            let inputs = arrangement.groups.chunks(self.format.inputs_per_load());
            for (inputs, tile) in inputs.zip(&outputs.tiles) {
                put(&tile.codes, &|| code_vectors(matrix, rows, inputs, spec));
                put(&tile.scales, &|| all_scale_vectors(matrix, rows, inputs, self.format, spec));
            }
        }
        for vector in &mut held {
            vector.resize(spec.lanes() as usize, 0);
        }
        held
    }
}

/// Row vectors from the first to the last that holds a row.
pub(crate) fn used(rows: &[Option<usize>]) -> Range<usize> {
    let first = rows.iter().position(Option::is_some).unwrap_or_default();
    first..rows.iter().rposition(Option::is_some).map_or(first, |last| last + 1)
}

/// Row vectors of codes; for LB4 the second tile's stand in the high nibbles.
pub(crate) fn code_vectors(
    matrix: &BlockMatrix,
    rows: &[Option<usize>],
    inputs: &[Vec<Option<usize>>],
    spec: &MachineSpec,
) -> Vec<Vec<u8>> {
    let rows = &rows[used(rows)];
    let mut vectors = vec![vec![0; spec.lanes() as usize]; rows.len()];
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

/// How many scale vectors the tiles of one load have.
pub(crate) fn scale_count(format: TileFormat, inputs: &[Vec<Option<usize>>], spec: &MachineSpec) -> usize {
    let all = scale_vectors(format.kind, format.offsets, spec) as usize;
    all / format.inputs_per_load() * inputs.len()
}

/// Scale vectors, lanes being outputs.
pub(crate) fn all_scale_vectors(
    matrix: &BlockMatrix,
    rows: &[Option<usize>],
    inputs: &[Vec<Option<usize>>],
    format: TileFormat,
    spec: &MachineSpec,
) -> Vec<Vec<u8>> {
    let lanes = spec.lanes() as usize;
    let groups = lanes.div_ceil(GROUP);
    let mut vectors = Vec::with_capacity(scale_count(format, inputs, spec));
    for tile in inputs {
        for table in [Some(&matrix.scale), format.offsets.then_some(&matrix.offset)].into_iter().flatten() {
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
