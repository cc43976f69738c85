//! The key and value cache: rows of 16 bits as two byte planes, dealt round the pairs of slices of a run; exponents in
//! one vector for each head and tile of positions, lanes being positions.

use std::ops::Range;

use lockstep_machine::inst::operand::{Format, ReduceOp};
use lockstep_program::program::Word;

use super::numbers::Block;
use super::switch::Table;
use super::{Composer, Stored, Value};
use crate::error::Error;
use crate::place::heads::HeadLanes;
use crate::place::layout::Run;

/// Below any exponent.
const NO_EXPONENT: i32 = -1000;

/// What a step of one token is given beside x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: Value,
    pub(crate) length: Value,
}

/// A cache with the token's own row in it.
pub(crate) struct Present {
    /// For each segment and vector of a row, the first cycle in which reads find it.
    pub(crate) ready: Vec<Vec<u64>>,
    /// Exponents of all positions: by tile of positions, then by head.
    pub(crate) exponents: Vec<Vec<Value>>,
}

/// The words of rows `from..to`, low and high byte in turn.
pub(crate) fn cache_words(run: Run, from: usize, to: usize) -> Vec<Word> {
    (2 * from..2 * to).map(|at| run.word(at)).collect()
}

/// Low and high bytes of rows.
pub(crate) fn cache_tables(run: Run, rows: usize) -> [Table; 2] {
    let log2_interleave = (run.width / 2).trailing_zeros();
    [0, 1].map(|offset| Table { run, offset, step: 2, log2_interleave, count: rows as u32 })
}

/// A segment's vectors of positions, and the runs of its rows.
pub(crate) type Rows<'r> = (&'r Range<usize>, &'r [Run]);

/// Writes a token's row and its exponents; `iotas` are the numbers of the positions, tile by tile.
pub(crate) fn store(
    c: &mut Composer<'_, '_>,
    heads: &HeadLanes,
    (segments, exponents): (&[Rows<'_>], &[Vec<Stored>]),
    blocks: &[Block],
    masks: &[Value],
    iotas: &[Value],
    place: Place,
) -> Result<Present, Error> {
    let lanes = c.layout.lanes();
    let mut ready = Vec::new();
    for (tiles, runs) in segments {
        // Before its first row the index is negative, which as an unsigned number is above all rows.
        let index = match tiles.start {
            0 => place.position,
            first => c.isub(place.position, (first * lanes) as i32)?,
        };
        let rows = (iotas.len().min(tiles.end) - tiles.start) * lanes;
        let of_runs = runs.iter().zip(blocks);
        let of_runs = of_runs.map(|(run, block)| c.scatter(index, block.codes[0], &cache_tables(*run, rows)));
        ready.push(of_runs.collect::<Result<Vec<_>, _>>()?);
    }
    let mut new = Vec::new();
    for (mask, (vector, _)) in masks.iter().zip(&heads.places).step_by(heads.copies) {
        new.push(broadcast(c, blocks[*vector].unit_exponent, *mask)?);
    }
    let mut updated = Vec::new();
    for (iota, stored) in iotas.iter().zip(exponents) {
        let is_here = c.iequal(*iota, place.position)?;
        let mut of_tile = Vec::new();
        for (new, stored) in new.iter().zip(stored) {
            let old = c.stored(stored.clone());
            let value = c.select(is_here, *new, old)?;
            c.keep_as(value, Format::I8);
            // The old vector has been read by then: the new one depends on it.
            c.write_to(value, &stored.words)?;
            of_tile.push(value);
        }
        updated.push(of_tile);
    }
    Ok(Present { ready, exponents: updated })
}

/// A head's integer, from its lanes to all lanes.
pub(crate) fn broadcast(c: &mut Composer<'_, '_>, value: Value, mask: Value) -> Result<Value, Error> {
    let only = c.select(mask, value, NO_EXPONENT)?;
    c.reduce(ReduceOp::MaximumI32, Composer::WHOLE, &[only])
}

/// Words of the cache that one load takes: whole rows, at most one of each slice.
pub(crate) fn wide_width(c: &Composer<'_, '_>, run: Run) -> usize {
    (c.spec.mxm.load_streams as usize / 2 * 2).min(run.width.into())
}
