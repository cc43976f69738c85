//! `cargo xtask isa`: the manual of the instruction set, `docs/isa.md`.

use crate::command::root;
use anyhow::{Context, Result, ensure};
use clap::Args;
use lockstep_machine::description::Description;
use lockstep_machine::manual::{COMMAND, manual};

/// The machine whose manual it is.
const PRESET: &str = "lockstep1";

/// Where the manual lies, below the root.
const PATH: &str = "docs/isa.md";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write nothing; fail if the file is not what would be written
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = root()?.join(PATH);
    let text = manual(&Description::preset(PRESET)?);
    if options.check {
        let held =
            std::fs::read_to_string(&path).with_context(|| format!("{PATH}: cannot be read; run `{COMMAND}`"))?;
        ensure!(held == text, "{PATH} is old; run `{COMMAND}`");
        println!("{PATH} is current");
        return Ok(());
    }
    std::fs::write(&path, text).with_context(|| format!("{PATH}: cannot be written"))?;
    println!("{PATH} is written");
    Ok(())
}
