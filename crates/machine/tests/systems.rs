//! Systems by name, and what follows from them.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::description::{Description, PRESETS};
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::{Size, SystemError, SystemName, SystemSpec, chips_max};
use lockstep_machine::topology::{CHIPS_MAX, Topology};

#[test]
fn a_name_is_a_machine_and_a_count() {
    for (name, chips, nodes, racks) in
        [("lockstep1", 1, 1, 1), ("lockstep1:1", 1, 1, 1), ("lockstep1:8", 8, 1, 1), ("lockstep1:9", 9, 2, 1)]
            .into_iter()
            .chain([("tsp2020:72", 72, 9, 1), ("lockstep1:73", 73, 10, 2), ("lockstep1:10440", 10_440, 1_305, 145)])
    {
        let system = SystemSpec::preset(name).unwrap();
        let figures = system.figures();
        assert_eq!((system.chips, figures.nodes, figures.racks), (chips, nodes, racks), "{name}");
        assert_eq!(SystemSpec::preset(&system.name()).unwrap(), system);
    }
}

#[test]
fn links_of_a_chip_are_a_full_mesh_and_the_rest_global() {
    let links = |name: &str| {
        let figures = SystemSpec::preset(name).unwrap().figures();
        (figures.links_per_chip, figures.links_in_node, figures.links_global)
    };
    assert_eq!(links("lockstep1"), (16, 0, 0));
    assert_eq!(links("lockstep1:2"), (16, 1, 0));
    assert_eq!(links("lockstep1:8"), (16, 7, 0));
    assert_eq!(links("lockstep1:72"), (16, 7, 4));
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
