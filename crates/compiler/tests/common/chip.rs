//! A compiled model on a simulated chip, against the contract.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its own part

use std::sync::atomic::{AtomicUsize, Ordering};

use lockstep_compiler::{Options, compile};
use lockstep_graph::Graph;
use lockstep_graph::contract::{ContractWeight, State};
use lockstep_kernels::Kernels;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::{Program, verify};
use lockstep_simulator::{Linked, Simulator};

/// Programs that were verified, run and compared.
pub static CHECKED: AtomicUsize = AtomicUsize::new(0);

/// The program of a model, without violations.
pub fn program(graph: &Graph, weights: &[ContractWeight], spec: &MachineSpec, contexts: &[usize]) -> Program<'static> {
    let options = Options { name: "model".into(), contexts: contexts.to_vec(), ..Options::default() };
    let program = compile(graph, weights, spec, &options).unwrap_or_else(|error| panic!("{error}"));
    let violations = verify(&program);
    let shown: Vec<String> = violations.iter().take(10).map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    program
}

/// Compiles, verifies and runs a model on `tokens`, each in the smallest entry that covers its position: logits are the
/// contract's, cycles the predicted ones. Gives the cycles of each entry.
pub fn check(
    graph: &Graph,
    weights: &[ContractWeight],
    spec: &MachineSpec,
    contexts: &[usize],
    tokens: &[u32],
) -> Vec<u64> {
    let program = program(graph, weights, spec, contexts);
    let linked = Linked::new(&program).unwrap_or_else(|fault| panic!("{fault}"));
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    let mut oracle = State::new(graph, weights, tokens.len()).unwrap();
    let lanes = spec.lanes() as usize;
    for (position, token) in tokens.iter().enumerate() {
        let expected = oracle.step(*token).unwrap();
        for (name, value) in [("token", *token as i32), ("position", position as i32), ("length", position as i32 + 1)]
        {
            simulator.write_i32(name, &vec![value; lanes]).unwrap();
        }
        let covered = |entry: &str| entry.strip_prefix("decode.").and_then(|n| n.parse::<usize>().ok());
        let covering = program.entries.iter().filter(|entry| covered(&entry.name).is_some_and(|n| position < n));
        let entry = covering.min_by_key(|entry| covered(&entry.name)).unwrap();
        let report = simulator.run(&entry.name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((report.cycles_predicted, report.cycles), (entry.cycles, entry.cycles), "{}", entry.name);
        let logits = simulator.read_f32("logits").unwrap();
        let differs = logits.iter().zip(&expected).position(|(found, expected)| found.to_bits() != expected.to_bits());
        assert!(
            differs.is_none() && logits.len() == expected.len(),
            "token {position}: logit {differs:?} of {} differs\n{logits:?}\n{expected:?}",
            expected.len()
        );
    }
    CHECKED.fetch_add(1, Ordering::Relaxed);
    program.entries.iter().map(|entry| entry.cycles).collect()
}
