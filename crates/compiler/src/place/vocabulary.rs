//! Tables of rows by token: the embedding, and the output head that shares its codes.
//!
//! The codes of each tile of columns (of each pair of tiles for LB4) lie as row vectors, the first half of all rows in
//! the west, the others in the east, dealt round a power of two of slices: so they can be gathered by token, and loaded
//! as the head's tiles. The scales of some rows stand side by side in one vector of another table: for each row the
//! bytes of D of all groups, then those of O, then the exponent. They are spread over the lanes of their groups by
//! permutations.

use std::ops::Range;

use lockstep_arith::matrix::{BlockMatrix, GROUP};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::spec::MachineSpec;

use super::contents::Contents;
use super::layout::{Layout, Run, Zone};
use super::tiles::{Tile, TileFormat, Tiled, Vectors, all_scale_vectors, code_vectors, in_order, scale_count};
use crate::compose::Stored;
use crate::compose::switch::Table;
use crate::error::Error;
use crate::weights::Matrix;

/// Slices round which codes are dealt, at most.
const SPREAD: usize = 16;
/// Slices round which scales are dealt, at most.
const SCALE_SPREAD: usize = 8;
/// Both sides, first rows first.
const SIDES: [Hemisphere; 2] = [Hemisphere::West, Hemisphere::East];

/// The codes of a matrix by row.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    pub(crate) format: TileFormat,
    rows: usize,
    /// Rows on the first side: whole tiles.
    pub(crate) first_side: usize,
    /// The tiles of columns that are here.
    columns: Range<usize>,
    /// For each tile or pair of tiles of columns, the runs of both sides.
    runs: Vec<[Option<Run>; 2]>,
}

impl Codes {
    /// Gives out memory for the codes of some tiles of columns.
    pub(crate) fn place(
        name: &str,
        matrix: &Matrix<'_>,
        columns: Range<usize>,
        layout: &mut Layout,
    ) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let (format, rows) = (TileFormat::from(matrix.format), matrix.rows);
        let first_side = (rows.div_ceil(lanes).div_ceil(2) * lanes).min(rows);
        let width = spread(first_side, SPREAD);
        let parts = (layout.far.end / width).max(1);
        let chunks = columns.len().div_ceil(format.inputs_per_load());
        let mut runs = Vec::new();
        for chunk in 0..chunks {
            // From the outermost slices inward, so that what two planes load meets in few of them.
            let end = layout.far.end - chunk as u8 % parts.min(2) * width;
            let zone = Zone { first: end - width, end };
            let mut both = [None; 2];
            for (side, (run, count)) in SIDES.iter().zip(both.iter_mut().zip([first_side, rows - first_side])) {
                if count > 0 {
                    *run = Some(layout.run(name, *side, zone, count)?);
                }
            }
            runs.push(both);
        }
        Ok(Self { format, rows, first_side, columns, runs })
    }

    /// Writes the codes.
    pub(crate) fn fill(&self, name: &str, matrix: &Matrix<'_>, spec: &MachineSpec, contents: &mut Contents) {
        let groups = &in_order(matrix.groups(), spec.lanes() as usize / GROUP)[self.columns.clone()];
        for (runs, inputs) in self.runs.iter().zip(groups.chunks(self.format.inputs_per_load())) {
            let sides = [0..self.first_side, self.first_side..self.rows];
            for (run, rows) in runs.iter().zip(sides) {
                let rows: Vec<Option<usize>> = rows.map(Some).collect();
                if let Some(run) = run {
                    let vectors = matrix.values.map(|matrix| code_vectors(matrix, &rows, inputs, spec));
                    contents.fill(name, *run, rows.len(), vectors.as_deref());
                }
            }
        }
    }

    /// The tables of a chunk of columns, with their first rows.
    pub(crate) fn tables(&self, chunk: usize) -> Vec<(usize, Table)> {
        let counts = [self.first_side, self.rows - self.first_side];
        let firsts = [0, self.first_side];
        let table =
            |(run, (first, count)): (&Option<Run>, (usize, usize))| run.map(|run| (first, Table::new(run, count)));
        self.runs[chunk].iter().zip(firsts.into_iter().zip(counts)).filter_map(table).collect()
    }

    /// The codes as tiles of a matrix, with room for the tiles' scales.
    pub(crate) fn head(
        &self,
        name: &str,
        cols: usize,
        spec: &MachineSpec,
        layout: &mut Layout,
    ) -> Result<Tiled, Error> {
        let lanes = layout.lanes();
        let inputs = in_order(cols.div_ceil(GROUP), lanes / GROUP);
        let per_tile: Vec<usize> =
            inputs.chunks(self.format.inputs_per_load()).map(|inputs| scale_count(self.format, inputs, spec)).collect();
        let planes = spec.mxm.planes_per_hemisphere as usize;
        let mut outputs = Vec::new();
        for (side, rows) in [(0, self.first_side), (1, self.rows - self.first_side)] {
            let tiles = rows.div_ceil(lanes);
            let each: usize = per_tile.iter().sum();
            let scales = layout.run(name, SIDES[side], layout.far, each * tiles)?;
            let mut next = 0;
            for tile in 0..tiles {
                let plane = (side * planes + tile % planes) as u8;
                let one = |(runs, count): (&[Option<Run>; 2], &usize)| {
                    let codes = runs[side].unwrap_or(scales);
                    let codes = Vectors { run: codes, first: tile * lanes, count: lanes.min(rows - tile * lanes) };
                    next += count;
                    Tile { codes, scales: Vectors { run: scales, first: next - count, count: *count } }
                };
                let tiles = self.runs.iter().zip(&per_tile).map(one).collect();
                outputs.push((tile, super::tiles::Outputs { plane, first: 0, tiles }));
            }
        }
        // Both sides in turn, so that all planes work.
        outputs.sort_by_key(|(tile, _)| *tile);
        Ok(Tiled { format: self.format, inputs: inputs.len(), outputs: outputs.into_iter().map(|(_, o)| o).collect() })
    }

    /// The rows of each tile of outputs, in the order of [`Self::head`].
    pub(crate) fn tile_rows(&self, lanes: usize) -> Vec<Vec<Option<usize>>> {
        let sides = [(0, self.first_side), (self.first_side, self.rows)];
        let tiles = sides.iter().flat_map(|(first, end)| {
            (*first..*end).step_by(lanes).enumerate().map(move |(tile, from)| {
                let rows = (from..from + lanes).map(|row| (row < *end).then_some(row)).collect();
                (tile, rows)
            })
        });
        let mut tiles: Vec<(usize, Vec<Option<usize>>)> = tiles.collect();
        tiles.sort_by_key(|(tile, _)| *tile);
        tiles.into_iter().map(|(_, rows)| rows).collect()
    }

    /// Writes the scales of the head's tiles.
    pub(crate) fn fill_head(
        &self,
        name: &str,
        head: &Tiled,
        matrix: &Matrix<'_>,
        spec: &MachineSpec,
        contents: &mut Contents,
    ) {
        let groups = in_order(matrix.groups(), spec.lanes() as usize / GROUP);
        let mut sides: Vec<(Run, usize, Vec<Vec<u8>>)> = Vec::new();
        for (rows, outputs) in self.tile_rows(spec.lanes() as usize).iter().zip(&head.outputs) {
            for (inputs, tile) in groups.chunks(self.format.inputs_per_load()).zip(&outputs.tiles) {
                let run = tile.scales.run;
                let known = sides.iter().position(|(side, ..)| *side == run).unwrap_or_else(|| {
                    sides.push((run, 0, Vec::new()));
                    sides.len() - 1
                });
                // Tiles of a side come in the order of their scales.
                let (_, count, vectors) = &mut sides[known];
                *count += tile.scales.count;
                let scales = |matrix| all_scale_vectors(matrix, rows, inputs, self.format, spec);
                vectors.extend(matrix.values.map(scales).into_iter().flatten());
            }
        }
        for (run, count, vectors) in sides {
            contents.fill(name, run, count, matrix.values.map(|_| vectors.as_slice()));
        }
    }
}

/// Scales and exponents of rows, for the embedding.
#[derive(Clone, Debug)]
pub(crate) struct RowScales {
    pub(crate) table: Table,
    /// The first tile of columns.
    pub(crate) first_tile: usize,
    /// Rows that stand side by side in a vector, a power of two, and how far apart.
    pub(crate) rows_per_vector: usize,
    pub(crate) bytes: usize,
    /// For each tile of columns the maps of D, and of O where there is one: low and high byte.
    pub(crate) maps: Vec<Vec<[Stored; 2]>>,
    pub(crate) exponent_map: Stored,
}

impl RowScales {
    /// Places the table, behind the text of a hemisphere where one is given, and its maps for a row that stands first
    /// in its vector.
    pub(crate) fn new(
        name: &str,
        (matrix, columns): (&Matrix<'_>, Range<usize>),
        spare: Option<Hemisphere>,
        layout: &mut Layout,
        contents: &mut Contents,
    ) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let tables = if matrix.format.has_offset() { 2 } else { 1 };
        let each = lanes / GROUP;
        let here = columns.start * each..(columns.end * each).min(matrix.groups());
        let groups = here.len();
        let bytes = 2 * tables * groups + 1;
        // The last lane is zero in all vectors: what no group needs comes from there.
        let most = (lanes - 1) / bytes;
        if most == 0 || matrix.rows == 0 {
            let found = format!("{} rows of {} columns", matrix.rows, matrix.cols);
            return Err(Error::shape(name, found, format!("rows whose scales fit {} bytes", lanes - 1)));
        }
        let rows_per_vector = 1 << most.ilog2();
        let count = matrix.rows.div_ceil(rows_per_vector);
        let side = spare.unwrap_or(Hemisphere::East);
        let width = spread(count, SCALE_SPREAD);
        // From the outermost slices inward.
        let ends = (layout.far.first + width..=layout.far.end).rev().step_by(width.into());
        let run = if let Some(side) = spare {
            layout.spare_run(name, side, count)?
        } else {
            let mut runs = ends.map(|end| layout.run(name, side, Zone { first: end - width, end }, count));
            runs.find(Result::is_ok).unwrap_or_else(|| Err(Error::memory(name, count as u32, layout.far)))?
        };
        let vector = |values: &BlockMatrix, first: usize| {
            let mut vector = vec![0; lanes];
            for row in first..(first + rows_per_vector).min(matrix.rows) {
                vector[(row - first) * bytes..][..bytes].copy_from_slice(&row_scales(values, row, here.clone()));
            }
            vector
        };
        let firsts = (0..matrix.rows).step_by(rows_per_vector);
        let vectors = matrix.values.map(|values| firsts.map(|first| vector(values, first)).collect::<Vec<_>>());
        contents.fill(&format!("{name}.scales"), run, count, vectors.as_deref());
        let mut map = |from: &dyn Fn(usize) -> Option<usize>| -> Result<Stored, Error> {
            let values: Vec<i32> = (0..lanes).map(|lane| from(lane).unwrap_or(lanes - 1) as i32).collect();
            let words = layout.near_words(name, side, Format::U16)?;
            let index = contents.images.len();
            contents.constant(&format!("{name}.map{index}"), &words, 0, Some(&values));
            Ok(Stored { words, format: Format::U16, ready: 0 })
        };
        let mut maps = Vec::new();
        for tile in 0..columns.len() {
            let mut of_tile = Vec::new();
            for part in 0..tables {
                let mut byte = |byte: usize| {
                    map(&|lane| {
                        let group = (tile * lanes + lane) / GROUP;
                        (group < groups).then_some(2 * (part * groups + group) + byte)
                    })
                };
                of_tile.push([byte(0)?, byte(1)?]);
            }
            maps.push(of_tile);
        }
        let exponent_map = map(&|_| Some(bytes - 1))?;
        let (table, first_tile) = (Table::new(run, count), columns.start);
        Ok(Self { table, first_tile, rows_per_vector, bytes, maps, exponent_map })
    }
}

/// As many slices as rows need, a power of two.
fn spread(rows: usize, most: usize) -> u8 {
    if rows < 4 * most { 1 } else { most as u8 }
}

/// A row's scales, offsets and exponent, for some groups of columns.
fn row_scales(matrix: &BlockMatrix, row: usize, groups: Range<usize>) -> Vec<u8> {
    let first = row * matrix.groups();
    let groups = first + groups.start..first + groups.end;
    let offsets = matrix.offset.get(groups.clone()).unwrap_or_default();
    let numbers = matrix.scale[groups].iter().chain(offsets);
    let mut bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
    bytes.push(matrix.exponent[row] as u8);
    bytes
}
