//! The key and value cache: rows of 16 bits as two byte planes, row t in slice pair t mod 8; exponents in one vector a
//! head, lanes being positions.

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::{Format, ReduceOp};
use lockstep_program::program::Word;

use crate::composer::{Composer, Stored, Value};
use crate::error::Error;
use crate::layout::{Layout, Zone};
use crate::numbers::Block;
use crate::switch::Table;

/// Rows of the cache go round so many slice pairs.
const PAIRS: u8 = 8;
/// Below any exponent.
const NO_EXPONENT: i32 = -1000;

/// Cached keys or values in memory.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Low and high bytes.
    tables: [Table; 2],
    /// One vector of exponents a head.
    exponents: Vec<Stored>,
}

impl Cache {
    pub(crate) fn new(name: &str, side: Hemisphere, heads: usize, layout: &mut Layout) -> Result<Self, Error> {
        let lanes = layout.lanes();
        let first = layout.far.first;
        let mut exponents = Vec::new();
        for head in 0..heads {
            let words = layout.constant(&format!("{name}.exponents{head}"), side, Format::I8, &vec![0; lanes])?;
            exponents.push(Stored { words, format: Format::I8, ready: 0 });
        }
        // Pairs of slices: low bytes in the even ones, high bytes in the odd ones.
        let both = layout.far_run(name, side, Zone { first, end: first + 2 * PAIRS }, 2 * lanes)?;
        layout.clear_run(name, both, 2 * lanes);
        let log2_interleave = PAIRS.trailing_zeros();
        let table = |offset| Table { run: both, offset, step: 2, log2_interleave, count: lanes as u32 };
        Ok(Self { tables: [0, 1].map(table), exponents })
    }

    /// The words of rows `from..to`, low and high byte in turn.
    pub(crate) fn words(&self, from: usize, to: usize) -> Vec<Word> {
        (2 * from..2 * to).map(|at| self.tables[0].run.word(at)).collect()
    }
}

/// What a step of one token is given beside x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: Value,
    pub(crate) length: Value,
}

/// A cache with the token's own row in it.
pub(crate) struct Present {
    /// The first cycle in which reads find it.
    pub(crate) ready: u64,
    /// Exponents of all positions, one vector a head.
    pub(crate) exponents: Vec<Value>,
}

/// Writes a token's row and its exponents.
pub(crate) fn store(
    c: &mut Composer<'_, '_>,
    cache: &Cache,
    block: &Block,
    masks: &[Value],
    iota: &Stored,
    place: Place,
) -> Result<Present, Error> {
    let ready = c.scatter(place.position, block.codes[0], &cache.tables)?;
    let iota = c.stored(iota.clone());
    let is_here = c.iequal(iota, place.position)?;
    let mut exponents = Vec::new();
    for (mask, stored) in masks.iter().zip(&cache.exponents) {
        let new = broadcast(c, block.unit_exponent, *mask)?;
        let old = c.stored(stored.clone());
        let updated = c.select(is_here, new, old)?;
        c.keep_as(updated, Format::I8);
        // The old vector has been read by then: the new one depends on it.
        c.write_to(updated, &stored.words)?;
        exponents.push(updated);
    }
    Ok(Present { ready, exponents })
}

/// A head's integer, from its lanes to all lanes.
pub(crate) fn broadcast(c: &mut Composer<'_, '_>, value: Value, mask: Value) -> Result<Value, Error> {
    let only = c.select(mask, value, NO_EXPONENT)?;
    c.reduce(ReduceOp::MaximumI32, Composer::WHOLE, &[only])
}

/// Words of the cache that one load takes: whole rows, at most one of each slice.
pub(crate) fn wide_width(c: &Composer<'_, '_>) -> usize {
    (c.spec.mxm.load_streams as usize / 2 * 2).min(2 * usize::from(PAIRS))
}
