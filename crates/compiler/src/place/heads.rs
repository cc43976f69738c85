//! Where the heads of attention stand in vectors, and the tables that depend on it.
//!
//! Key heads stand side by side, none across the middle of a vector unless it is wider than half of one, or the middle
//! is inside a group of lanes. Vector
//! `v * sharing + j` of queries holds, on the lanes of each key head of vector v, the j-th query head that shares it.
//!
//! On the chips of a group, value heads may stand in copies: fewer query heads share each of them, and what attention
//! puts out fills more lanes of fewer vectors, which are exchanged sooner.

use std::ops::Range;

use lockstep_arith::matrix::GROUP;
use lockstep_arith::rotary::RotaryTable;
use lockstep_graph::{Rotary, RotaryPairs};

use crate::error::Error;

/// The lanes of heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeadLanes {
    /// Elements of a head.
    pub(crate) size: usize,
    /// Query heads that share a key head, or a copy of it.
    pub(crate) sharing: usize,
    /// Copies of each key head, side by side.
    pub(crate) copies: usize,
    /// For each copy of a key head, its vector and its first lane there.
    pub(crate) places: Vec<(usize, usize)>,
    /// The first copy: others may be on other chips.
    first: usize,
    /// First lanes of heads in any vector.
    starts: Vec<usize>,
    lanes: usize,
}

impl HeadLanes {
    pub(crate) fn new(heads: usize, kv_heads: usize, size: usize, lanes: usize) -> Result<Self, Error> {
        if size == 0 || !size.is_multiple_of(GROUP) || size > lanes {
            return Err(Error::shape("head size", size, format!("a multiple of {GROUP} up to {lanes}")));
        }
        let (mut places, mut vector, mut next, middle) = (Vec::new(), 0, 0, lanes / 2);
        for _ in 0..kv_heads {
            if next < middle && next + size > middle && size <= middle && middle.is_multiple_of(GROUP) {
                next = middle;
            }
            if next + size > lanes {
                (vector, next) = (vector + 1, 0);
            }
            places.push((vector, next));
            next += size;
        }
        let starts = places.iter().filter(|place| place.0 == 0).map(|place| place.1).collect();
        Ok(Self { size, sharing: heads / kv_heads, copies: 1, places, first: 0, starts, lanes })
    }

    /// The same heads in as many copies as need no more vectors on any chip; each chip has the heads of one of `shares`.
    pub(crate) fn copied(&self, shares: &[Range<usize>]) -> Self {
        let each = self.lanes / self.size;
        let fits = |copies: &usize| {
            let fits =
                |share: &Range<usize>| (share.len() * copies).div_ceil(each) <= self.part(share.clone()).vectors();
            self.sharing.is_multiple_of(*copies) && shares.iter().all(fits)
        };
        let copies = (1..=self.sharing).rev().find(fits).unwrap_or(1);
        if copies == 1 {
            return self.clone();
        }
        let (mut places, mut next) = (Vec::new(), 0);
        for share in shares {
            let count = share.len() * copies;
            // A chip's heads begin a vector where they would else need one more.
            if (next % each + count).div_ceil(each) > count.div_ceil(each) {
                next = usize::next_multiple_of(next, each);
            }
            places.extend((next..next + count).map(|at| (at / each, at % each * self.size)));
            next += count;
        }
        let starts = (0..each).map(|at| at * self.size).collect();
        Self { sharing: self.sharing / copies, copies, places, starts, ..self.clone() }
    }

    /// Some of the key heads, on the lanes that they have among all; the vector of the first of them is the first.
    pub(crate) fn part(&self, heads: Range<usize>) -> Self {
        let (vector, copies) = (self.first_vector(&heads), heads.start * self.copies..heads.end * self.copies);
        let places = self.places[copies.clone()].iter().map(|place| (place.0 - vector, place.1)).collect();
        Self { places, first: copies.start, ..self.clone() }
    }

    /// The vector in which the first of some key heads stands.
    pub(crate) fn first_vector(&self, heads: &Range<usize>) -> usize {
        self.places.get(heads.start * self.copies).map_or(0, |place| place.0)
    }

    /// Key heads.
    pub(crate) fn count(&self) -> usize {
        self.places.len() / self.copies
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Vectors that one row of keys takes.
    pub(crate) fn vectors(&self) -> usize {
        self.places.last().map_or(0, |(vector, _)| vector + 1)
    }

    /// The key heads of a vector, with their first lanes.
    pub(crate) fn of_vector(&self, vector: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.places.iter().enumerate().filter(move |(_, place)| place.0 == vector).map(|(kv, place)| (kv, place.1))
    }

    /// The matrix row for each lane of each vector, `order` being the element that stands in each lane of a head, and
    /// `head_of(kv, j)` the head for a key head; `sharing` is 1 for keys and values.
    fn rows(
        &self,
        sharing: usize,
        order: &[usize],
        head_of: impl Fn(usize, usize) -> usize,
    ) -> Vec<Vec<Option<usize>>> {
        let mut rows = vec![vec![None; self.lanes]; self.vectors() * sharing];
        for (kv, (vector, first)) in self.places.iter().enumerate() {
            for j in 0..sharing {
                for (lane, element) in order.iter().enumerate() {
                    rows[vector * sharing + j][first + lane] = Some(head_of(kv, j) * self.size + element);
                }
            }
        }
        rows
    }

    /// The elements of queries by vector and lane.
    pub(crate) fn query_rows(&self, order: &[usize]) -> Vec<Vec<Option<usize>>> {
        self.rows(self.sharing, order, |kv, j| (self.first + kv) * self.sharing + j)
    }

    /// The elements of keys or values by vector and lane.
    pub(crate) fn key_rows(&self, order: &[usize]) -> Vec<Vec<Option<usize>>> {
        self.rows(1, order, |kv, _| (self.first + kv) / self.copies)
    }

    /// Where each group of 32 lanes of the query vectors comes from.
    pub(crate) fn query_groups(&self) -> Vec<Vec<Option<usize>>> {
        let natural: Vec<usize> = (0..self.size).collect();
        let group = |lanes: &[Option<usize>]| lanes[0].map(|row| row / GROUP);
        self.query_rows(&natural).iter().map(|rows| rows.chunks(GROUP).map(group).collect()).collect()
    }

    /// Segments of a reduction: one a head, and one for what lies between heads.
    pub(crate) fn boundary(&self) -> u32 {
        let ends = self.starts.iter().flat_map(|first| [*first, first + self.size]);
        let groups = self.lanes.div_ceil(GROUP);
        ends.fold(1, |bits, lane| bits | 1 << (lane / GROUP)) & ((1 << groups) - 1)
    }

    /// -1 on the lanes of a key head.
    pub(crate) fn mask(&self, kv: usize) -> Vec<i32> {
        let first = self.places[kv].1;
        (0..self.lanes).map(|lane| -i32::from((first..first + self.size).contains(&lane))).collect()
    }

    /// 1 on the first lane of a key head.
    pub(crate) fn unit(&self, kv: usize) -> Vec<i32> {
        let first = self.places[kv].1;
        (0..self.lanes).map(|lane| i32::from(lane == first)).collect()
    }

    /// Rows of cosines and of sines with the sign of each lane, for all positions, as the heads' lanes need them.
    pub(crate) fn rotary_rows(&self, rotary: &Rotary, positions: usize) -> [Vec<Vec<f32>>; 2] {
        let table = RotaryTable::new(&rotary.frequencies, positions);
        let order = rotated_order(self.size, rotary);
        let mut rows = [vec![vec![0.0; self.lanes]; positions], vec![vec![0.0; self.lanes]; positions]];
        let [cosine_rows, sine_rows] = &mut rows;
        for (position, (cosine_row, sine_row)) in cosine_rows.iter_mut().zip(sine_rows).enumerate() {
            let (cosines, sines) = table.position(position);
            for first in &self.starts {
                for (lane, element) in order.iter().enumerate() {
                    if *element >= rotary.rotary_size {
                        cosine_row[first + lane] = 1.0;
                        continue;
                    }
                    let half = rotary.rotary_size / 2;
                    let (pair, is_first) = match rotary.pairs {
                        RotaryPairs::Adjacent => (element / 2, element % 2 == 0),
                        RotaryPairs::Halves => (element % half, *element < half),
                    };
                    let sine = if is_first { -sines[pair] } else { sines[pair] };
                    (cosine_row[first + lane], sine_row[first + lane]) = (cosines[pair], sine);
                }
            }
        }
        rows
    }
}

/// The element of a head that stands in each of its lanes: partners stand side by side.
pub(crate) fn rotated_order(size: usize, rotary: &Rotary) -> Vec<usize> {
    let half = rotary.rotary_size / 2;
    let element = |lane: usize| match rotary.pairs {
        RotaryPairs::Halves if lane < rotary.rotary_size => lane / 2 + lane % 2 * half,
        _ => lane,
    };
    (0..size).map(element).collect()
}

/// The lanes of heads in attention's inputs and output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Of queries and keys.
    pub(crate) keys: HeadLanes,
    /// Of values and of what attention puts out.
    pub(crate) values: HeadLanes,
}

impl Heads {
    /// Some of the key heads.
    pub(crate) fn part(&self, heads: &Range<usize>) -> Self {
        Self { keys: self.keys.part(heads.clone()), values: self.values.part(heads.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_fill_lanes_of_the_chip_that_has_the_head() {
        let copied = |heads, kv_heads, size, chips: usize| {
            let lanes = HeadLanes::new(heads, kv_heads, size, 320).expect("lanes");
            let share = |chip| kv_heads * chip / chips..kv_heads * (chip + 1) / chips;
            lanes.copied(&(0..chips).map(share).collect::<Vec<_>>())
        };
        // Three heads of a chip are not cut, and have a vector to themselves.
        let three = copied(9, 3, 64, 8);
        assert_eq!((three.copies, three.sharing), (3, 1));
        assert_eq!(three.places, [0, 1, 2].map(|vector| [0, 64, 128].map(|lane| (vector, lane))).concat());
        assert_eq!(three.part(1..2).places, [(0, 0), (0, 64), (0, 128)]);
        let natural: Vec<usize> = (0..64).collect();
        let first = |rows: Vec<Vec<Option<usize>>>| [0, 64, 128].map(|lane| rows[0][lane]);
        assert_eq!(first(three.part(1..2).key_rows(&natural)), [Some(64); 3]);
        assert_eq!(first(three.part(1..2).query_rows(&natural)), [Some(3 * 64), Some(4 * 64), Some(5 * 64)]);
        let two = copied(32, 8, 128, 8);
        assert_eq!((two.copies, two.sharing, two.part(7..8).vectors()), (2, 2, 1));
        // A second vector of values would have to be loaded.
        assert_eq!(copied(9, 3, 64, 2), HeadLanes::new(9, 3, 64, 320).expect("lanes"));
    }
}
