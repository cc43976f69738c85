//! Everything that is compiled and then run on simulated chips. One binary, so that its output ends with how many
//! programs kept what they predicted.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod collective;
mod common;
mod conformance;
mod layer;
mod many;
mod mutation;
mod random;
mod shapes;
mod smollm2;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let tests = [
        collective::TESTS,
        conformance::TESTS,
        layer::TESTS,
        many::TESTS,
        mutation::TESTS,
        random::TESTS,
        shapes::TESTS,
        smollm2::TESTS,
    ];
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    };
    let trials = tests.concat().iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    println!(
        "{} programs were checked: printed cycles = the verifier's cycles = the simulator's cycles",
        common::chip::checked()
    );
    conclusion.exit_code()
}
