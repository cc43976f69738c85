//! The crates' edges are those of `layers.toml`, and they all point to lower tiers.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const PREFIX: &str = "lockstep-";

/// Uses of each crate by Cargo's own account, tests' uses left out.
fn resolved() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let short = |name: &Value| name.as_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
    let uses = |package: &Value| -> BTreeSet<String> {
        let normal = package["dependencies"].as_array().unwrap().iter().filter(|edge| edge["kind"].is_null());
        normal.filter_map(|edge| short(&edge["name"])).collect()
    };
    let packages = json["packages"].as_array().unwrap().iter();
    packages.filter_map(|package| Some((short(&package["name"])?, uses(package)))).collect()
}

#[test]
fn edges_are_those_of_layers_toml() {
    let text = std::fs::read_to_string("../layers.toml").unwrap();
    let layers: toml::Table = toml::from_str(&text).unwrap();
    let found = resolved();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        layers.keys().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    let tier = |name: &str| layers[name]["tier"].as_integer().unwrap();
    for (name, uses) in found {
        let allowed = layers[&name]["uses"].as_array().unwrap();
        for used in uses {
            assert!(allowed.iter().any(|name| name.as_str() == Some(&used)), "{name} may not use {used}");
            assert!(tier(&used) < tier(&name), "{name} uses {used} of the same or a higher tier");
        }
    }
}
