//! What each chip of a group does of a section: the chips share the rows of every matrix by whole vectors of outputs, and
//! attention by key heads. A value behind a matrix is then in parts, until a node needs all of it and the chips
//! exchange their parts. Norms and quantisation are done by every chip for itself, on whole values.

use std::ops::Range;

use lockstep_graph::Op;

use crate::network::{Order, Section};

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

impl Section {
    /// The section as one chip of a group runs it.
    pub(crate) fn shared(&self, share: Share) -> Self {
        let mut shared = Self { share, ..self.clone() };
        if share.ranks > 1 {
            shared.parts = parts(self);
            shared.heads = self.all_heads.as_ref().map(|heads| heads.part(share.of(heads.places.len())));
        }
        shared
    }

    /// Whether the chips of the group have a part each of a node's value.
    pub(crate) fn in_parts(&self, node: usize) -> bool {
        self.parts[node]
    }

    /// The vectors of a node's whole value that the chip has of a value in parts.
    pub(crate) fn tiles(&self, node: usize, lanes: usize) -> Range<usize> {
        let heads = |sharing: usize| {
            let (Some(all), Some(own)) = (&self.all_heads, &self.heads) else { return 0..0 };
            let first = all.first_vector(&self.share.of(all.places.len()));
            first * sharing..(first + own.vectors()) * sharing
        };
        match self.orders[node] {
            Order::Natural => self.share.of(self.nodes[node].width.div_ceil(lanes)),
            Order::Keys(_) | Order::Values => heads(1),
            Order::Queries(_) | Order::Attended => heads(self.heads.as_ref().map_or(0, |heads| heads.sharing)),
        }
    }

    /// The inputs of which a node needs all that the chips have.
    pub(crate) fn wanted_whole(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let needs = needs_whole(self, node, &self.parts);
        let inputs = self.nodes[node].inputs.iter().map(|input| input.0 as usize);
        inputs.filter(move |input| needs && self.parts[*input])
    }
}

/// For each node whether its value is in parts.
fn parts(section: &Section) -> Vec<bool> {
    let mut parts = vec![false; section.nodes.len()];
    for index in 1..parts.len() {
        parts[index] = match section.nodes[index].op {
            Op::MatMul { .. } => true,
            _ => {
                !needs_whole(section, index, &parts) && section.nodes[index].inputs.iter().any(|i| parts[i.0 as usize])
            }
        };
    }
    parts
}

fn needs_whole(section: &Section, node: usize, parts: &[bool]) -> bool {
    match section.nodes[node].op {
        Op::MatMul { .. } => true,
        Op::RmsNorm { .. } => section.orders[node] == Order::Natural,
        Op::Rotary { .. } | Op::Attention { .. } => false,
        // Elementwise: parts with parts, or whole values.
        _ => section.nodes[node].inputs.iter().any(|input| !parts[input.0 as usize]),
    }
}
