//! The second pass: which chips run which layers.
//!
//! The chips of a group share every layer of the group (`share.rs`); groups follow one another in a pipeline. A group
//! stays inside a node, where each two chips have a link unless it is dead, and from each group a link leads to the
//! next one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

use crate::chips::Chips;
use crate::compose::ensemble::Wire;
use crate::error::Error;
use crate::network::{Kind, Network};
use crate::place::capacity::{matrix_bytes, share_bytes, table_bytes};
use crate::weights::Named;

/// How a model is spread over chips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The better of the others for an objective, of those for which memory suffices.
    #[default]
    Auto,
    /// Over the chips of a node by matrix rows and heads, over nodes by layers.
    Tensor,
    /// Over chips by layers.
    Pipeline,
}

/// What a split is chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The fewest cycles from a token to the next one of a sequence.
    #[default]
    Latency,
    /// The fewest cycles from a token to the next one of any sequence, where there are as many as the pipeline holds.
    Throughput,
}

/// Chips that share layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) chips: Vec<u32>,
    pub(crate) layers: Range<usize>,
    cost: Cost,
    /// The links among its chips, by their places in the group.
    pub(crate) wires: Vec<Wire>,
}

impl Group {
    /// What its layers cost, in weights.
    pub(crate) fn time(&self) -> u64 {
        self.cost.time
    }
}

/// Bytes of weights for which a chip has room at most. What else it holds depends on whether its group begins the model
/// and whether it ends it.
#[derive(Clone, Debug)]
pub(crate) struct Room([[u64; 2]; 2]);

impl Room {
    /// So much for all groups.
    pub(crate) fn new(bytes: u64) -> Self {
        Self([[bytes; 2]; 2])
    }

    /// There is none for a group of `network`: groups like it take less from here on.
    pub(crate) fn refuse(&mut self, group: &Group, network: &Network<'_>) {
        let Range { start, end } = group.layers;
        self.0[usize::from(start == 0)][usize::from(end == network.layers.len())] = group.cost.bytes.saturating_sub(1);
    }

    fn of(&self, begins: bool, ends: bool) -> u64 {
        self.0[usize::from(begins)][usize::from(ends)]
    }
}

/// Steps of a search for an order of groups.
const SEARCH: usize = 20_000;

/// Groups in the order of the layers; each chip has so much room for weights.
pub(crate) fn groups(network: &Network<'_>, chips: Chips<'_>, split: Split, room: &Room) -> Result<Vec<Group>, Error> {
    let all = formed(&chips.nodes(), split);
    let size = all.first().map_or(1, Vec::len);
    // Nothing is made of sizes that a file may only claim. A table that is embedding and head counts twice.
    let believed = 2 * chips.machine().sram_bytes();
    let costs =
        costs(network, size, chips.machine(), believed).ok_or(Error::Layers { fit: 0, count: network.layers.len() })?;
    // One group may find room where none was counted: its memory alone can tell.
    let is_likely = all.len() == 1 && costs.iter().map(|cost| cost.bytes).sum::<u64>() <= believed;
    let anything = Room::new(u64::MAX);
    let room = if is_likely { &anything } else { room };
    let wanted =
        deal(&costs, room, all.len()).map_err(|needed| Error::Room { needed, size: size as u32, groups: all.len() })?;
    let order = path(&all, chips.cables(), wanted.len()).ok_or_else(|| {
        let expected = format!("one of {} groups: use --split pipeline, or fewer chips", wanted.len());
        Error::shape("cables", "no chain of linked groups was found", expected)
    })?;
    let group = |(index, layers): (usize, Range<usize>)| {
        let group = all[index].clone();
        let cost = costs[layers.clone()].iter().fold(Cost::default(), |sum, cost| sum.plus(*cost));
        Group { wires: wires(&group, chips), chips: group, layers, cost }
    };
    Ok(order.into_iter().zip(wanted).map(group).collect())
}

/// The groups that chips form, of equally many chips each: of one, or of chips of one node. Nodes may lack chips: of all
/// sizes above half a node that one is taken with which most chips are in groups.
fn formed(nodes: &[Vec<u32>], split: Split) -> Vec<Vec<u32>> {
    let most = if split == Split::Pipeline { 1 } else { nodes.iter().map(Vec::len).max().unwrap_or(1) };
    let grouped = |size: &usize| nodes.iter().map(|node| node.len() / size * size).sum::<usize>();
    let size = (most / 2 + 1..=most).max_by_key(grouped).unwrap_or(1);
    nodes.iter().flat_map(|node| node.chunks_exact(size)).map(<[u32]>::to_vec).collect()
}

/// The links between chips of a group, by their places in it.
fn wires(group: &[u32], chips: Chips<'_>) -> Vec<Wire> {
    let places: BTreeMap<u32, usize> = group.iter().copied().zip(0..).collect();
    let wire = |cable: &Cable| {
        let (from, to) = (*places.get(&cable.from_chip)?, *places.get(&cable.to_chip)?);
        Some(Wire { from, out: cable.from_link, to, into: cable.to_link })
    };
    let mut wires: Vec<Wire> = group.iter().flat_map(|chip| chips.leaving(*chip)).filter_map(wire).collect();
    wires.sort_by_key(|wire| (wire.from, wire.to, wire.out));
    wires
}

/// What a layer costs its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    /// In weights.
    time: u64,
    /// On the fullest chip.
    bytes: u64,
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self { time: self.time + other.time, bytes: self.bytes + other.bytes }
    }
}

/// What each layer costs, the first one with the embedding and the last one with what follows it; none where a layer is
/// larger than is believed.
fn costs(network: &Network<'_>, ranks: usize, spec: &MachineSpec, believed: u64) -> Option<Vec<Cost>> {
    let of_kind = |kind: &Kind<'_>| {
        let weights = &kind.weights[0];
        let is_believed = matrix_bytes(weights, spec) / ranks as u64 <= believed;
        let bytes = is_believed.then(|| share_bytes(kind, network.rotaries, ranks, spec))?;
        Some(Cost { time: weights.iter().map(Named::elements).sum(), bytes })
    };
    let kinds: Vec<Cost> = network.kinds.iter().map(of_kind).collect::<Option<_>>()?;
    let mut costs: Vec<Cost> = network.layers.iter().map(|(kind, _)| kinds[*kind]).collect();
    if let (Some(last), Some(head)) = (costs.last_mut(), &network.head) {
        *last = last.plus(of_kind(head)?);
    }
    if let (Some(first), Some((table, _))) = (costs.first_mut(), &network.embedding) {
        // A row of it is all that is read.
        *first = first.plus(Cost { time: 0, bytes: table_bytes(table, ranks, spec) });
    }
    costs.iter().all(|cost| cost.bytes <= believed).then_some(costs)
}

/// Consecutive layers for `groups` groups, or for one each, so that no group has more bytes than room and the most
/// expensive one is as cheap as can be; or how many groups it takes at least.
fn deal(costs: &[Cost], room: &Room, groups: usize) -> Result<Vec<Range<usize>>, usize> {
    let cut = |most: u64| {
        let (mut ranges, mut first, mut sum) = (Vec::new(), 0, Cost::default());
        for (layer, cost) in costs.iter().enumerate() {
            let all = sum.plus(*cost);
            let is_full = all.time > most || all.bytes > room.of(first == 0, layer + 1 == costs.len());
            if is_full && layer > first {
                ranges.push(first..layer);
                (first, sum) = (layer, *cost);
            } else {
                sum = all;
            }
        }
        ranges.push(first..costs.len());
        ranges
    };
    let times = || costs.iter().map(|cost| cost.time);
    let (mut low, mut high) = (times().max().unwrap_or_default(), times().sum());
    let fewest = cut(high).len();
    if fewest > groups {
        return Err(fewest);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if cut(middle).len() <= groups { high = middle } else { low = middle + 1 }
    }
    let mut ranges = cut(low);
    // Groups that are left over take some of the layers of those that have most.
    while ranges.len() < groups {
        let most = (0..ranges.len()).rev().max_by_key(|at| ranges[*at].len()).filter(|at| ranges[*at].len() > 1);
        let Some(at) = most else { break };
        let Range { start, end } = ranges[at];
        let middle = start + (end - start).div_ceil(2);
        ranges.splice(at..=at, [start..middle, middle..end]);
    }
    Ok(ranges)
}

/// A chain of `length` groups in which a cable leads from each to the next: each next one that by which a value comes
/// soonest, where such a chain is found.
fn path(groups: &[Vec<u32>], cables: &[Cable], length: usize) -> Option<Vec<usize>> {
    let near = nearness(groups, cables);
    let free = |chain: &[usize], from: usize| {
        near[from].keys().copied().filter(|group| !chain.contains(group)).collect::<Vec<usize>>()
    };
    // Where that leads nowhere, ever more of those from which few ways lead on come first, so that none is left behind:
    // in the end all of them (Warnsdorff's rule).
    let most = near.iter().map(BTreeMap::len).max().unwrap_or_default();
    (0..=most).find_map(|few| {
        chain(length, |chain, from| {
            let mut groups = free(chain, from);
            groups.sort_by_cached_key(|group| {
                let ways = free(chain, *group).len();
                Reverse((ways.min(few), Reverse(near[from][group]), ways, *group))
            });
            groups
        })
    })
}

/// For each group those to which cables lead: how many, and how many chips of other groups have cables to both.
fn nearness(groups: &[Vec<u32>], cables: &[Cable]) -> Vec<BTreeMap<usize, (usize, usize)>> {
    let group_of: BTreeMap<u32, usize> =
        groups.iter().enumerate().flat_map(|(group, chips)| chips.iter().map(move |chip| (*chip, group))).collect();
    let mut near = vec![BTreeMap::new(); groups.len()];
    let mut reached: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for cable in cables {
        let ends = group_of.get(&cable.from_chip).zip(group_of.get(&cable.to_chip));
        if let Some((from, to)) = ends.filter(|(from, to)| from != to) {
            near[*from].entry(*to).or_insert((0, 0)).0 += 1;
            reached.entry(cable.from_chip).or_default().insert(*to);
        }
    }
    for both in reached.values() {
        for (one, other) in both.iter().flat_map(|one| both.iter().map(move |other| (*one, *other))) {
            near[one].entry(other).and_modify(|(_, chips)| *chips += 1);
        }
    }
    near
}

/// The first chain of `length` groups from group 0 on, where `onward` has the groups that may follow, best last.
fn chain(length: usize, onward: impl Fn(&[usize], usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut chain = vec![0];
    let mut untried = vec![onward(&chain, 0)];
    for _ in 0..SEARCH {
        if chain.len() == length {
            return Some(chain);
        }
        if let Some(group) = untried.last_mut()?.pop() {
            chain.push(group);
            untried.push(onward(&chain, group));
        } else {
            chain.pop();
            untried.pop();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use lockstep_machine::system::SystemSpec;

    use super::*;

    #[test]
    fn layers_are_dealt_so_that_the_dearest_group_is_cheapest() {
        let dealt = |times: &[u64], groups| {
            let costs: Vec<Cost> = times.iter().map(|time| Cost { time: *time, bytes: 1 }).collect();
            deal(&costs, &Room::new(9), groups).expect("room")
        };
        assert_eq!(dealt(&[1, 1, 1, 1], 2), [0..2, 2..4]);
        assert_eq!(dealt(&[1, 1, 1, 4], 2), [0..3, 3..4]);
        assert_eq!(dealt(&[1, 1, 1, 9], 3), [0..2, 2..3, 3..4]);
        assert_eq!(dealt(&[1, 1], 5), [0..1, 1..2]);
    }

    #[test]
    fn groups_have_room_for_what_they_are_dealt() {
        let costs = [(1, 3), (1, 1), (1, 1), (1, 1)].map(|(time, bytes)| Cost { time, bytes });
        assert_eq!(deal(&costs, &Room::new(9), 2), Ok(vec![0..2, 2..4]));
        assert_eq!(deal(&costs, &Room::new(3), 2), Ok(vec![0..1, 1..4]));
        assert_eq!(deal(&costs, &Room::new(2), 2), Err(3));
    }

    #[test]
    fn groups_that_found_no_room_take_fewer_layers() {
        let costs = [Cost { time: 1, bytes: 1 }; 6];
        let mut room = Room::new(9);
        assert_eq!(deal(&costs, &room, 3), Ok(vec![0..2, 2..4, 4..6]));
        room.0[1][0] = 1;
        assert_eq!(deal(&costs, &room, 3), Ok(vec![0..1, 1..4, 4..6]));
        room.0[0][0] = 2;
        assert_eq!(deal(&costs, &room, 3), Ok(vec![0..1, 1..3, 3..6]));
        room.0[0][1] = 2;
        assert_eq!(deal(&costs, &room, 3), Err(4));
    }

    /// No group has chips of two nodes, and no more chips than need be are in none.
    #[test]
    fn groups_are_of_nodes() {
        let sizes = |system: &str, without: &str, split| {
            let whole = SystemSpec::preset(system).expect("a preset");
            let system = whole.without(&without.parse().expect("chips")).expect("a system");
            let groups = formed(&system.nodes(), split);
            let node = |chip: &u32| system.places()[*chip as usize] / 8;
            for group in &groups {
                assert!(group.iter().all(|chip| node(chip) == node(&group[0])), "{group:?}");
            }
            (groups.len(), groups[0].len())
        };
        assert_eq!(sizes("lockstep1:16", "0.0", Split::Tensor), (2, 8));
        assert_eq!(sizes("lockstep1:16", "3", Split::Tensor), (2, 7));
        assert_eq!(sizes("lockstep1:16", "3", Split::Pipeline), (15, 1));
        assert_eq!(sizes("lockstep1:16", "9,10,12,13,14", Split::Tensor), (1, 8));
        assert_eq!(sizes("lockstep1:12", "0.0", Split::Tensor), (1, 8));
        // One chip in 72 is not worth one in each group.
        assert_eq!(sizes("lockstep1:72", "3", Split::Tensor), (8, 8));
        assert_eq!(sizes("lockstep1:72", "3,8,16,24", Split::Tensor), (9, 7));
    }

    #[test]
    fn a_chain_follows_cables() {
        let ones =
            [("lockstep1:16", 16), ("lockstep1:72", 40), ("lockstep1:264", 30)].map(|(name, all)| (name, 1, all));
        for (name, size, length) in ones.into_iter().chain([("lockstep1:264", 8, 33), ("lockstep1:576", 8, 72)]) {
            let system = SystemSpec::preset(name).expect("a preset");
            let all = formed(&system.nodes(), if size == 1 { Split::Pipeline } else { Split::Tensor });
            let near = nearness(&all, system.cables());
            let mut chain = path(&all, system.cables(), length).expect("a chain");
            let steps = chain.windows(2).map(|pair| near[pair[0]].get(&pair[1]).expect(name));
            let common = steps.filter(|(_, chips)| *chips > 0).count();
            chain.sort_unstable();
            chain.dedup();
            assert_eq!(chain.len(), length, "{name}");
            // Racks have no chips in common, and chips of two nodes none either.
            assert!(10 * common > 8 * length, "{name}: {common} of {length}");
        }
    }
}
