//! One row of the embedding, by its token.

use lockstep_arith::matrix::GROUP;
use lockstep_machine::inst::operand::Format;

use super::{Composer, Value};
use crate::error::Error;
use crate::place::PlacedEmbedding;

impl Composer<'_, '_> {
    /// The embedding of a token, tile by tile (section 5 of the contract); `iota` is each lane's number.
    pub(crate) fn embed(
        &mut self,
        embedding: &PlacedEmbedding,
        token: Value,
        iota: &super::Stored,
    ) -> Result<Vec<Value>, Error> {
        let scales = &embedding.scales;
        let (vector, residue) = if scales.rows_per_vector == 1 {
            (token, None)
        } else {
            let residue = self.and(token, scales.rows_per_vector as i32 - 1)?;
            let offset = self.imul(residue, scales.bytes as i32)?;
            (self.shift_right(token, scales.rows_per_vector.ilog2() as i32)?, Some(offset))
        };
        let bytes = self.gather(vector, &[scales.table], Format::U8)?;
        let map = self.map(&scales.exponent_map, residue)?;
        let exponent = self.permute(bytes, &[map], Format::I8)?;
        let mut row = Vec::new();
        for (tile, maps) in scales.maps.iter().enumerate() {
            let code = self.code(embedding, token, tile)?;
            let mut numbers = Vec::new();
            for [low, high] in maps {
                let maps = [self.map(low, residue)?, self.map(high, residue)?];
                numbers.push(self.permute(bytes, &maps, Format::I16)?);
            }
            let mut integer = self.imul(numbers[0], code)?;
            if let Some(offset) = numbers.get(1) {
                integer = self.iadd(integer, *offset)?;
            }
            let first = (scales.first_tile + tile) * self.layout.lanes();
            if embedding.width < (first + self.layout.lanes()).min(embedding.width.next_multiple_of(GROUP)) {
                // Codes that fill up a group need not stand for zero, but what no column has must be zero.
                let iota = self.stored(iota.clone());
                let there = self.iless(iota, (embedding.width - first) as i32)?;
                integer = self.and(integer, there)?;
            }
            let number = self.float(integer)?;
            let number = self.ldexp(number, exponent)?;
            row.push(match embedding.factor {
                Some(factor) => self.multiply(number, factor)?,
                None => number,
            });
        }
        Ok(row)
    }

    /// A map of bytes for the row that stands so many bytes further in its vector.
    fn map(&mut self, map: &super::Stored, offset: Option<Value>) -> Result<Value, Error> {
        let map = self.stored(map.clone());
        let Some(offset) = offset else { return Ok(map) };
        let moved = self.iadd(map, offset)?;
        // The last lane, which is zero in all vectors, stays where it is.
        let last = self.layout.lanes() as i32 - 1;
        let moved = self.imin(moved, last)?;
        self.keep_as(moved, Format::U16);
        Ok(moved)
    }

    /// The codes of a row's tile.
    fn code(&mut self, embedding: &PlacedEmbedding, token: Value, tile: usize) -> Result<Value, Error> {
        let format = embedding.codes.format;
        let Some(codebook) = format.codebook else { return self.gather_sides(embedding, token, tile, Format::I8) };
        let both = self.gather_sides(embedding, token, tile / 2, Format::U8)?;
        let nibble = if tile.is_multiple_of(2) { self.and(both, 15)? } else { self.shift_right(both, 4)? };
        let first = i32::from(codebook[0]);
        if codebook.iter().enumerate().all(|(at, code)| i32::from(*code) == first + at as i32) {
            return self.iadd(nibble, first);
        }
        // Any other codebook: each code where its index stands.
        let mut code = self.iadd(nibble, 0)?;
        for (at, value) in codebook.iter().enumerate() {
            let here = self.iequal(nibble, at as i32)?;
            code = self.select(here, i32::from(*value), code)?;
        }
        Ok(code)
    }

    /// The token's vector of codes, from the side that has it.
    fn gather_sides(
        &mut self,
        embedding: &PlacedEmbedding,
        token: Value,
        chunk: usize,
        format: Format,
    ) -> Result<Value, Error> {
        let tables = embedding.codes.tables(chunk);
        let [(_, west), (first, east)] = tables[..] else { return self.gather(token, &[tables[0].1], format) };
        // Each side gathers some row; the one that has the token's is chosen.
        let west_row = self.imin(token, west.count as i32 - 1)?;
        let east_row = self.isub(token, first as i32)?;
        let east_row = self.imax(east_row, 0)?;
        let west_codes = self.gather(west_row, &[west], format)?;
        let east_codes = self.gather(east_row, &[east], format)?;
        let in_west = self.iless(token, first as i32)?;
        self.select(in_west, west_codes, east_codes)
    }
}
