//! Sums by nodes in three hops: in each node, between each two nodes, and in each node again.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;

use super::deliver::Delivery;
use super::draft::Draft;
use super::moves::leg;
use super::reduce::{FORMAT, Parts, To, Underway, Values, arrived, begun, delivery, sum, total};
use super::{Method, SIDE};
use crate::compose::Stored;
use crate::error::Error;

/// A system whose nodes have cables between each two of their chips, and between each two of them.
pub(super) struct Nodes<'a> {
    system: &'a SystemSpec,
    /// Chips of a node, but for the last one, which may have fewer.
    size: u32,
    /// From each node to each other.
    between: BTreeMap<(u32, u32), Vec<Cable>>,
}

impl<'a> Nodes<'a> {
    /// None where a cable is missing.
    pub(super) fn new(system: &'a SystemSpec) -> Option<Self> {
        let size = system.machine().package.chips_per_node.max(1);
        let node = |chip: u32| chip / size;
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
        let count = u64::from(system.chips.div_ceil(size));
        let pairs = |chips: u64| chips * (chips - 1);
        let last = u64::from(system.chips) - (count - 1) * u64::from(size);
        let whole = linked.len() as u64 == (count - 1) * pairs(size.into()) + pairs(last);
        (whole && between.len() as u64 == pairs(count)).then_some(Self { system, size, between })
    }

    /// Cables from a chip to all others of its node.
    fn mates(&self, chip: u32) -> Vec<Cable> {
        let mut mates: Vec<Cable> = self.system.network().leaving(chip).to_vec();
        mates.retain(|cable| cable.to_chip / self.size == chip / self.size);
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
        let (mut draft, inputs, outputs) = begun(self.system, Method::Nodes, vectors)?;
        let mut deliveries = Vec::new();
        for (vector, own) in inputs.iter().enumerate() {
            for (chip, own) in (0..).zip(own) {
                deliveries.push((vector, delivery(&mut draft, chip, own, &self.mates(chip))?));
            }
        }
        let in_node = arrived(&mut draft, deliveries, &inputs)?;
        let (sums, deliveries) = self.across(&mut draft, &in_node)?;
        let from_others = arrived(&mut draft, deliveries, &sums)?;
        let mut deliveries = Vec::new();
        let mut parts: Vec<(usize, usize, Stored)> = Vec::new();
        for (vector, chips) in from_others.iter().enumerate() {
            for (chip, parts_of) in (0..).zip(chips) {
                // The first is the sum of its own node, which its mates have, too.
                let copies = match &parts_of[1..] {
                    [] => continue,
                    [one] => vec![one.clone()],
                    several => sum(&mut draft.ensemble.chips[chip as usize], several, To::Sides(&[SIDE]))?,
                };
                parts.push((vector, chip as usize, copies[0].clone()));
                let legs = self.mates(chip).into_iter().map(|cable| leg(&mut draft, cable, FORMAT));
                let legs = legs.collect::<Result<_, _>>()?;
                deliveries.push((vector, Delivery { chip, copies, legs }));
            }
        }
        let mut all = arrived(&mut draft, deliveries, &sums)?;
        for (vector, chip, part) in parts {
            all[vector][chip].push(part);
        }
        total(&mut draft, &all, &outputs)?;
        Ok(draft)
    }

    /// Adds up what each chip has of its node, and sends it to other nodes.
    fn across(&self, draft: &mut Draft<'a>, parts: &Parts) -> Result<(Values, Underway), Error> {
        let (mut sums, mut deliveries) = (Vec::new(), Vec::new());
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
                let copies = sum(&mut draft.ensemble.chips[chip as usize], parts, To::Sides(&sides))?;
                own.extend(copies.first().cloned());
                if !cables.is_empty() {
                    let legs = cables.into_iter().map(|cable| leg(draft, cable, FORMAT)).collect::<Result<_, _>>()?;
                    deliveries.push((vector, Delivery { chip, copies, legs }));
                }
            }
            sums.push(own);
        }
        Ok((sums, deliveries))
    }
}
