//! Which cables a value takes: trees of shortest routes, and routes that share no cable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lockstep_machine::access::exchange_cycles;
use lockstep_machine::network::{Cable, Network};
use lockstep_machine::spec::MachineSpec;

/// A chip's link.
type Port = (u32, u8);

fn port(cable: &Cable) -> Port {
    (cable.from_chip, cable.from_link)
}

/// Trees of shortest routes that together load the cables evenly.
pub(super) struct Trees<'a> {
    network: &'a Network,
    /// Trees that a cable is in.
    load: BTreeMap<Port, u64>,
}

impl<'a> Trees<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Self { network, load: BTreeMap::new() }
    }

    /// A tree from a chip to all others, nearest first. Of the cables by which a chip could be reached it takes the one that
    /// is in the fewest trees so far, and of those the first.
    pub(super) fn from(&mut self, chip: u32) -> Vec<Cable> {
        let hops = self.network.distances(chip);
        let mut others: Vec<u32> = (0..self.network.chips()).filter(|other| *other != chip).collect();
        others.sort_by_key(|other| hops[*other as usize]);
        let nearer = |cable: &&Cable| hops[cable.to_chip as usize] < hops[cable.from_chip as usize];
        let mut tree = Vec::new();
        for other in others {
            let ways = self.network.leaving(other).iter().filter(nearer).map(|cable| cable.reversed());
            let least = ways.min_by_key(|way| (self.load.get(&port(way)).copied().unwrap_or_default(), *way));
            tree.extend(least);
            if let Some(way) = least {
                *self.load.entry(port(&way)).or_default() += 1;
            }
        }
        tree
    }
}

/// Routes from one chip to another that have no cable in common, each the shortest that those before it leave.
pub(super) fn disjoint(network: &Network, from: u32, to: u32) -> Vec<Vec<Cable>> {
    let mut taken: BTreeSet<Port> = BTreeSet::new();
    std::iter::from_fn(|| {
        let route = shortest(network, from, to, &taken)?;
        taken.extend(route.iter().map(port));
        Some(route)
    })
    .collect()
}

/// The first of the shortest routes over cables that are not taken.
fn shortest(network: &Network, from: u32, to: u32, taken: &BTreeSet<Port>) -> Option<Vec<Cable>> {
    let mut by: BTreeMap<u32, Cable> = BTreeMap::new();
    let mut reached = VecDeque::from([from]);
    while let Some(chip) = reached.pop_front() {
        for cable in network.leaving(chip).iter().filter(|cable| !taken.contains(&port(cable))) {
            if cable.to_chip != from && !by.contains_key(&cable.to_chip) {
                by.insert(cable.to_chip, *cable);
                reached.push_back(cable.to_chip);
            }
        }
    }
    let mut route: Vec<Cable> = std::iter::successors(by.get(&to), |cable| by.get(&cable.from_chip)).copied().collect();
    route.reverse();
    (!route.is_empty()).then_some(route)
}

/// Deals vectors to routes: each to the one by which it comes first, of several to the first. Gives the route of each.
pub(super) fn deal(spec: &MachineSpec, routes: &[Vec<Cable>], vectors: usize) -> Vec<usize> {
    // What a hop takes but for the ways on the chip: enough to share out.
    let hop = u64::from(exchange_cycles(spec) + spec.c2c.receive_delay + spec.mem.read_delay + spec.mem.write_delay);
    let mut comes: Vec<u64> = routes.iter().map(|route| route.len() as u64 * hop).collect();
    let mut next = || {
        let route = (0..comes.len()).min_by_key(|route| comes[*route])?;
        comes[route] += u64::from(spec.c2c.vector_cycles);
        Some(route)
    };
    (0..vectors).map_while(|_| next()).collect()
}
