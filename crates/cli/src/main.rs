//! The `lockstep` binary: puts the crates together and talks to the terminal.
//!
//! In: flags, files, a terminal. Out: text on standard output; progress, statistics and one-line errors on standard
//! error; exit code 0, 1 for a failure, 2 for wrong usage, 130 for an answer that Ctrl-C ended. It is the only place
//! that knows both the engine and the host. Start reading at [`args`], then [`load`] (from a model's name to a session),
//! then `commands/`, one file a command.
#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub)] // a binary prints, and exports nothing

mod args;
mod backend;
mod cache;
mod commands;
mod compiled;
mod explain;
mod files;
mod folders;
mod interrupt;
mod load;
mod log;
mod map;
mod output;
mod program;
mod pull;
mod session;
mod simulated;
mod statistics;
mod store;
mod system;
mod timetable;
#[cfg(any(feature = "otel", test))]
mod traces;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return args::explain(&error),
    };
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => output::report(&error),
    }
}
