//! `cargo xtask load`: users of a served model who ask one question after the other, for as long as is wanted.
//!
//! Each question is one of 256, drawn by a seed: prompts and answers of all lengths, whole and streamed, greedy and
//! drawn. An answer is an error unless it is whole and equal to what the same question got before. The task fails on
//! any error, and where the server's memory grows beyond a bound after it has settled.

mod memory;
mod questions;

use crate::command::{lockstep, model, root};
use crate::machine;
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use clap::Args;
use memory::Memory;
use questions::Questions;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long, in minutes
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// How many ask at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    users: u16,
    /// Draws the questions and their order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "FILE")]
    lockstep: Option<PathBuf>,
    /// The model file [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// As which the model is served.
const NAME: &str = "load";
/// MiB of kept prefixes: few enough to be full long before memory is first looked at.
const PREFIX_CACHE: &str = "64";
/// Errors that are told; the others are counted.
const TOLD: usize = 5;

pub(crate) fn run(options: &Options) -> Result<()> {
    let lasts = Duration::try_from_secs_f64(options.minutes * 60.0).context("--minutes: give a positive number")?;
    let lockstep = lockstep(options.lockstep.as_deref())?;
    let model = model(options.model.as_deref(), &lockstep)?;
    let text = std::fs::read_to_string(root()?.join("tests/data/alice.txt"))?;
    let questions = Questions::draw(&text, options.seed);
    let users = options.users.to_string();
    let mut arguments = vec!["--alias", NAME, "--parallel", &users, "--prefix-cache", PREFIX_CACHE];
    arguments.extend(["--lpu", "off", "--log", "off"]);
    let mut server = Server::start(&lockstep, &model, &arguments)?;
    println!("{}", machine::describe());
    let begun = Instant::now();
    let tally = Mutex::new(Tally::default());
    let memory = std::thread::scope(|scope| {
        for user in 0..u64::from(options.users) {
            let (questions, tally, address) = (&questions, &tally, server.address());
            scope.spawn(move || {
                let mut order = questions.order(user);
                while begun.elapsed() < lasts {
                    ask(address, questions, order.next(), tally);
                }
            });
        }
        Memory::watch(server.process(), lasts)
    });
    let seconds = begun.elapsed().as_secs_f64();
    server.still_runs()?;
    let memory = memory?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rest = left(server.address())?;
    println!("{} users, {:.1} minutes, seed {}: {}", options.users, seconds / 60.0, options.seed, tally.told(seconds));
    println!("{memory}");
    ensure!(tally.errors.is_empty(), "{} errors, such as\n{}", tally.errors.len(), tally.some_errors());
    ensure!(rest.is_empty(), "the server has not let go of everything: {rest}");
    ensure!(tally.again > 0, "no question was asked twice, so no answer was compared: give more --minutes");
    memory.require_bounded()
}

/// What came of all questions so far.
#[derive(Default)]
struct Tally {
    answers: usize,
    prompt_tokens: u64,
    tokens: u64,
    /// Digests by question.
    digests: BTreeMap<usize, String>,
    /// How many answers were to questions that had been answered before.
    again: usize,
    errors: Vec<String>,
}

impl Tally {
    fn told(&self, seconds: f64) -> String {
        let Self { answers, prompt_tokens, tokens, again, errors, .. } = self;
        let (errors, speed) = (errors.len(), *tokens as f64 / seconds);
        format!(
            "{answers} answers, {errors} errors; {prompt_tokens} prompt tokens, {tokens} tokens, {speed:.0} a second; \
             {again} answers to questions asked before, compared with the first one"
        )
    }

    fn some_errors(&self) -> String {
        self.errors.iter().take(TOLD).cloned().collect::<Vec<_>>().join("\n")
    }
}

fn ask(address: SocketAddr, questions: &Questions, number: usize, tally: &Mutex<Tally>) {
    let answer = questions.ask(address, number);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return tally.errors.push(format!("question {number}: {error:#}")),
    };
    tally.answers += 1;
    tally.prompt_tokens += answer.prompt_tokens;
    tally.tokens += answer.tokens;
    match tally.digests.get(&number) {
        Some(first) if *first == answer.digest => tally.again += 1,
        Some(first) => {
            let error = format!("question {number}: digest {}, before it was {first}", answer.digest);
            tally.errors.push(error);
        }
        None => drop(tally.digests.insert(number, answer.digest)),
    }
}

/// Lines of metrics that would be 0 if nothing were left.
fn left(address: SocketAddr) -> Result<String> {
    let (_, text) = crate::http::get(address, "/metrics")?;
    let names = ["lockstep_requests_running ", "lockstep_requests_waiting ", "lockstep_kv_cache_reserved_bytes "];
    let lines: Vec<&str> = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
    ensure!(lines.len() == names.len(), "/metrics lacks one of {}", names.join(", "));
    Ok(lines.into_iter().filter(|line| !line.ends_with(" 0")).collect::<Vec<_>>().join(", "))
}
