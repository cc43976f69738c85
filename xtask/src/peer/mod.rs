//! `cargo xtask peer`: speed beside llama.cpp's `llama-bench`, in alternating runs on the same machine.
//!
//! A round runs each contestant once: lockstep, then each llama-bench with each of its files. Alternating spreads the
//! machine's moods over all of them; medians over the rounds are compared.

mod contestant;
mod report;

use crate::{command, machine};
use anyhow::{Context, Result, ensure};
use clap::Args;
use contestant::{Contestant, Workload};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// llama.cpp's llama-bench; several times for several builds of it
    #[arg(long, value_name = "PATH", required = true)]
    llama_bench: Vec<PathBuf>,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "PATH")]
    lockstep: Option<PathBuf>,
    /// GGUF file that lockstep runs [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Files for llama-bench [default: the model itself, and its Q4_0 made by the llama-quantize beside llama-bench]
    #[arg(long, value_name = "FILE")]
    peer_model: Vec<PathBuf>,
    /// How often each contestant runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    workload: Workload,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let lockstep = command::lockstep(options.lockstep.as_deref())?;
    let model = command::model(options.model.as_deref(), &lockstep)?;
    let files = peer_models(options, &model)?;
    let mut contestants = vec![Contestant::lockstep(lockstep, model)];
    for bench in &options.llama_bench {
        contestants.extend(files.iter().map(|file| Contestant::llama(bench.clone(), file.clone())));
    }
    machine::warn_unless_quiet();
    let machine = machine::describe();
    let mut rounds = vec![Vec::new(); contestants.len()];
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (contestant, measured) in contestants.iter().zip(&mut rounds) {
            measured.push(contestant.measure(&options.workload)?);
        }
    }
    let report = report::Report { machine, workload: &options.workload, contestants: &contestants, rounds: &rounds };
    println!("{}", if options.json { report.json().to_string() } else { report.text() });
    Ok(())
}

/// What llama-bench reads: the files that were given, or the model and the fastest format made of it.
fn peer_models(options: &Options, model: &Path) -> Result<Vec<PathBuf>> {
    if !options.peer_model.is_empty() {
        return Ok(options.peer_model.clone());
    }
    let bench = options.llama_bench.first().context("no llama-bench")?;
    let quantize = bench.with_file_name(format!("llama-quantize{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        quantize.is_file(),
        "{}: not there, so no Q4_0 file can be made: build llama-quantize, or give files by --peer-model",
        quantize.display()
    );
    let made = q4_0_path(model)?;
    if !made.is_file() {
        // Requantised weights answer worse, but take the same time.
        let part = made.with_extension("part");
        command::read(Command::new(quantize).arg("--allow-requantize").arg(model).arg(&part).arg("Q4_0"))?;
        std::fs::rename(&part, &made).with_context(|| format!("{}: cannot be renamed", part.display()))?;
    }
    Ok(vec![model.to_path_buf(), made])
}

/// Beside this program's own binary, where `cargo clean` finds it.
fn q4_0_path(model: &Path) -> Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("peer");
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    Ok(folder.join(format!("{stem}.as-Q4_0.gguf")))
}
