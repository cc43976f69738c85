//! `cargo xtask serving`: `lockstep serve` beside llama.cpp's `llama-server`, as their users see them.
//!
//! In a round each server is started, measured and ended, one after the other: the same file, threads, requests and
//! client. Alternating spreads the machine's moods over all of them. With `--bits`, answers are compared instead: the
//! same request alone, again, and beside others.

mod ask;
mod bits;
mod contestant;
mod load;
mod prompts;
mod report;

use crate::{command, machine};
use anyhow::{Context, Result, ensure};
use bits::Bits;
use clap::Args;
use contestant::Contestant;
use load::Turn;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// llama.cpp's llama-server
    #[arg(long, value_name = "PATH")]
    llama_server: PathBuf,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "PATH")]
    lockstep: Option<PathBuf>,
    /// GGUF file that both serve [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Workers of each
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u32,
    /// Tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(8..=140))]
    tokens: u16,
    /// How often each server is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only the servers whose name has this text; lockstep is always there
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Compare answers instead: at which token each server's differ from its own answers alone
    #[arg(long)]
    bits: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let llama = &options.llama_server;
    ensure!(llama.is_file(), "{}: no such file: check --llama-server", llama.display());
    let lockstep = command::lockstep(options.lockstep.as_deref())?;
    let model = command::model(options.model.as_deref(), &lockstep)?;
    let ours = Contestant::lockstep(&lockstep, &model, options.threads);
    if options.bits {
        return compare(options, &[ours.clone(), ours.llama(llama)]);
    }
    let cache = std::env::current_exe()?.with_file_name("serving");
    let mut contestants = vec![ours.without_speculation(), ours.compiling(cache), ours.llama(llama)];
    contestants.retain(|contestant| options.only.as_ref().is_none_or(|only| contestant.name.contains(only)));
    contestants.insert(0, ours);
    measure(options, &contestants)
}

fn measure(options: &Options, contestants: &[Contestant]) -> Result<()> {
    let tokens = usize::from(options.tokens);
    for contestant in contestants {
        // Packs weights and reads files that later starts find in memory.
        contestant.start()?;
    }
    machine::warn_unless_quiet();
    let machine = machine::describe();
    let mut turns: Vec<(&str, Vec<Turn>)> =
        contestants.iter().map(|contestant| (contestant.name, Vec::new())).collect();
    for round in 1..=options.rounds {
        for (contestant, (name, turns)) in contestants.iter().zip(&mut turns) {
            eprintln!("round {round} of {}: {name}", options.rounds);
            let mut server = contestant.start()?;
            let turn = load::measure(server.address(), server.ready_after, tokens);
            turns.push(turn.with_context(|| (*name).to_owned())?);
            server.still_runs()?;
        }
    }
    same_prompts(&turns)?;
    let report = report::Report { machine, threads: options.threads, tokens, contestants: &turns };
    println!("{}", if options.json { report.json().to_string() } else { report.text() });
    Ok(())
}

/// Servers that read different prompts, for their templates or tokenizers, do different work.
fn same_prompts(turns: &[(&str, Vec<Turn>)]) -> Result<()> {
    let lengths = |turns: &[Turn]| -> Vec<Vec<u64>> {
        let all = turns.iter().flat_map(|turn| turn.users.iter().chain([&turn.long]));
        all.map(|seen| seen.prompt_tokens.clone()).collect()
    };
    for pair in turns.windows(2) {
        let ((one, first), (other, second)) = (&pair[0], &pair[1]);
        ensure!(
            lengths(first) == lengths(second),
            "{one} and {other} make prompts of different lengths of the same text"
        );
    }
    Ok(())
}

fn compare(options: &Options, contestants: &[Contestant]) -> Result<()> {
    let tokens = usize::from(options.tokens);
    let mut found = Vec::new();
    for contestant in contestants {
        eprintln!("{}", contestant.name);
        found.extend(Bits::find(contestant, tokens).with_context(|| contestant.name.to_owned())?);
    }
    if options.json {
        println!("{}", json!({ "tokens": tokens, "bits": found.iter().map(Bits::json).collect::<Vec<_>>() }));
    } else {
        println!("{}\n{}{}", machine::describe(), Bits::head(tokens), found.iter().map(Bits::row).collect::<String>());
    }
    found.iter().try_for_each(Bits::require)
}
