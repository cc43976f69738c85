//! Constants of layers: exponents, vectors, the exponents of cached keys and values.

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;

use super::contents::Contents;
use super::layout::Layout;
use super::uses::Use;
use crate::compose::Stored;
use crate::error::Error;
use crate::network::Section;
use crate::weights::Named;

/// What a layer has beside matrices, for each weight: exponents of a matrix by tile of outputs, or the tiles of a vector.
pub(crate) type Constants = Vec<Vec<Stored>>;

/// Exponents of cached keys and values: by tile of positions, then by key head. Each sequence has its own.
pub(crate) type Exponents = [Vec<Vec<Stored>>; 2];

/// Gives out words for a layer's constants.
pub(super) fn constants(uses: &[Use], layout: &mut Layout) -> Result<Constants, Error> {
    let sides = [Hemisphere::West, Hemisphere::East];
    let mut vectors = |format, count: usize, what: &str| -> Result<Vec<Stored>, Error> {
        let one = |at: usize| Ok(Stored { words: layout.near_words(what, sides[at % 2], format)?, format, ready: 0 });
        (0..count).map(one).collect()
    };
    let weights = uses.iter().map(|usage| match usage {
        Use::Matrix(arrangement) => vectors(Format::I8, arrangement.rows.len(), "exponents"),
        Use::Vector(rows) => vectors(Format::F32, rows.len(), "vector"),
    });
    weights.collect()
}

/// Gives out words for the exponents of a cache of so many vectors of positions.
pub(super) fn exponents(section: &Section, tiles: usize, layout: &mut Layout) -> Result<Exponents, Error> {
    let heads = section.heads.as_ref().map_or(0, |heads| heads.keys.count());
    let mut exponents = |side| -> Result<Vec<Vec<Stored>>, Error> {
        let mut one = |_| {
            let words = layout.near_words("cache exponents", side, Format::I8)?;
            Ok(Stored { words, format: Format::I8, ready: 0 })
        };
        (0..tiles).map(|_| (0..heads).map(&mut one).collect()).collect()
    };
    Ok([exponents(Hemisphere::West)?, exponents(Hemisphere::East)?])
}

/// Writes a layer's constants, `offset` words further than they were placed.
pub(super) fn fill_constants(
    weights: &[Named<'_>],
    uses: &[Use],
    placed: &Constants,
    offset: u32,
    contents: &mut Contents,
) -> Result<(), Error> {
    for ((named, usage), stored) in weights.iter().zip(uses).zip(placed) {
        type Value<'v> = Box<dyn Fn(usize) -> i32 + 'v>;
        let (rows, what, value): (_, _, Option<Value<'_>>) = match usage {
            Use::Matrix(arrangement) => {
                let exponent = named.matrix()?.values.map(|matrix| &matrix.exponent);
                let value = exponent.map(|exponent| -> Value<'_> { Box::new(|row| exponent[row].into()) });
                (&arrangement.rows, "exponents", value)
            }
            Use::Vector(rows) => {
                let vector = named.vector()?.values;
                let value = vector.map(|vector| -> Value<'_> { Box::new(|row| vector[row].to_bits() as i32) });
                (rows, "vector", value)
            }
        };
        for (tile, (rows, stored)) in rows.iter().zip(stored).enumerate() {
            let values = value.as_ref().map(|value| rows.iter().map(|row| row.map_or(0, value)).collect::<Vec<_>>());
            contents.constant(&format!("{}.{what}{tile}", named.name), &stored.words, offset, values.as_deref());
        }
    }
    Ok(())
}

/// Exponents are zero before the first run.
pub(super) fn clear_exponents(name: &str, placed: &Exponents, offset: u32, contents: &mut Contents) {
    for (kind, tiles) in ["keys", "values"].iter().zip(placed) {
        for (index, stored) in tiles.iter().flatten().enumerate() {
            contents.constant(&format!("{name}.{kind}.exponents{index}"), &stored.words, offset, Some(&[]));
        }
    }
}
