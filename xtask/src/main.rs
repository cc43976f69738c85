//! Development tasks: `cargo xtask ci`.
#![allow(clippy::print_stdout)] // its job

use std::process::{Command, ExitCode};

/// What CI runs, in order.
const CI: [&[&str]; 3] =
    [&["fmt", "--all", "--check"], &["clippy", "--workspace", "--all-targets"], &["test", "--release"]];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("ci") => ci(),
        _ => {
            println!("usage: cargo xtask ci    formatting, lints and the README's test command");
            ExitCode::from(2)
        }
    }
}

fn ci() -> ExitCode {
    for arguments in CI {
        println!("cargo {}", arguments.join(" "));
        let passed = Command::new("cargo").args(arguments).status().is_ok_and(|status| status.success());
        if !passed {
            println!("failed: cargo {}", arguments.join(" "));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
