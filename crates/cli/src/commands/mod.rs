//! One file a command.

mod asm;
mod bench;
mod cache;
mod chat;
mod chip;
mod collective;
mod compile;
mod completions;
mod digest;
mod explain;
mod info;
mod keys;
mod layer;
mod machine;
mod models;
mod parallel;
mod perplexity;
mod prompt;
mod report;
mod run;
mod serve;
mod simulate;
mod verify;

use crate::args::{Command, Evaluation};
use anyhow::Result;
use std::process::ExitCode;

/// Runs a command; its exit code where it did not fail.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => return run::run(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments)?,
        Command::Keys { what } => keys::keys(&what)?,
        Command::Pull(arguments) => models::pull(&arguments)?,
        Command::List => models::list()?,
        Command::Remove { name } => models::remove(&name)?,
        Command::Info(arguments) => info::info(&arguments)?,
        Command::Bench(arguments) => bench::bench(&arguments)?,
        Command::Eval { what: Evaluation::Perplexity(arguments) } => perplexity::perplexity(&arguments)?,
        Command::Digest(arguments) => digest::digest(&arguments)?,
        Command::Compile(arguments) => compile::compile(&arguments)?,
        Command::Asm(arguments) => return asm::asm(&arguments),
        Command::Disasm(arguments) => asm::disasm(&arguments)?,
        Command::Verify(arguments) => return verify::verify(&arguments),
        Command::Explain(arguments) => return explain::explain(&arguments),
        Command::Simulate(arguments) => return simulate::simulate(&arguments),
        Command::Layer(arguments) => layer::layer(&arguments)?,
        Command::Collective(arguments) => collective::collective(&arguments)?,
        Command::Machine { what } => return machine::machine(&what),
        Command::Cache { what } => cache::cache(&what)?,
        Command::Completions { shell } => completions::completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}
