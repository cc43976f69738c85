//! Systems by name, and what follows from them.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::description::{Description, PRESETS};
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::{Size, SystemError, SystemName, SystemSpec, chips_max};
use lockstep_machine::topology::{CHIPS_MAX, Topology};

/// The smallest of the standard shapes holds the chips; what is left of its last node or rack is spare.
#[test]
fn a_name_is_a_machine_and_a_count() {
    for (name, topology, chips, nodes, racks, spare_chips, spare_nodes) in [
        ("lockstep1", "node", 1, 1, 1, 0, 0),
        ("lockstep1:1", "node", 1, 1, 1, 0, 0),
        ("lockstep1:5", "node", 5, 1, 1, 3, 0),
        ("lockstep1:8", "node", 8, 1, 1, 0, 0),
        ("lockstep1:9", "rack", 9, 2, 1, 63, 7),
        ("lockstep1:64", "rack", 64, 8, 1, 8, 1),
        ("tsp2020:72", "rack", 72, 9, 1, 0, 0),
        ("lockstep1:73", "nodes", 73, 10, 2, 7, 0),
        ("lockstep1:264", "nodes", 264, 33, 4, 0, 0),
        ("lockstep1:265", "racks", 265, 34, 4, 23, 2),
        ("lockstep1:racks64", "racks", 64, 8, 1, 8, 1),
        ("lockstep1:10440", "racks", 10_440, 1_305, 145, 0, 0),
        ("lockstep1:ring12", "ring", 12, 0, 0, 0, 0),
    ] {
        let system = SystemSpec::preset(name).unwrap();
        let wiring = system.wiring();
        assert_eq!((system.topology.name(), system.chips), (topology, chips), "{name}");
        assert_eq!((wiring.nodes, wiring.racks), (nodes, racks), "{name}");
        assert_eq!((wiring.spare_chips, wiring.spare_nodes), (spare_chips, spare_nodes), "{name}");
        assert_eq!(SystemSpec::preset(&system.name()).unwrap(), system);
    }
}

#[test]
fn cables_of_a_chip_are_a_full_mesh_and_those_beyond_its_node() {
    let cables = |name: &str| {
        let wiring = SystemSpec::preset(name).unwrap().wiring();
        (wiring.cables, wiring.cables_per_chip_min, wiring.cables_per_chip_max, wiring.cables_between_halves)
    };
    assert_eq!(cables("lockstep1"), (0, 0, 0, 0));
    assert_eq!(cables("lockstep1:2"), (1, 1, 1, 1));
    assert_eq!(cables("lockstep1:8"), (28, 7, 7, 16));
    // 8 nodes of 28, and 4 between each two of them: 16 pairs from half to half.
    assert_eq!(cables("lockstep1:64"), (8 * 28 + 28 * 4, 10, 11, 16 * 4));
    assert_eq!(cables("lockstep1:72").0, 72 * 11 / 2);
    assert_eq!(cables("lockstep1:10440").0, 10_440 * 11 / 2);
    assert_eq!(cables("lockstep1:ring9"), (9, 2, 2, 2));
}

#[test]
fn a_start_is_a_barrier_or_the_levels_of_a_tree() {
    let start = |name: &str| SystemSpec::preset(name).unwrap().figures().start_cycles;
    assert_eq!(start("lockstep1"), 35);
    assert_eq!(start("lockstep1:8"), 252);
    assert_eq!(start("lockstep1:264"), 3 * 252);
    assert_eq!(start("lockstep1:ring9"), 4 * 252);
    let mut slow = Description::preset("lockstep1").unwrap();
    slow.machine.c2c.latency_max_cycles = 252;
    let node = SystemSpec::new(slow, Size::chips(8)).unwrap();
    assert_eq!(node.figures().start_cycles, 2 * 252, "a mark that takes an epoch arrives in the second");
}

/// Multiply-adds, bytes and operations grow with the chips; caps a cycle are a chip's.
#[test]
fn figures_of_all_chips_are_those_of_one_times_their_number() {
    let one = SystemSpec::preset("lockstep1").unwrap().figures();
    let many = SystemSpec::preset("lockstep1:72").unwrap().figures();
    assert_eq!(many.sram_bytes, 72 * one.sram_bytes);
    assert_eq!(many.int8_ops_per_second, 72 * one.int8_ops_per_second);
    assert_eq!(many.int8_multiply_adds_per_cycle, one.int8_multiply_adds_per_cycle);
    let entries = many.entries();
    assert!(entries.contains(&("sram_bytes", many.sram_bytes, "bytes")));
    assert!(entries.contains(&("chips", 72, "")));
}

#[test]
fn errors_say_what_is_known_and_possible() {
    let check = |name: &str, parts: &[&str]| {
        let error = SystemSpec::preset(name).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{name}: {error}");
        assert!(error.len() < 300, "{error}");
    };
    for (preset, _) in PRESETS {
        check("lockstep9:8", &["\"lockstep9\"", preset]);
        check("", &["\"\"", preset]);
        check(":", &[":8"]);
    }
    check("lockstep1:0", &["lockstep1: 0 chips", "1 to 10440"]);
    check("lockstep1:10441", &["10441 chips", "1 to 10440"]);
    check("lockstep1:99999999999999999999999999", &["1 to 10440"]);
    for suffix in ["", "x", "8x", "ring", "listed8", "Ring8", "-8", "+8", " 8", "8:8:", "٣"] {
        check(&format!("lockstep1:{suffix}"), &["a number of chips follows the colon"]);
    }
    check(&"x".repeat(100_000), &["no machine is called"]);
}

/// A user's own file may be named with a count too; its text then comes from the caller.
#[test]
fn a_path_keeps_its_own_colons() {
    let check = |name, machine, size| assert_eq!(SystemName::parse(name).unwrap(), SystemName { machine, size });
    check("my.toml:8", "my.toml", Size::chips(8));
    check("C:\\machines\\my.toml", "C:\\machines\\my.toml", Size::default());
    check("a:b/my.toml:72", "a:b/my.toml", Size::chips(72));
    check("my.toml:ring5", "my.toml", Size { chips: Some(5), topology: Some(Topology::Ring) });
    let system = SystemSpec::parse(PRESETS[0].1, Size::chips(8)).unwrap();
    assert_eq!(system, SystemSpec::preset("lockstep1:8").unwrap());
    assert!(matches!(SystemSpec::parse("name = 3", Size::default()).unwrap_err(), SystemError::Description(_)));
    assert!(matches!(
        SystemSpec::parse(PRESETS[0].1, Size::chips(0)).unwrap_err(),
        SystemError::Chips { chips: 0, .. }
    ));
}

#[test]
fn a_machine_without_global_links_ends_at_its_node() {
    let mut description = Description::preset("lockstep1").unwrap();
    description.machine.package.global_links_per_chip = 0;
    assert_eq!(chips_max(&description.machine), 8);
    assert!(SystemSpec::new(description.clone(), Size::chips(8)).is_ok());
    let error = SystemSpec::new(description, Size::chips(9)).unwrap_err().to_string();
    assert!(error.contains("1 to 8"), "{error}");
}

/// Figures of the largest numbers that a description may hold do not overflow.
#[test]
fn figures_of_extreme_machines_are_finite() {
    let mut description = Description::preset("lockstep1").unwrap();
    let machine: &mut MachineSpec = &mut description.machine;
    machine.clock_hertz = 100_000_000_000;
    machine.mxm.planes_per_hemisphere = 8;
    machine.package.nodes_per_rack = 1 << 20;
    machine.package.chips_per_node = 1 << 20;
    machine.package.global_links_per_chip = 64;
    let size = Size { chips: Some(CHIPS_MAX.into()), topology: Some(Topology::Ring) };
    let system = SystemSpec::new(description, size).unwrap();
    assert_eq!(system.figures().int8_ops_per_second, u64::MAX);
    assert_eq!(system.figures().chips, u64::from(CHIPS_MAX));
}
