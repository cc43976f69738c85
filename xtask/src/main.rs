//! Development tasks: `cargo xtask ci | clients | isa | load | peer | playground | quality | serving |
//! simulators | viewer | web`.
//!
//! In: this checkout, and programs to compare with. Out: a verdict, a table of measurements, or a document made from
//! code. It knows the `lockstep` binary by its command line and JSON only. Start reading at [`Task`]; each task is a
//! module.
#![allow(clippy::print_stdout)] // its job

mod ci;
mod clients;
mod command;
mod http;
mod isa;
mod load;
mod machine;
mod peer;
mod quality;
mod server;
mod serving;
mod simulators;
mod spread;
mod viewer;
mod web;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Development tasks of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All that must hold before a change is kept; ends in the README's own test command
    Ci(ci::Options),
    /// Other people's clients of the API, against a served model
    Clients(clients::Options),
    /// The manual of the instruction set, made from its table
    Isa(isa::Options),
    /// Users of a served model who ask one question after the other: errors, speed and memory
    Load(load::Options),
    /// Speed beside llama.cpp's `llama-bench`, in alternating runs
    Peer(peer::Options),
    /// The page of `lockstep serve`, worked in a headless browser against a served model
    Playground(web::drive::Options),
    /// Perplexity beside float32 and llama.cpp, over the same windows
    Quality(quality::Options),
    /// Throughput, latency and bits of `lockstep serve` beside llama.cpp's `llama-server`
    Serving(serving::Options),
    /// Speed of simulation beside SCALE-Sim, on an equal matrix product, and of the layer program
    Simulators(simulators::Options),
    /// The page of `lockstep explain --html`, worked by its own events in a headless browser
    Viewer(viewer::Options),
    /// The playground's sources: types, tests, and that the committed page is made of them
    Web(web::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Ci(options) => ci::run(&options),
        Task::Clients(options) => clients::run(&options),
        Task::Isa(options) => isa::run(&options),
        Task::Load(options) => load::run(&options),
        Task::Peer(options) => peer::run(&options),
        Task::Playground(options) => web::drive::run(&options),
        Task::Quality(options) => quality::run(&options),
        Task::Serving(options) => serving::run(&options),
        Task::Simulators(options) => simulators::run(&options),
        Task::Viewer(options) => viewer::run(&options),
        Task::Web(options) => web::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
