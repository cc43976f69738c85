//! Where keys and values lie: keys in the west, values in the east, each for itself.
//!
//! The positions of a cache are cut into segments that end at powers of two of a vector of positions. Each segment has a
//! place of its own for every layer, so an entry reads only the segments of its context, and the first one, which
//! steps of many tokens use, lies the same however long the longest context is.

use std::ops::Range;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;

use super::layout::{Layout, Run, Span, Spot, Zone};
use crate::error::Error;

/// The first base of caches: keys and values of each segment have one each.
const FIRST_BASE: u8 = 4;
/// Segments at most: bases go up to 15, and ports of sequences and exponents have one each.
const SEGMENTS: usize = 5;
/// Of the words of a near bank, one in so many stays free for a block's own values.
const KEPT: u32 = 5;
/// A zone of near slices whose banks are filled so unequally would waste the difference.
const UNEVEN: u32 = 512;

/// Keys and values of some vectors of positions: for each vector of a row a run, low and high bytes in turn.
#[derive(Clone, Debug)]
pub(crate) struct CacheRuns {
    /// Vectors of positions.
    pub(crate) tiles: Range<usize>,
    pub(crate) keys: Vec<Run>,
    pub(crate) values: Vec<Run>,
}

/// A segment of the caches of all layers of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) tiles: Range<usize>,
    pub(crate) keys: Vec<Span<Vec<Run>>>,
    pub(crate) values: Vec<Span<Vec<Run>>>,
}

impl Segment {
    /// Gives out words for a segment of `count` layers, a row of which takes so many vectors.
    pub(super) fn place(
        index: usize,
        tiles: Range<usize>,
        (count, vectors): (usize, usize),
        layout: &mut Layout,
    ) -> Result<Self, Error> {
        let rows = tiles.len() * layout.lanes();
        let mut side = |base: usize, name: &str, hemisphere| {
            let spots = spots(layout, hemisphere);
            let base = FIRST_BASE + (2 * index + base) as u8;
            layout.repeated(base, count, &spots, |layout, spot| {
                (0..vectors).map(|_| layout.run(name, hemisphere, spot.zone, 2 * rows)).collect()
            })
        };
        let (keys, values) = (side(0, "keys", Hemisphere::West)?, side(1, "values", Hemisphere::East)?);
        Ok(Self { tiles, keys, values })
    }

    /// The runs of a layer, as they lie for the first layer of its spans.
    pub(crate) fn runs(&self, keys: &Span<Vec<Run>>, values: &Span<Vec<Run>>) -> CacheRuns {
        CacheRuns { tiles: self.tiles.clone(), keys: keys.placed.clone(), values: values.placed.clone() }
    }
}

/// Segments of so many vectors of positions: each as long as all before it.
pub(super) fn segments(tiles: usize) -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    let mut first = 0;
    while first < tiles {
        let end = if segments.len() + 1 == SEGMENTS { tiles } else { (2 * first).max(1).min(tiles) };
        segments.push(first..end);
        first = end;
    }
    segments
}

/// Where caches of a hemisphere may lie, in the order of preference: where a load finds a row in each of many pairs of
/// slices, then in fewer, then among the values.
fn spots(layout: &Layout, hemisphere: Hemisphere) -> Vec<Spot> {
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
    // The index of the row that is written comes from inside, a byte plane a slice; a block's own values need room.
    let kept = layout.words_per_bank() / KEPT;
    for (inward, width) in [(8, 8), (4, 4), (8, 4)] {
        let Some(first) = near.end.checked_sub(inward) else { continue };
        if layout.inner(first) < Format::I32.streams() {
            continue;
        }
        let near = [0, 1].map(|bank| {
            let room = (first..first + width).map(|slice| layout.room(hemisphere, slice, bank));
            let (least, most) = room.fold((u32::MAX, 0), |(least, most), room| (least.min(room), most.max(room)));
            (most - least <= UNEVEN, Spot { kept, ..Spot::new(Some(bank), zone(first, width)) })
        });
        spots.extend(near.into_iter().filter_map(|(is_even, spot)| is_even.then_some(spot)));
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_at_powers_of_two() {
        assert_eq!(segments(2), [0..1, 1..2]);
        assert_eq!(segments(3), [0..1, 1..2, 2..3]);
        assert_eq!(segments(4), [0..1, 1..2, 2..4]);
        let long = segments(100);
        assert_eq!((long.len(), long.last()), (SEGMENTS, Some(&(8..100))));
    }
}
