//! The crates' edges are those of `layers.toml`, and they all point to lower tiers.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const PREFIX: &str = "lockstep-";

/// What a crate uses by Cargo's own account; its tests' needs left out.
#[derive(Default)]
struct Uses {
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
}

fn resolved() -> BTreeMap<String, Uses> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = json["packages"].as_array().unwrap().iter();
    let name_of = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours = packages.filter_map(|package| {
        let name = name_of(package).strip_prefix(PREFIX)?.to_owned();
        let mut uses = Uses::default();
        for edge in package["dependencies"].as_array().unwrap().iter().filter(|edge| edge["kind"] != "dev") {
            match name_of(edge).strip_prefix(PREFIX) {
                Some(used) => uses.ours.insert(used.to_owned()),
                None => uses.others.insert(name_of(edge)),
            };
        }
        Some((name, uses))
    });
    ours.collect()
}

fn layers() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../layers.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn names(list: &toml::Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn layers_toml_and_cargo_name_the_same_crates() {
    assert_eq!(resolved().into_keys().collect::<BTreeSet<_>>(), layers().keys().cloned().collect());
}

/// Both ways: an edge that is allowed and not there is out of date.
#[test]
fn edges_are_those_of_layers_toml() {
    let layers = layers();
    for (name, uses) in resolved() {
        assert_eq!(uses.ours, names(&layers[&name]["uses"]), "{name}: left Cargo, right `uses` in layers.toml");
        if let Some(others) = layers[&name].get("others") {
            assert_eq!(uses.others, names(others), "{name}: left Cargo, right `others` in layers.toml");
        }
    }
}

#[test]
fn edges_point_to_lower_tiers() {
    let layers = layers();
    let tier = |name: &str| layers[name]["tier"].as_integer().unwrap();
    for (name, layer) in &layers {
        for used in names(&layer["uses"]) {
            assert!(tier(&used) < tier(name), "{name} uses {used} of the same or a higher tier");
        }
    }
}
