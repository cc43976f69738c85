//! `lockstep completions SHELL`.

use crate::args::Arguments;
use crate::output;
use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the completion script.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lockstep", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}
