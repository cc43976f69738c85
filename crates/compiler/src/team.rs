//! A group of chips with what each of them has in memory.

use lockstep_machine::spec::MachineSpec;

use crate::compose::ensemble::Wire;
use crate::error::Error;
use crate::network::Network;
use crate::place::{Placed, Size};
use crate::plan::Group;
use crate::share::Share;

/// One chip of a team.
pub(crate) struct Rank<'w> {
    pub(crate) network: Network<'w>,
    pub(crate) placed: Placed,
}

/// A group with its memory.
pub(crate) struct Team<'w> {
    pub(crate) group: Group,
    /// The kinds of its layers.
    kinds: Vec<usize>,
    pub(crate) ranks: Vec<Rank<'w>>,
}

/// What decides a team's code: teams of equal shapes are placed alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    kinds: Vec<usize>,
    begins: bool,
    ends: bool,
    ranks: usize,
    wires: Vec<Wire>,
}

impl<'w> Team<'w> {
    /// Places a group's part of a network, for so much at once; `evenly` as for [`Placed::new`].
    pub(crate) fn new(
        network: &Network<'w>,
        group: Group,
        spec: &MachineSpec,
        size: Size,
        evenly: bool,
    ) -> Result<Self, Error> {
        let kinds = network.layers[group.layers.clone()].iter().map(|(kind, _)| *kind).collect();
        let ranks = group.chips.len();
        let one = |rank| {
            let network = network.part(group.layers.clone(), Share { rank, ranks }, spec.lanes() as usize);
            let placed = Placed::new(&network, spec, size, evenly)?;
            Ok(Rank { network, placed })
        };
        let ranks = (0..ranks).map(one).collect::<Result<_, Error>>()?;
        Ok(Self { group, kinds, ranks })
    }

    /// For each vector of the residual stream behind the last layer the chips that have it.
    pub(crate) fn holders(&self) -> Vec<Vec<u32>> {
        let vectors = self.ranks[0].placed.ports.x.len();
        let mut holders = vec![Vec::new(); vectors];
        for (Rank { network, .. }, chip) in self.ranks.iter().zip(&self.group.chips) {
            let held = network.layers.last().map(|(kind, _)| network.kinds[*kind].section.held(vectors));
            for holders in &mut holders[held.unwrap_or_default()] {
                holders.push(*chip);
            }
        }
        holders
    }

    pub(crate) fn shape(&self) -> Shape {
        let Network { begins, ends, .. } = self.ranks[0].network;
        Shape { kinds: self.kinds.clone(), begins, ends, ranks: self.ranks.len(), wires: self.group.wires.clone() }
    }
}
