//! `lockstep machine`: descriptions of machines, and what follows from them.

use crate::args::MachineCommand;
use crate::{output, system};
use anyhow::Result;
use lockstep_machine::description::{Description, DescriptionError, PRESETS};
use lockstep_machine::hops::Hops;
use lockstep_machine::keys::{KEYS, Key, Value};
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;
use serde_json::{Map, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Distances of which the shares are printed; a long ring has many more.
const HOPS_SHOWN: usize = 16;

/// Runs a command about machines.
pub fn machine(command: &MachineCommand) -> Result<ExitCode> {
    match command {
        MachineCommand::Show { system: name, toml: true, .. } => output::print(&system::text(name)?)?,
        MachineCommand::Show { system: name, json: true, .. } => output::print_json(&as_json(&system::open(name)?))?,
        MachineCommand::Show { system: name, cables: true, .. } => output::print(&listed(&system::open(name)?))?,
        MachineCommand::Show { system: name, .. } => output::print(&as_text(&system::open(name)?))?,
        MachineCommand::Check { system: name } => return check(name),
        MachineCommand::List => {
            for (name, text) in PRESETS {
                let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
                output::print(&format!("{name}  {about}\n"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints each mistake on a line of its own.
fn check(name: &str) -> Result<ExitCode> {
    match Description::parse(&system::text(name)?) {
        Ok(description) => {
            system::open(name)?; // the number of chips, too
            output::print(&format!("{name}: {} is sound, {} values\n", description.machine.name, KEYS.len()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(DescriptionError(errors)) => {
            for error in &errors {
                output::note(&format!("{name}: {error}"));
            }
            output::note(&format!("error: {name}: {}", crate::program::count(errors.len(), "mistake")));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn shown(key: &Key, machine: &MachineSpec) -> serde_json::Value {
    match (key.get)(machine) {
        Value::Integer(value) => json!(value),
        Value::Number(value) => json!(value),
        Value::Flag(value) => json!(value),
        Value::Name(value) => json!(value),
    }
}

fn as_json(system: &SystemSpec) -> serde_json::Value {
    let values = KEYS.iter().zip(&system.description.sources).map(|(key, source)| {
        let entry =
            json!({ "value": shown(key, system.machine()), "unit": key.unit, "source": source, "doc": key.doc });
        (key.path.to_owned(), entry)
    });
    let figures = system.figures().entries().into_iter().map(|(name, value, _)| (name.to_owned(), json!(value)));
    json!({
        "name": system.name(),
        "machine": system.machine().name,
        "chips": system.chips,
        "figures": figures.collect::<Map<_, _>>(),
        "wiring": wiring_as_json(system),
        "values": values.collect::<Map<_, _>>(),
    })
}

fn wiring_as_json(system: &SystemSpec) -> serde_json::Value {
    let wiring = system.wiring();
    let hops = &wiring.hops;
    let mut object = Map::from_iter([("topology".to_owned(), json!(system.topology.name()))]);
    object.extend(wiring.entries().map(|(name, value)| (name.to_owned(), json!(value))));
    object.insert("diameter".to_owned(), json!(hops.diameter()));
    object.insert("mean_hops".to_owned(), json!(mean_hops(hops)));
    object.insert("pairs_by_hops".to_owned(), json!(hops.pairs));
    object.into()
}

/// Of a chip alone there is none.
fn mean_hops(hops: &Hops) -> Option<f64> {
    (hops.all() > 0).then(|| hops.total() as f64 / hops.all() as f64)
}

fn wiring_as_text(text: &mut String, system: &SystemSpec) {
    let wiring = system.wiring();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:32} {value}");
    };
    row("topology", system.topology.name());
    for (name, value) in wiring.entries() {
        row(name, &value.to_string());
    }
    let hops = &wiring.hops;
    let Some(mean) = mean_hops(hops) else { return };
    row("diameter", &crate::program::count(hops.diameter(), "hop"));
    row("mean_hops", &format!("{mean:.3}"));
    for near in (1..=hops.diameter()).take(HOPS_SHOWN) {
        let share = 100.0 * hops.within(near) as f64 / hops.all() as f64;
        row(&format!("pairs_within_{near}"), &format!("{} of {}, {share:.1} %", hops.within(near), hops.all()));
    }
}

/// The cables as a table for a description of one's own.
fn listed(system: &SystemSpec) -> String {
    let (name, chips) = (system.name(), system.chips);
    let mut text =
        format!("[topology]\nkind = \"listed\"\nchips = {chips}\nsource = \"derived: {name}\"\ncables = [\n");
    for Cable { from_chip, from_link, to_chip, to_link } in system.cables().iter().filter(|c| c.from_chip < c.to_chip) {
        let _ = writeln!(text, "  [{from_chip}, {from_link}, {to_chip}, {to_link}],");
    }
    text + "]\n"
}

fn as_text(of: &SystemSpec) -> String {
    let mut text = format!("{}\n\n", of.name());
    wiring_as_text(&mut text, of);
    text.push('\n');
    for (name, value, unit) in of.figures().entries() {
        let _ = writeln!(text, "{}", format!("  {name:32} {value} {unit}").trim_end());
    }
    text.push('\n');
    for (key, source) in KEYS.iter().zip(&of.description.sources) {
        let value = system::shown(&(key.get)(of.machine()));
        let _ = writeln!(text, "  {:32} {:<18} {source}", key.path, format!("{value} {}", key.unit));
    }
    text
}
