//! `lockstep pull`, `lockstep list` and `lockstep rm`.

use crate::args::PullArguments;
use crate::{load, output, pull, store};
use anyhow::Result;

/// Gets a model and says where it is.
pub fn pull(arguments: &PullArguments) -> Result<()> {
    let files = pull::pull(&arguments.model, arguments.name.as_deref())?;
    output::print(&format!("{}\n", load::path_of(&files).display()))?;
    Ok(())
}

/// Prints each pulled model and its size.
pub fn list() -> Result<()> {
    let entries = store::list()?;
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for entry in &entries {
        output::print(&format!("{:width$}  {}\n", entry.name, output::bytes(entry.bytes)))?;
    }
    if entries.is_empty() {
        output::note("no model yet: get one with `lockstep pull`");
    }
    Ok(())
}

/// Removes a pulled model.
pub fn remove(name: &str) -> Result<()> {
    let bytes = store::remove(name)?;
    output::note(&format!("{name} removed, {} free", output::bytes(bytes)));
    Ok(())
}
