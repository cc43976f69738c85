//! Systems by name or by file.

use anyhow::{Context, Result, bail};
use lockstep_machine::description::{Description, PRESETS};
use lockstep_machine::system::{SystemSpec, parse_name};
use std::path::Path;

/// More than any description needs.
const DESCRIPTION_BYTES_MAX: u64 = 1 << 20;

/// The system of a preset's name or of a description's file, each with `:N` for N chips.
pub fn open(name: &str) -> Result<SystemSpec> {
    let (machine, chips) = parse_name(name)?;
    if PRESETS.iter().any(|(preset, _)| *preset == machine) {
        return Ok(SystemSpec::preset(name)?);
    }
    let path = Path::new(machine);
    if !path.exists() {
        let presets = PRESETS.iter().map(|(preset, _)| *preset).collect::<Vec<_>>().join(", ");
        bail!("{machine:?} is neither a preset ({presets}) nor a file: see `lockstep machine list`");
    }
    let text = read(path)?;
    SystemSpec::parse(&text, chips).with_context(|| format!("{}", path.display()))
}

/// The text of a description: a preset's own, or a file's.
pub fn text(name: &str) -> Result<String> {
    let (machine, _) = parse_name(name)?;
    match PRESETS.iter().find(|(preset, _)| *preset == machine) {
        Some((_, text)) => Ok((*text).to_owned()),
        None => read(Path::new(machine)),
    }
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?.len();
    if length > DESCRIPTION_BYTES_MAX {
        bail!("{shown}: {length} bytes are too many for a machine description");
    }
    std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read as text"))
}

/// Checks that a program was made for the machine of a system.
pub fn require(program: &lockstep_program::Program<'_>, system: Option<&str>) -> Result<()> {
    let Some(system) = system else { return Ok(()) };
    let wanted = open(system)?;
    let Description { machine, .. } = &wanted.description;
    if program.machine != *machine {
        let name = &program.machine.name;
        bail!("the program is made for another machine than {system} (its own is called {name:?}): assemble it again");
    }
    if program.chips > wanted.chips {
        bail!("the program takes {} chips, {system} has {}", program.chips, wanted.chips);
    }
    Ok(())
}
