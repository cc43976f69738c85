//! How chips are wired, and what follows for routes.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::network::{Cable, Network, WiringError};
use lockstep_machine::system::SystemSpec;

fn system(name: &str) -> SystemSpec {
    SystemSpec::preset(name).unwrap()
}

/// The longest of all shortest routes, in hops.
fn diameter(network: &Network) -> u32 {
    (0..network.chips()).flat_map(|chip| network.distances(chip)).max().unwrap()
}

#[test]
fn a_node_is_a_full_mesh_whose_links_are_the_other_chips_in_order() {
    let node = system("lockstep1:8");
    let to: Vec<_> = node.network().leaving(3).iter().map(|cable| (cable.to_chip, cable.to_link)).collect();
    assert_eq!(to, [(0, 2), (1, 2), (2, 2), (4, 3), (5, 3), (6, 3), (7, 3)]);
    assert_eq!(node.cables().len(), 8 * 7);
    assert_eq!(diameter(node.network()), 1);
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
    assert_eq!(wrong(4, &both(cable(0, 1, 2, 1))), ["no cables lead from chip 0 to chip 1, nor to 1 others"]);
}
