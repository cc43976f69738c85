//! Where heads stand in vectors, and the constants that know it: masks, rotary tables.

use lockstep_arith::matrix::GROUP;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;

use crate::composer::Stored;
use crate::error::Error;
use crate::layout::{Layout, Zone};
use crate::switch::Table;
use crate::weights::{LayerWeights, Pairs};

/// Where each group of 32 lanes of a vector of heads comes from.
pub(crate) fn head_groups(
    heads: &[usize],
    size: usize,
    lanes: usize,
    head_of: impl Fn(usize) -> usize,
) -> Vec<Option<usize>> {
    let mut groups = vec![None; lanes / GROUP];
    for (kv, first) in heads.iter().enumerate() {
        for group in 0..size / GROUP {
            groups[first / GROUP + group] = Some(head_of(kv) * size / GROUP + group);
        }
    }
    groups
}

/// -1 on the lanes of each head.
pub(crate) fn masks(heads: &[usize], size: usize, layout: &mut Layout) -> Result<Vec<Stored>, Error> {
    let lanes = layout.lanes();
    let one = |(kv, first): (usize, &usize)| {
        let lane = |lane: usize| -i32::from((*first..first + size).contains(&lane));
        let values: Vec<i32> = (0..lanes).map(lane).collect();
        let words = layout.constant(&format!("mask{kv}"), Hemisphere::West, Format::I8, &values)?;
        Ok(Stored { words, format: Format::I8, ready: 0 })
    };
    heads.iter().enumerate().map(one).collect()
}

pub(crate) fn iota(layout: &mut Layout) -> Result<Stored, Error> {
    let values: Vec<i32> = (0..layout.lanes() as i32).collect();
    let words = layout.constant("iota", Hemisphere::East, Format::I16, &values)?;
    Ok(Stored { words, format: Format::I16, ready: 0 })
}

/// Rows of cosines and sines by position, as the heads' lanes need them.
pub(crate) fn rotary_tables(
    w: &LayerWeights,
    heads: &[usize],
    order: &[usize],
    layout: &mut Layout,
) -> Result<[Vec<Table>; 2], Error> {
    let (lanes, half) = (layout.lanes(), w.head_size / 2);
    let mut rows = [vec![vec![0.0_f32; lanes]; lanes], vec![vec![0.0_f32; lanes]; lanes]];
    let [cosine_rows, sine_rows] = &mut rows;
    for (position, (cosine_row, sine_row)) in cosine_rows.iter_mut().zip(sine_rows).enumerate() {
        let (cosines, sines) = w.rotary.position(position);
        for first in heads {
            for (lane, element) in order.iter().enumerate() {
                let (pair, is_first) = match w.pairs {
                    Pairs::Adjacent => (element / 2, element % 2 == 0),
                    Pairs::Halves => (element % half, *element < half),
                };
                cosine_row[first + lane] = cosines[pair];
                sine_row[first + lane] = if is_first { -sines[pair] } else { sines[pair] };
            }
        }
    }
    let mut slice = layout.far.end - 2 * Format::F32.streams();
    let mut tables = [Vec::new(), Vec::new()];
    for ((name, rows), tables) in ["cosines", "sines"].iter().zip(&rows).zip(&mut tables) {
        for plane in 0..usize::from(Format::F32.streams()) {
            let run = layout.far_run(name, Hemisphere::East, Zone { first: slice, end: slice + 1 }, lanes)?;
            let bytes = |row: &Vec<f32>| row.iter().map(|x| x.to_le_bytes()[plane]).collect();
            layout.fill_run(&format!("{name}.{plane}"), run, &rows.iter().map(bytes).collect::<Vec<_>>());
            tables.push(Table::new(run, lanes));
            slice += 1;
        }
    }
    Ok(tables)
}
