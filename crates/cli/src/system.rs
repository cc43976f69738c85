//! Systems by name or by file.

use anyhow::{Context, Result, bail};
use lockstep_machine::description::{Description, PRESETS, TEXT_BYTES_MAX};
use lockstep_machine::keys::{KEYS, Value};
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::{SystemName, SystemSpec};
use std::path::Path;

/// The system of a preset's name or of a description's file, each with `:N` for N chips.
pub fn open(name: &str) -> Result<SystemSpec> {
    let SystemName { machine, size } = SystemName::parse(name)?;
    if PRESETS.iter().any(|(preset, _)| *preset == machine) {
        return Ok(SystemSpec::preset(name)?);
    }
    let path = existing(machine)?;
    let text = read(path)?;
    SystemSpec::parse(&text, size).with_context(|| format!("{}", path.display()))
}

fn existing(machine: &str) -> Result<&Path> {
    let path = Path::new(machine);
    if !path.exists() {
        let presets = PRESETS.iter().map(|(preset, _)| *preset).collect::<Vec<_>>().join(", ");
        bail!("{machine:?} is neither a preset ({presets}) nor a file: see `lockstep machine list`");
    }
    Ok(path)
}

/// The text of a description: a preset's own, or a file's.
pub fn text(name: &str) -> Result<String> {
    let SystemName { machine, .. } = SystemName::parse(name)?;
    match PRESETS.iter().find(|(preset, _)| *preset == machine) {
        Some((_, text)) => Ok((*text).to_owned()),
        None => read(existing(machine)?),
    }
}

/// The first key whose values differ, and how many there are.
fn differences(program: &MachineSpec, wanted: &MachineSpec) -> String {
    let differing: Vec<_> = KEYS.iter().filter(|key| (key.get)(program) != (key.get)(wanted)).collect();
    let Some(first) = differing.first() else { return String::new() };
    let [is, wanted] = [program, wanted].map(|machine| shown(&(first.get)(machine)));
    let more = match differing.len() - 1 {
        0 => String::new(),
        more => format!(", and {} more", crate::program::count(more, "key")),
    };
    format!(" ({} is {is} there and {wanted} here{more})", first.path)
}

/// A value as descriptions have it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Flag(value) => value.to_string(),
        Value::Name(value) => value.clone(),
    }
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?;
    if metadata.is_dir() {
        bail!("{shown}: a folder, not a machine description: give its TOML file");
    }
    let length = metadata.len();
    if length > TEXT_BYTES_MAX as u64 {
        bail!("{shown}: {length} bytes, a machine description has at most {TEXT_BYTES_MAX}: is it another file?");
    }
    std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read as text"))
}

/// Checks that a program was made for the machine of a system, if one is named, and opens that.
pub fn require(program: &lockstep_program::Program<'_>, system: Option<&str>) -> Result<Option<SystemSpec>> {
    let Some(system) = system else { return Ok(None) };
    let wanted = open(system)?;
    let Description { machine, .. } = &wanted.description;
    if program.machine != *machine {
        let (name, differs) = (&program.machine.name, differences(&program.machine, machine));
        bail!(
            "the program is made for another machine, called {name:?}, than {system}{differs}: make it again for {system}"
        );
    }
    if program.chips > wanted.chips {
        bail!("the program takes {} chips, {system} has {}", program.chips, wanted.chips);
    }
    let lacks = |link: &&lockstep_machine::network::Cable| {
        link.from_chip != link.to_chip && wanted.cables().binary_search(link).is_err()
    };
    if let Some(link) = program.links.iter().find(lacks) {
        bail!("the program needs a cable, {link}, that {system} has not: make it again for {system}");
    }
    Ok(Some(wanted))
}
