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

    /// A tree from a chip to all others, nearest first. Of the cables by which a chip could be reached it takes the one
    /// that is in the fewest trees so far, and of those the first.
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

/// Routes from any of some chips to any of others that have no cable in common and pass no chip that is closed, each the
/// shortest that those before it leave.
pub(crate) fn disjoint<'n>(
    network: &'n Network,
    from: &'n [u32],
    to: &'n [u32],
    closed: impl Fn(u32) -> bool + 'n,
) -> impl Iterator<Item = Vec<Cable>> + 'n {
    let mut taken: BTreeSet<Port> = BTreeSet::new();
    std::iter::from_fn(move || {
        let open = |cable: &Cable| !taken.contains(&port(cable)) && !closed(cable.to_chip);
        let tree = tree(network, from, to, open);
        let back = |cable: &Cable| tree.iter().find(|before| before.to_chip == cable.from_chip).copied();
        let end = tree.last().copied().filter(|cable| to.contains(&cable.to_chip));
        let mut route: Vec<Cable> = std::iter::successors(end, back).collect();
        route.reverse();
        taken.extend(route.iter().map(port));
        (!route.is_empty()).then_some(route)
    })
}

/// A tree of shortest routes over open cables from chips that have a value, nearest first: until one of `to` is
/// reached, or to all that can be.
pub(crate) fn tree(network: &Network, from: &[u32], to: &[u32], open: impl Fn(&Cable) -> bool) -> Vec<Cable> {
    let mut reached: BTreeSet<u32> = from.iter().copied().collect();
    let mut waiting: VecDeque<u32> = from.iter().copied().collect();
    let mut tree = Vec::new();
    while let Some(chip) = waiting.pop_front() {
        for cable in network.leaving(chip).iter().filter(|cable| open(cable)) {
            if reached.insert(cable.to_chip) {
                tree.push(*cable);
                waiting.push_back(cable.to_chip);
                if to.contains(&cable.to_chip) {
                    return tree;
                }
            }
        }
    }
    tree
}

/// What a hop takes but for the ways on the chip.
pub(crate) fn hop_cycles(spec: &MachineSpec) -> u64 {
    u64::from(exchange_cycles(spec) + spec.c2c.receive_delay + spec.mem.read_delay + spec.mem.write_delay)
}

/// Routes that vectors are dealt to.
pub(crate) struct Deal<'r> {
    pub(crate) spec: &'r MachineSpec,
    pub(crate) routes: &'r [Vec<Cable>],
    /// Cycles of a hop.
    pub(crate) hop: u64,
    /// Whether the chip at a route's end sends vectors on, one after the other.
    pub(crate) spread: bool,
}

impl Deal<'_> {
    /// Gives the route of each of some vectors: one after the other, that vector and that route by which one comes
    /// first, of several those of the fewest hops, and of these the first. `ahead` has the hops of a vector to where a
    /// route begins.
    pub(crate) fn deal<V: Ord + Copy>(&self, vectors: &[V], ahead: impl Fn(V, usize) -> usize) -> Vec<usize> {
        let slot = u64::from(self.spec.c2c.vector_cycles);
        let ends: Vec<Option<u32>> = self.routes.iter().map(|route| route.last().map(|cable| cable.to_chip)).collect();
        // From when on a route can bring another vector, and the chip at its end send one on.
        let (mut free, mut busy) = (vec![0; self.routes.len()], BTreeMap::new());
        let mut waiting: BTreeMap<V, VecDeque<usize>> = BTreeMap::new();
        for (index, vector) in vectors.iter().enumerate() {
            waiting.entry(*vector).or_default().push_back(index);
        }
        let mut dealt = vec![0; vectors.len()];
        for _ in vectors {
            let pairs = waiting.keys().flat_map(|vector| (0..self.routes.len()).map(|route| (*vector, route)));
            let comes = |(vector, route): (V, usize)| {
                let hops = ahead(vector, route) + self.routes[route].len();
                let sends = busy.get(&ends[route]).copied().unwrap_or_default();
                ((hops as u64 * self.hop).max(free[route]).max(sends), hops, route, vector)
            };
            let Some((comes, _, route, vector)) = pairs.map(comes).min() else { break };
            free[route] = comes + slot;
            if self.spread {
                busy.insert(ends[route], comes + slot);
            }
            let queue = waiting.entry(vector).or_default();
            if let Some(index) = queue.pop_front() {
                dealt[index] = route;
            }
            if queue.is_empty() {
                waiting.remove(&vector);
            }
        }
        dealt
    }
}
