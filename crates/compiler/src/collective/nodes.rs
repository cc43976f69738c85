//! Sums by nodes in three hops: in each node, between each two nodes, and in each node again.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;

use super::draft::Draft;
use super::reduce::{FORMAT, Parts, Underway, arrived, delivery, draft, exchange, sum, total};
use super::{Method, SIDE};
use crate::error::Error;

/// A system whose nodes have cables between each two of their chips, and between each two of them.
pub(super) struct Nodes<'a> {
    system: &'a SystemSpec,
    /// The node of each chip.
    of: Vec<u32>,
    /// From each node to each other.
    between: BTreeMap<(u32, u32), Vec<Cable>>,
}

impl<'a> Nodes<'a> {
    /// None where a cable is missing.
    pub(super) fn new(system: &'a SystemSpec) -> Option<Self> {
        let nodes = system.nodes();
        let of: Vec<u32> = (0..).zip(&nodes).flat_map(|(node, chips)| chips.iter().map(move |_| node)).collect();
        let node = |chip: u32| of[chip as usize];
        let mut between: BTreeMap<(u32, u32), Vec<Cable>> = BTreeMap::new();
        let mut linked = BTreeSet::new();
        for cable in system.cables() {
            let nodes = (node(cable.from_chip), node(cable.to_chip));
            if nodes.0 == nodes.1 {
                linked.insert((cable.from_chip, cable.to_chip));
            } else {
                between.entry(nodes).or_default().push(*cable);
            }
        }
        let pairs = |count: usize| count * (count - 1);
        let whole = linked.len() == nodes.iter().map(|chips| pairs(chips.len())).sum::<usize>();
        (whole && between.len() == pairs(nodes.len())).then_some(Self { system, of, between })
    }

    /// Cables from a chip to all others of its node.
    fn mates(&self, chip: u32) -> Vec<Cable> {
        let mut mates: Vec<Cable> = self.system.network().leaving(chip).to_vec();
        mates.retain(|cable| self.of[cable.to_chip as usize] == self.of[chip as usize]);
        mates.dedup_by_key(|cable| cable.to_chip);
        mates
    }

    /// The cables that carry a vector's sums between nodes: of those between two nodes another for each vector, and for
    /// each pair of nodes, so that all chips have some.
    fn crossing(&self, vector: usize) -> Vec<Cable> {
        let one = |((from, to), cables): (&(u32, u32), &Vec<Cable>)| {
            let turn = vector + (from + to) as usize;
            cables[turn % cables.len()]
        };
        let mut cables: Vec<Cable> = self.between.iter().map(one).collect();
        cables.sort_unstable();
        cables
    }

    /// The sum of all chips.
    pub(super) fn reduce(&self, vectors: usize) -> Result<Draft<'a>, Error> {
        let mut draft = draft(self.system, Method::Nodes);
        let in_node = exchange(&mut draft, self.system.chips, vectors, |_, chip| self.mates(chip))?;
        let (sums, across) = self.across(&mut draft, &in_node)?;
        let mut parts = arrived(&mut draft, across, sums)?;
        let mut deliveries = Vec::new();
        for (vector, chips) in parts.iter_mut().enumerate() {
            for (chip, parts) in (0..).zip(chips) {
                // The first is the sum of its own node, which its mates have, too.
                let mut copies = parts.split_off(1);
                if copies.len() > 1 {
                    let words = draft.words(chip, SIDE, FORMAT)?;
                    copies = sum(&mut draft.ensemble.chips[chip as usize], &copies, &[words])?;
                }
                if let [received] = &copies[..] {
                    // Added up while the mates' parts are on their way, and out of theirs.
                    let words = draft.words(chip, Hemisphere::East, FORMAT)?;
                    parts.push(received.clone());
                    *parts = sum(&mut draft.ensemble.chips[chip as usize], parts, &[words])?;
                    deliveries.push((vector, delivery(&mut draft, chip, copies, self.mates(chip))?));
                }
            }
        }
        let parts = arrived(&mut draft, deliveries, parts)?;
        total(&mut draft, &parts)?;
        Ok(draft)
    }

    /// Adds up what each chip has of its node, and sends it to other nodes; the sums, and what is on its way.
    fn across(&self, draft: &mut Draft<'a>, parts: &Parts) -> Result<(Parts, Underway), Error> {
        let (mut sums, mut underway) = (Vec::new(), Vec::new());
        for (vector, parts) in parts.iter().enumerate() {
            let crossing = self.crossing(vector);
            let mut own = Vec::new();
            for (chip, parts) in (0..).zip(parts) {
                let cables: Vec<Cable> = crossing.iter().filter(|cable| cable.from_chip == chip).copied().collect();
                let mut sides: Vec<Hemisphere> =
                    cables.iter().map(|cable| draft.ensemble.link_side(cable.from_link)).collect();
                sides.push(SIDE);
                sides.sort_unstable();
                sides.dedup();
                let places = sides.into_iter().map(|side| draft.words(chip, side, FORMAT));
                let places = places.collect::<Result<Vec<_>, _>>()?;
                let copies = sum(&mut draft.ensemble.chips[chip as usize], parts, &places)?;
                own.push(copies.first().cloned().into_iter().collect());
                if !cables.is_empty() {
                    underway.push((vector, delivery(draft, chip, copies, cables)?));
                }
            }
            sums.push(own);
        }
        Ok((sums, underway))
    }
}
