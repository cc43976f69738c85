//! Descriptions that say how their chips are wired.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::description::PRESETS;
use lockstep_machine::system::{Size, SystemSpec};
use lockstep_machine::topology::Topology;

/// `lockstep1` with a table of its own.
fn with(table: &str) -> String {
    format!("{}\n[topology]\n{table}", PRESETS[0].1)
}

fn system(table: &str) -> SystemSpec {
    SystemSpec::parse(&with(table), Size::default()).unwrap()
}

fn error(table: &str) -> String {
    SystemSpec::parse(&with(table), Size::default()).unwrap_err().to_string()
}

#[test]
fn a_kind_and_a_number_are_the_system_of_that_name() {
    for (kind, chips) in [("node", 8), ("rack", 72), ("nodes", 100), ("racks", 300), ("ring", 5)] {
        let table = format!("kind = \"{kind}\"\nchips = {chips}\nsource = \"chosen: a test\"");
        let (declared, named) = (system(&table), SystemSpec::preset(&format!("lockstep1:{kind}{chips}")).unwrap());
        assert_eq!((declared.cables(), declared.chips), (named.cables(), chips), "{kind}");
        assert_eq!(declared.machine(), named.machine());
        assert_eq!(SystemSpec::preset(&declared.name()).unwrap().cables(), declared.cables());
    }
}

const TRIANGLE: &str = "kind = \"listed\"\nchips = 3\nsource = \"chosen: a test\"\ncables = ";

#[test]
fn listed_cables_lead_both_ways() {
    let triangle = system(&format!("{TRIANGLE}[[0, 1, 1, 0], [1, 1, 2, 0], [0, 0, 2, 15]]"));
    let cables: Vec<_> = triangle.cables().iter().map(ToString::to_string).collect();
    assert_eq!(cables.len(), 6);
    assert_eq!(cables[0], "chip 0 link 0 to chip 2 link 15");
    assert_eq!(cables[5], "chip 2 link 15 to chip 0 link 0");
    assert_eq!(triangle.topology.name(), "listed");
}

#[test]
fn a_name_overrides_the_number_and_the_kind() {
    let text = with(&format!("{TRIANGLE}[[0, 1, 1, 0], [1, 1, 2, 0]]"));
    let open = |size| SystemSpec::parse(&text, size);
    assert_eq!(open(Size::chips(2)).unwrap().cables().len(), 2, "the first two chips and the cable between them");
    let ring = open(Size { chips: Some(3), topology: Some(Topology::Ring) }).unwrap();
    assert_eq!(ring.cables().len(), 6);
    assert_eq!(open(Size { chips: None, topology: Some(Topology::Node) }).unwrap().chips, 3);
    let error = open(Size::chips(4)).unwrap_err().to_string();
    assert_eq!(error, "lockstep1: 4 chips; its links join 1 to 3 as listed");
}

#[test]
fn every_mistake_in_the_table_names_its_key() {
    let all = error("kind = \"star\"\nchips = 0\nsource = \"guessed\"\nwires = 3");
    for key in ["topology.kind", "topology.chips", "topology.source", "topology.wires"] {
        assert!(all.contains(key), "{key}: {all}");
    }
    assert!(error("kind = \"ring\"\nchips = 2\nsource = \"chosen: x\"\ncables = []").contains("topology.cables"));
    assert!(error("kind = \"listed\"\nchips = 2\nsource = \"chosen: x\"").contains("topology.cables"));
    for entry in ["[0, 0, 1]", "[0, 0, 1, -1]", "[0, 0, 1, 256]", "[0, 0, 1, 0, 0]", "3", "[0, 0, 1, 0.5]"] {
        let error = error(&format!("{TRIANGLE}[[0, 1, 1, 0], {entry}]"));
        assert!(error.contains("topology.cables: entry 1"), "{error}");
    }
    assert!(SystemSpec::parse(&format!("topology = 3\n{}", PRESETS[0].1), Size::default()).is_err());
}

#[test]
fn mistakes_in_the_cables_name_chip_and_link() {
    assert_eq!(
        error(&format!("{TRIANGLE}[[0, 1, 1, 0], [0, 1, 2, 0]]")),
        "lockstep1: chip 0 link 1 has two cables: chip 0 link 1 to chip 1 link 0, and chip 0 link 1 to chip 2 link 0"
    );
    assert_eq!(error(&format!("{TRIANGLE}[[0, 1, 1, 0]]")), "lockstep1: no cables lead from chip 0 to chip 2");
    let many = (0..16).map(|link| format!("[0, {link}, 9, {link}]")).collect::<Vec<_>>().join(", ");
    let error = error(&format!("{TRIANGLE}[{many}]"));
    assert!(error.contains("chip 0 link 0 to chip 9 link 0: there are 3 chips"), "{error}");
    assert!(error.ends_with("; and 24 more"), "{error}");
}
