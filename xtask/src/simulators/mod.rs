//! `cargo xtask simulators`: speed of simulation beside SCALE-Sim on an equal matrix product, and of the layer program.
//!
//! A round runs each program once: the simulator's benchmark, SCALE-Sim on the product that the benchmark says it
//! simulated, then `lockstep simulate` on the layer program with values and without. As in `peer`, medians over the
//! rounds are compared. Everything runs on one thread.

mod programs;
mod report;

use crate::{command, machine};
use anyhow::{Context, Result};
use clap::Args;
use programs::{Programs, Round};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A Python with scalesim 3.0.0 and a numpy below 2.4
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "PATH")]
    lockstep: Option<PathBuf>,
    /// GGUF file of the layer program [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// How often each program runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let lockstep = command::lockstep(options.lockstep.as_deref())?;
    let model = command::model(options.model.as_deref(), &lockstep)?;
    let programs = Programs { lockstep, python: options.python.clone(), model, layer: layer_path()? };
    programs.prepare()?;
    machine::warn_unless_quiet();
    let machine = machine::describe();
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        rounds.push(programs.measure()?);
    }
    let commands = rounds.last().map_or(Ok(Vec::new()), |round: &Round| programs.shown(&round.gemm))?;
    let report = report::Report { machine, version: programs.version()?, rounds: &rounds, commands };
    println!("{}", if options.json { report.json()?.to_string() } else { report.text()? });
    Ok(())
}

/// Beside this program's own binary, where `cargo clean` finds it.
fn layer_path() -> Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("simulators");
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(folder.join("layer.lks"))
}
