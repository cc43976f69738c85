//! Tables of rows, such as an embedding: one row by its number, as f32.
//!
//! Codes lie as in a matrix's row vectors (for LB4 two tiles side by side in the nibbles). The scales of a row are one
//! vector of a second table: the bytes of D of all groups, then those of O, then the exponent; they are spread over the
//! lanes of their groups by permutations.

use lockstep_arith::matrix::{BlockMatrix, Format as BlockFormat, GROUP};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;

use crate::composer::{Composer, Stored, Value};
use crate::error::Error;
use crate::layout::{Layout, Zone};
use crate::switch::Table;

/// A table in memory.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Tiles of a row.
    tiles: usize,
    format: BlockFormat,
    /// One a tile, or one a pair of tiles for LB4.
    codes: Vec<Table>,
    scales: Table,
    /// For each tile the maps of D, and of O where there is one: low and high byte.
    maps: Vec<Vec<[Stored; 2]>>,
    exponent_map: Stored,
}

impl Rows {
    pub(crate) fn new(name: &str, matrix: &BlockMatrix, layout: &mut Layout) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let tables = if matrix.format.has_offset() { 2 } else { 1 };
        let bytes = 2 * tables * matrix.groups() + 1;
        if bytes > lanes || matrix.rows == 0 {
            let found = format!("{} rows of {} columns", matrix.rows, matrix.cols);
            return Err(Error::shape(name, found, format!("rows whose scales fit {lanes} bytes")));
        }
        let (tiles, per_vector) = (matrix.cols.div_ceil(lanes), if matrix.format == BlockFormat::Lb8 { 1 } else { 2 });
        let mut codes = Vec::new();
        for first in (0..tiles).step_by(per_vector) {
            let vectors: Vec<_> =
                (0..matrix.rows).map(|row| row_codes(matrix, row, first, per_vector, lanes)).collect();
            codes.push(table(&format!("{name}.codes{first}"), Hemisphere::West, &vectors, layout)?);
        }
        let vectors: Vec<_> = (0..matrix.rows).map(|row| row_scales(matrix, row, lanes)).collect();
        let scales = table(&format!("{name}.scales"), Hemisphere::East, &vectors, layout)?;
        let mut maps = Vec::new();
        for tile in 0..tiles {
            let mut of_tile = Vec::new();
            for part in 0..tables {
                let byte = |byte: usize| {
                    let from = move |group| 2 * (part * matrix.groups() + group) + byte;
                    map(name, lanes, |lane| {
                        let group = (tile * lanes + lane) / GROUP;
                        (group < matrix.groups()).then(|| from(group))
                    })
                };
                let [low, high] = [byte(0), byte(1)].map(|(name, values)| constant(&name, &values, layout));
                of_tile.push([low?, high?]);
            }
            maps.push(of_tile);
        }
        let (map_name, values) = map(name, lanes, |_| Some(bytes - 1));
        let exponent_map = constant(&map_name, &values, layout)?;
        Ok(Self { tiles, format: matrix.format, codes, scales, maps, exponent_map })
    }

    /// The row that `index` names, tile by tile.
    pub(crate) fn row(&self, c: &mut Composer<'_, '_>, index: Value) -> Result<Vec<Value>, Error> {
        let scales = c.gather(index, &[self.scales], Format::U8)?;
        let exponent_map = c.stored(self.exponent_map.clone());
        let exponent = c.permute(scales, &[exponent_map], Format::I8)?;
        let mut row = Vec::new();
        for tile in 0..self.tiles {
            let code = self.code(c, index, tile)?;
            let mut numbers = Vec::new();
            for [low, high] in &self.maps[tile] {
                let maps = [c.stored(low.clone()), c.stored(high.clone())];
                numbers.push(c.permute(scales, &maps, Format::I16)?);
            }
            let mut integer = c.imul(numbers[0], code)?;
            if let Some(offset) = numbers.get(1) {
                integer = c.iadd(integer, *offset)?;
            }
            let number = c.float(integer)?;
            row.push(c.ldexp(number, exponent)?);
        }
        Ok(row)
    }

    /// The codes of a row's tile.
    fn code(&self, c: &mut Composer<'_, '_>, index: Value, tile: usize) -> Result<Value, Error> {
        let BlockFormat::Lb4 { codebook, .. } = self.format else {
            return c.gather(index, &self.codes[tile..=tile], Format::I8);
        };
        let both = c.gather(index, &self.codes[tile / 2..=tile / 2], Format::U8)?;
        let nibble = if tile.is_multiple_of(2) { c.and(both, 15)? } else { c.shift_right(both, 4)? };
        let first = i32::from(codebook[0]);
        if codebook.iter().enumerate().all(|(at, code)| i32::from(*code) == first + at as i32) {
            return c.iadd(nibble, first);
        }
        // Any other codebook: each code where its index stands.
        let mut code = c.iadd(nibble, 0)?;
        for (at, value) in codebook.iter().enumerate() {
            let here = c.iequal(nibble, at as i32)?;
            code = c.select(here, i32::from(*value), code)?;
        }
        Ok(code)
    }
}

/// Places rows round slices, as many as it needs: a power of two.
fn table(name: &str, side: Hemisphere, vectors: &[Vec<u8>], layout: &mut Layout) -> Result<Table, Error> {
    let first = layout.far.first;
    let width = if vectors.len() < 64 { 1 } else { 16 };
    let zone = Zone { first, end: (first + width).min(layout.far.end) };
    let run = layout.far_run(name, side, zone, vectors.len())?;
    layout.fill_run(name, run, vectors);
    Ok(Table::new(run, vectors.len()))
}

/// A row's codes in one vector.
fn row_codes(matrix: &BlockMatrix, row: usize, first_tile: usize, tiles: usize, lanes: usize) -> Vec<u8> {
    let stored = matrix.groups() * GROUP;
    let codes = &matrix.codes[row * stored..][..stored];
    let mut vector = vec![0; lanes];
    for tile in 0..tiles {
        let from = ((first_tile + tile) * lanes).min(stored);
        for (lane, code) in vector.iter_mut().zip(&codes[from..]) {
            *lane |= if tile == 0 { *code as u8 } else { (*code as u8) << 4 };
        }
    }
    vector
}

/// A row's scales, offsets and exponent in one vector.
fn row_scales(matrix: &BlockMatrix, row: usize, lanes: usize) -> Vec<u8> {
    let groups = row * matrix.groups()..(row + 1) * matrix.groups();
    let offsets = matrix.offset.get(groups.clone()).unwrap_or_default();
    let numbers = matrix.scale[groups].iter().chain(offsets);
    let mut vector: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
    vector.push(matrix.exponent[row] as u8);
    vector.resize(lanes, 0);
    vector
}

/// A map's name and its values: the lane that each lane takes, 0xffff for none.
fn map(name: &str, lanes: usize, from: impl Fn(usize) -> Option<usize>) -> (String, Vec<i32>) {
    (format!("{name}.map"), (0..lanes).map(|lane| from(lane).map_or(0xffff, |from| from as i32)).collect())
}

fn constant(name: &str, values: &[i32], layout: &mut Layout) -> Result<Stored, Error> {
    let words = layout.constant(name, Hemisphere::East, Format::U16, values)?;
    Ok(Stored { words, format: Format::U16, ready: 0 })
}
