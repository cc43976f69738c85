//! Systems without what is out of order.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::network::Cable;
use lockstep_machine::outage::Outage;
use lockstep_machine::system::{SystemError, SystemSpec};

fn outage(text: &str) -> Outage {
    text.parse().unwrap()
}

fn system(name: &str) -> SystemSpec {
    SystemSpec::preset(name).unwrap()
}

#[test]
fn outages_are_named_by_chip_and_link() {
    let three = outage("3,0.4, 7.15");
    assert_eq!(three.chips, [3].into());
    assert_eq!(three.links, [(0, 4), (7, 15)].into());
    assert_eq!(three.to_string(), "chip 3, link 0.4, link 7.15");
    for wrong in ["", "x", "1.", ".1", "1.256", "-1", "1,,2", "1.2.3"] {
        let error = wrong.parse::<Outage>().unwrap_err().to_string();
        assert!(error.contains("neither a chip") && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_dead_link_takes_both_directions_of_its_cable() {
    let whole = system("lockstep1:8");
    assert_eq!(whole.without(&Outage::default()).unwrap(), whole);
    let rest = whole.without(&outage("0.4")).unwrap();
    assert_eq!((rest.chips, rest.places()), (8, &[0, 1, 2, 3, 4, 5, 6, 7][..]));
    let gone: Vec<&Cable> = whole.cables().iter().filter(|cable| !rest.cables().contains(cable)).collect();
    assert_eq!(gone.len(), 2);
    assert_eq!((gone[0].from_chip, gone[0].from_link, *gone[1]), (0, 4, gone[0].reversed()));
    let far = gone[0].to_chip;
    assert_eq!(rest.network().routes_to(far).hops(0), 2);
}

#[test]
fn chips_that_are_left_are_numbered_anew() {
    let whole = system("lockstep1:8");
    let rest = whole.without(&outage("3,6")).unwrap();
    assert_eq!((rest.chips, rest.places()), (6, &[0, 1, 2, 4, 5, 7][..]));
    // All that work are linked as they were.
    assert_eq!(rest.cables().len(), 6 * 5);
    for cable in rest.cables() {
        let place = |chip: u32| rest.places()[chip as usize];
        let before = Cable { from_chip: place(cable.from_chip), to_chip: place(cable.to_chip), ..*cable };
        assert!(whole.cables().contains(&before), "{cable}");
    }
    // Of what is left, more may be taken: by its own numbers.
    assert_eq!(rest.without(&outage("3,0.1")).unwrap().places(), [0, 1, 2, 5, 7]);
}

#[test]
fn nodes_are_those_of_the_whole_system() {
    assert_eq!(system("lockstep1:3").nodes(), [[0, 1, 2]]);
    assert_eq!(system("lockstep1:10").nodes(), [vec![0, 1, 2, 3, 4, 5, 6, 7], vec![8, 9]]);
    let rack = system("lockstep1:24");
    let rest = rack.without(&outage("3,8,9,10,11,12,13,14,15")).unwrap();
    assert_eq!(rest.nodes(), [vec![0, 1, 2, 3, 4, 5, 6], (7..15).collect()]);
    assert_eq!(rest.places()[7..], [16, 17, 18, 19, 20, 21, 22, 23]);
}

#[test]
fn what_cannot_be_left_out_is_said() {
    let node = system("lockstep1:8");
    for (text, what) in [("8", "chip 8"), ("9.0", "link 9.0"), ("0.16", "link 0.16")] {
        let error = node.without(&outage(text)).unwrap_err();
        assert!(matches!(&error, SystemError::Absent { .. }) && error.to_string().contains(what), "{error}");
    }
    let all = node.without(&outage("0,1,2,3,4,5,6,7")).unwrap_err();
    assert!(all.to_string().contains("0 chips"), "{all}");
    // A ring without two of its chips falls apart, unless they are neighbours.
    let ring = system("lockstep1:ring6");
    assert!(matches!(ring.without(&outage("1,4")), Err(SystemError::Wiring { .. })));
    assert_eq!(ring.without(&outage("1,2")).unwrap().places(), [0, 3, 4, 5]);
}

#[test]
fn a_spare_node_takes_over_for_a_node() {
    let (node, rack) = (system("lockstep1:8"), system("lockstep1:72"));
    let place = |text: &str| rack.place(8, node.cables(), &outage(text));
    assert_eq!(rack.place(8, node.cables(), &Outage::default()), Some((0..8).collect()));
    assert_eq!(place("3"), Some((8..16).collect()));
    // A cable between nodes is of no account, one within them is.
    assert_eq!(place("0.7"), Some((0..8).collect()));
    assert_eq!(place("0.6,9"), Some((16..24).collect()));
    assert_eq!(place("0,8,16,24,32,40,48,56,64"), None);
    assert_eq!(node.place(8, node.cables(), &outage("3")), None);
    assert_eq!(node.place(9, node.cables(), &Outage::default()), None);
    // A stretch of a ring moves along it.
    let ring = system("lockstep1:ring6");
    let stretch: Vec<Cable> = ring.cables().iter().copied().filter(|c| c.from_chip < 3 && c.to_chip < 3).collect();
    assert_eq!(ring.place(3, &stretch, &outage("1")), Some(vec![2, 3, 4]));
    assert_eq!(ring.place(3, &stretch, &outage("2,5")), None);
}
