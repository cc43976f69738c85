//! What each chip of a group does of a section: the chips share the rows of every matrix by whole vectors of outputs, and
//! attention by key heads. A value behind a matrix is then in parts, until a node needs all of it and the chips
//! exchange their parts. Norms and quantisation are done by every chip for itself, on whole values; sums and products
//! of a value in parts and a whole one are in parts.

use std::collections::BTreeMap;
use std::ops::Range;

use lockstep_graph::{Node, NodeId, Op};

use crate::network::{Order, Section};
use crate::place::heads::Heads;

/// One chip's place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    pub(crate) rank: usize,
    /// Chips of the group.
    pub(crate) ranks: usize,
}

impl Share {
    /// All, for one chip.
    pub(crate) const WHOLE: Self = Self { rank: 0, ranks: 1 };

    /// The chip's part of so many things: parts differ by one at most.
    pub(crate) fn of(self, count: usize) -> Range<usize> {
        count * self.rank / self.ranks..count * (self.rank + 1) / self.ranks
    }
}

/// How the chips of a group share the vectors of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As they share key heads.
    Heads,
    /// In runs: where each chip's begins, and the end.
    Vectors(Vec<usize>),
}

impl Section {
    /// The section as one chip of a group runs it, with vectors of so many lanes.
    pub(crate) fn shared(&self, share: Share, lanes: usize) -> Self {
        let mut shared = Self { share, ..self.clone() };
        if share.ranks > 1 {
            shared.cuts = cuts(self, share.ranks, lanes);
            shared.all_heads = self.all_heads.as_ref().map(|Heads { keys, .. }| {
                let shares: Vec<Range<usize>> =
                    (0..share.ranks).map(|rank| Share { rank, ..share }.of(keys.count())).collect();
                Heads { keys: keys.clone(), values: if self.copies { keys.copied(&shares) } else { keys.clone() } }
            });
            shared.heads = shared.all_heads.as_ref().map(|heads| heads.part(&share.of(heads.keys.count())));
        }
        shared
    }

    /// Whether the chips of the group have a part each of a node's value.
    pub(crate) fn in_parts(&self, node: usize) -> bool {
        self.cuts[node].is_some()
    }

    /// The vectors of a node's whole value that the chip has of a value in parts.
    pub(crate) fn tiles(&self, node: usize) -> Range<usize> {
        if let Some(Cut::Vectors(starts)) = &self.cuts[node] {
            return starts[self.share.rank]..starts[self.share.rank + 1];
        }
        let (Some(all), Some(own)) = (&self.all_heads, &self.heads) else { return 0..0 };
        let (all, own, sharing) = match self.orders[node] {
            Order::Queries(_) => (&all.keys, &own.keys, own.keys.sharing),
            Order::Attended => (&all.values, &own.values, own.values.sharing),
            Order::Values => (&all.values, &own.values, 1),
            _ => (&all.keys, &own.keys, 1),
        };
        let first = all.first_vector(&self.share.of(all.count()));
        first * sharing..(first + own.vectors()) * sharing
    }

    /// What the chip has of the section's so many vectors before they are exchanged.
    pub(crate) fn held(&self, vectors: usize) -> Range<usize> {
        let last = self.nodes.len() - 1;
        if self.in_parts(last) { self.tiles(last) } else { 0..vectors }
    }

    /// The inputs of which a node needs all that the chips have.
    pub(crate) fn wanted_whole(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let needs = needs_whole(self, node);
        let inputs = self.nodes[node].inputs.iter().map(|input| input.0 as usize);
        inputs.filter(move |input| {
            let differs = is_elementwise(&self.nodes[node].op) && self.cuts[*input] != self.cuts[node];
            self.cuts[*input].is_some() && (needs || differs)
        })
    }

    /// Whether a node takes of an input that is whole the vectors of its own part alone.
    pub(crate) fn takes_part(&self, node: usize) -> bool {
        is_elementwise(&self.nodes[node].op) && self.in_parts(node)
    }
}

/// How each node's value is shared, where it is.
fn cuts(section: &Section, ranks: usize, lanes: usize) -> Vec<Option<Cut>> {
    let mut cuts = vec![None; section.nodes.len()];
    // Weights that each chip has so far, in vectors of rows times columns.
    let mut loads = vec![0; ranks];
    let mut known: BTreeMap<(u32, usize), Cut> = BTreeMap::new();
    for index in 1..cuts.len() {
        let Node { op, inputs, width } = &section.nodes[index];
        cuts[index] = match op {
            Op::MatMul { .. } if section.orders[index] != Order::Natural => Some(Cut::Heads),
            Op::MatMul { .. } => {
                let columns = section.nodes[inputs[0].0 as usize].width;
                let cut = || runs(width.div_ceil(lanes), columns, &mut loads);
                // What has one input is cut alike: the values meet again, lane by lane.
                Some(known.entry((inputs[0].0, *width)).or_insert_with(cut).clone())
            }
            _ if needs_whole(section, index) => None,
            // As the latest of its inputs that is in parts: the others are whole, or are made so. Heads meet heads only.
            _ => {
                let cut_of = |input: &NodeId| cuts[input.0 as usize].clone();
                let latest = inputs.iter().filter(|input| cut_of(input).is_some()).max_by_key(|input| input.0);
                let meets =
                    |cut: &Cut| *cut != Cut::Heads || inputs.iter().all(|input| cut_of(input) == Some(Cut::Heads));
                latest.and_then(cut_of).filter(meets)
            }
        };
    }
    cuts
}

/// So many vectors in runs, one a chip, that differ by one at most: the chips that have least so far take one more.
fn runs(vectors: usize, columns: usize, loads: &mut [usize]) -> Cut {
    let ranks = loads.len();
    let mut order: Vec<usize> = (0..ranks).collect();
    order.sort_by_key(|rank| loads[*rank]);
    let mut counts = vec![vectors / ranks; ranks];
    for rank in &order[..vectors % ranks] {
        counts[*rank] += 1;
    }
    let mut starts = vec![0];
    for (count, load) in counts.iter().zip(loads) {
        starts.push(starts[starts.len() - 1] + count);
        *load += count * columns;
    }
    Cut::Vectors(starts)
}

/// Whether a node needs all of its inputs, however they are shared.
fn needs_whole(section: &Section, node: usize) -> bool {
    match section.nodes[node].op {
        Op::MatMul { .. } => true,
        Op::RmsNorm { .. } => section.orders[node] == Order::Natural,
        _ => false,
    }
}

/// Whether each vector of a node's value depends on the same vectors of its inputs alone.
fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Add | Op::Mul | Op::Silu | Op::Gelu | Op::SoftCap { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_with_little_take_what_is_over() {
        let mut loads = vec![0; 4];
        assert_eq!(runs(6, 10, &mut loads), Cut::Vectors(vec![0, 2, 4, 5, 6]));
        assert_eq!(runs(5, 10, &mut loads), Cut::Vectors(vec![0, 1, 2, 4, 5]));
        assert_eq!(loads, [30, 30, 30, 20]);
    }
}
