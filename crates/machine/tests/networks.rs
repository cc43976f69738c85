//! How chips are wired, and what follows for routes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::hops::Hops;
use lockstep_machine::network::{Cable, Network, WiringError};
use lockstep_machine::spec::{MachineSpec, PackageSpec};
use lockstep_machine::system::SystemSpec;
use lockstep_machine::topology::Topology;

fn system(name: &str) -> SystemSpec {
    SystemSpec::preset(name).unwrap()
}

#[test]
fn a_node_is_a_full_mesh_whose_links_are_the_other_chips_in_order() {
    let node = system("lockstep1:8");
    let to: Vec<_> = node.network().leaving(3).iter().map(|cable| (cable.to_chip, cable.to_link)).collect();
    assert_eq!(to, [(0, 2), (1, 2), (2, 2), (4, 3), (5, 3), (6, 3), (7, 3)]);
    assert_eq!(node.cables().len(), 8 * 7);
    assert_eq!(Hops::new(node.network()).pairs, [0, 56]);
    for chips in 1..=8 {
        let part = system(&format!("lockstep1:{chips}"));
        let among = node.cables().iter().filter(|cable| cable.from_chip.max(cable.to_chip) < chips);
        assert!(part.cables().iter().eq(among), "{chips} chips");
    }
}

#[test]
fn a_ring_leads_east_and_comes_in_from_the_west() {
    let ring = system("lockstep1:ring5");
    let onward =
        ring.cables().iter().filter(|cable| cable.from_link == 8).map(|cable| (cable.from_chip, cable.to_chip));
    assert_eq!(onward.collect::<Vec<_>>(), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]);
    assert!(ring.cables().iter().all(|cable| cable.from_link + cable.to_link == 8));
    assert_eq!(ring.network().distances(0), [0, 1, 2, 2, 1]);
    assert_eq!(system("lockstep1:ring1").cables(), []);
    assert_eq!(system("lockstep1:ring2").cables().len(), 4);
}

#[test]
fn routes_are_all_shortest_ones() {
    let ring = system("lockstep1:ring6");
    let routes = ring.network().routes_to(3);
    let next: Vec<_> = routes.next(0).map(|cable| cable.to_chip).collect();
    assert_eq!(next, [5, 1], "both ways around, in the order of links");
    assert_eq!(routes.path(0).iter().map(|cable| cable.to_chip).collect::<Vec<_>>(), [5, 4, 3]);
    assert_eq!((routes.hops(0), routes.next(3).count(), routes.path(3)), (3, 0, vec![]));
}

#[test]
fn every_mistake_is_named() {
    let cable = |from_chip, from_link, to_chip, to_link| Cable { from_chip, from_link, to_chip, to_link };
    let wrong = |chips, cables: &[Cable]| {
        let errors = Network::new(chips, 16, cables.to_vec()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = |cable: Cable| [cable, cable.reversed()];
    assert_eq!(wrong(2, &[cable(0, 1, 1, 0)]), ["chip 0 link 1 to chip 1 link 0: nothing leads back"]);
    assert_eq!(
        wrong(2, &[both(cable(0, 1, 1, 0)), both(cable(0, 1, 1, 3))].concat())[0],
        "chip 0 link 1 has two cables: chip 0 link 1 to chip 1 link 0, and chip 0 link 1 to chip 1 link 3"
    );
    let errors = Network::new(2, 16, both(cable(0, 1, 2, 16)).to_vec()).unwrap_err();
    assert!(matches!(errors[0], WiringError::Chip { chips: 2, .. }), "{errors:?}");
    assert!(matches!(errors[1], WiringError::Link { links: 16, .. }), "{errors:?}");
    let errors = Network::new(1, 16, both(cable(0, 1, 0, 2)).to_vec()).unwrap_err();
    assert!(matches!(errors[0], WiringError::Own { .. }), "{errors:?}");
    assert_eq!(wrong(4, &both(cable(0, 1, 2, 1))), ["no cables lead from chip 0 to chip 1, nor to 1 more"]);
}

/// Links of a chip that a shape made of nodes uses: 7 in the node and 4 beyond it.
fn assert_every_port_is_wired(system: &SystemSpec) {
    for chip in 0..system.chips {
        let links = system.network().leaving(chip).iter().map(|cable| cable.from_link);
        assert!(links.eq(0..11), "chip {chip}");
    }
}

/// Cables between each two groups of `size` chips, each direction as one.
fn between(system: &SystemSpec, size: u32) -> BTreeMap<(u32, u32), u32> {
    let mut counts = BTreeMap::new();
    for cable in system.cables() {
        let groups = (cable.from_chip / size, cable.to_chip / size);
        if groups.0 != groups.1 {
            *counts.entry(groups).or_insert(0) += 1;
        }
    }
    counts
}

fn assert_between(system: &SystemSpec, size: u32, copies: u32) {
    let counts = between(system, size);
    let groups = u64::from(system.chips / size);
    assert_eq!(counts.len() as u64, groups * (groups - 1), "{}: all groups are neighbours", system.name());
    assert!(counts.values().all(|count| *count == copies), "{}", system.name());
}

#[test]
fn a_rack_has_four_cables_between_each_two_of_its_nine_nodes() {
    let rack = system("lockstep1:72");
    assert_every_port_is_wired(&rack);
    assert_between(&rack, 8, 4);
    // The four leave by four chips, and a chip's four lead to four nodes.
    for chip in 0..72 {
        let nodes: BTreeSet<_> = rack.network().leaving(chip)[7..].iter().map(|cable| cable.to_chip / 8).collect();
        assert_eq!(nodes.len(), 4, "chip {chip}");
    }
    assert_eq!(Hops::new(rack.network()).diameter(), 3);
}

#[test]
fn chips_of_33_nodes_are_at_most_3_hops_apart() {
    let system = system("lockstep1:264");
    assert_every_port_is_wired(&system);
    assert_between(&system, 8, 1);
    let hops = Hops::new(system.network());
    assert_eq!((hops.diameter(), hops.all()), (3, 264 * 263));
}

#[test]
fn racks_have_one_cable_between_each_two_and_every_port_is_wired() {
    let system = system("lockstep1:10440");
    assert_every_port_is_wired(&system);
    assert_between(&system, 72, 1);
    let of_a_rack = between(&SystemSpec::preset("lockstep1:racks72").unwrap(), 8);
    assert!(of_a_rack.len() == 72 && of_a_rack.values().all(|count| *count == 2), "{of_a_rack:?}");
    // 1 chip, 7 of its node and 2 of other nodes, and from each of those 7 again 2, and from the 2 at most 7 and 1.
    let near = (0..10_440).step_by(97).map(|chip| {
        let rack = chip / 72;
        let hops = system.network().distances(chip);
        (72 * rack..72 * (rack + 1)).filter(|other| hops[*other as usize] <= 2).count()
    });
    assert!(near.into_iter().all(|count| count <= 1 + 9 + 30));
    // To the node with the cable, to the chip that has it, across, and the same again.
    assert!(Hops::new(system.network()).diameter() <= 3 + 1 + 3);
}

/// So the first n chips are connected, for every n.
#[test]
fn every_chip_has_a_cable_to_a_lower_one() {
    for name in ["lockstep1:8", "lockstep1:72", "lockstep1:264", "lockstep1:10440"] {
        let system = system(name);
        for chip in 1..system.chips {
            assert!(system.network().leaving(chip).iter().any(|cable| cable.to_chip < chip), "{name}: chip {chip}");
        }
    }
}

#[test]
fn a_part_of_a_shape_has_the_cables_among_its_chips() {
    for (part, whole) in [("9", "72"), ("64", "72"), ("73", "264"), ("265", "10440"), ("10439", "10440")] {
        let [part, whole] = [part, whole].map(|chips| system(&format!("lockstep1:{chips}")));
        assert_eq!(part.topology, whole.topology);
        let among = whole.cables().iter().filter(|cable| cable.from_chip.max(cable.to_chip) < part.chips);
        assert!(part.cables().iter().eq(among), "{}", part.name());
    }
}

#[test]
fn shortest_routes_are_as_long_as_their_distance_and_follow_cables() {
    let system = system("lockstep1:264");
    let network = system.network();
    for to in [0, 100, 263] {
        let routes = network.routes_to(to);
        for from in 0..264 {
            let path = routes.path(from);
            assert_eq!(path.len() as u32, routes.hops(from), "{from} to {to}");
            assert_eq!(routes.hops(from), network.distances(from)[to as usize]);
            let ends = path.iter().map(|cable| cable.to_chip);
            let starts = path.iter().map(|cable| cable.from_chip).chain([to]);
            assert!(std::iter::once(from).chain(ends).eq(starts), "{from} to {to}");
            // Every choice of `next` leads one hop nearer, and no other cable does.
            let next: BTreeSet<_> = routes.next(from).collect();
            for cable in network.leaving(from) {
                let nearer = routes.hops(cable.to_chip) + 1 == routes.hops(from);
                assert_eq!(nearer, next.contains(cable), "{from} to {to}");
            }
        }
    }
}

/// Two ways to count.
#[test]
fn hops_are_those_of_the_distances_of_each_chip() {
    for name in ["lockstep1", "lockstep1:100", "lockstep1:300", "lockstep1:ring131"] {
        let system = system(name);
        let mut pairs = vec![0; Hops::new(system.network()).pairs.len()];
        for hops in (0..system.chips).flat_map(|chip| system.network().distances(chip)) {
            pairs[hops as usize] += u64::from(hops > 0);
        }
        assert_eq!(Hops::new(system.network()).pairs, pairs, "{name}");
    }
}

#[test]
fn the_tree_reaches_every_chip_by_as_few_hops_as_can_be() {
    for name in ["lockstep1:8", "lockstep1:100", "lockstep1:ring7"] {
        let system = system(name);
        let hops = system.network().distances(0);
        let tree = system.network().tree();
        assert!(tree.iter().map(|cable| cable.to_chip).eq(1..system.chips), "{name}");
        for cable in tree {
            assert_eq!(hops[cable.from_chip as usize] + 1, hops[cable.to_chip as usize], "{name}: {cable}");
            assert!(system.cables().contains(&cable), "{name}: {cable}");
        }
    }
}

/// Whatever a package is like, the rule wires each port at most once and both ways, and whole shapes are connected.
#[test]
fn packages_of_any_numbers_are_sound() {
    let mut spec = MachineSpec::preset("lockstep1").unwrap();
    for (chips, global, nodes, copies) in product([1..=5, 0..=4, 1..=4, 1..=3]) {
        spec.c2c.links = chips - 1 + global;
        spec.package = PackageSpec {
            chips_per_node: chips,
            global_links_per_chip: global,
            nodes_per_rack: nodes,
            cables_in_rack: copies,
        };
        for shape in Topology::STANDARD {
            let most = shape.chips_max(&spec);
            let network = (most > 0).then(|| shape.network(&spec, most));
            assert!(network.is_none_or(|network| network.is_ok()), "{} of {:?}", shape.name(), spec.package);
            for part in (1..most.min(50)).step_by(7) {
                let errors = shape.network(&spec, part).err().unwrap_or_default();
                let apart = errors.iter().all(|error| matches!(error, WiringError::Apart { .. }));
                assert!(apart, "{part} chips, {} of {:?}: {errors:?}", shape.name(), spec.package);
            }
        }
    }
}

fn product([a, b, c, d]: [std::ops::RangeInclusive<u32>; 4]) -> impl Iterator<Item = (u32, u32, u32, u32)> {
    let pairs = a.flat_map(move |a| b.clone().map(move |b| (a, b)));
    let triples = pairs.flat_map(move |(a, b)| c.clone().map(move |c| (a, b, c)));
    triples.flat_map(move |(a, b, c)| d.clone().map(move |d| (a, b, c, d)))
}
