//! A compiled model on a simulated chip, against the contract.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::host::on_the_host;
use lockstep_compiler::{Error, Options, compile};
use lockstep_graph::{contract, interpret};
use lockstep_kernels::Kernels;
use lockstep_machine::spec::MachineSpec;
use lockstep_models::Model;
use lockstep_models::weights::{FloatWeights, contract_weights};
use lockstep_program::{Program, verify};
use lockstep_simulator::{Linked, Simulator};

/// Programs of which all agree when they end.
static CHECKED: AtomicUsize = AtomicUsize::new(0);

/// How many programs went through [`link`].
pub fn checked() -> usize {
    CHECKED.load(Ordering::Relaxed)
}

/// The program of a model.
pub fn program(model: &Model<'_>, spec: &MachineSpec, contexts: &[usize]) -> Program<'static> {
    tried(model, spec, contexts).unwrap_or_else(|error| panic!("{error}"))
}

/// The program of a model, if there is one.
pub fn tried(model: &Model<'_>, spec: &MachineSpec, contexts: &[usize]) -> Result<Program<'static>, Error> {
    let options = Options { name: "model".into(), contexts: contexts.to_vec(), ..Options::default() };
    compile(&model.graph, &contract_weights(model).unwrap(), spec, &options)
}

/// A program, linked. It has no violations, and the cycles that it predicts are those of the verifier (which reports
/// others as a violation) and those of the simulator. Every program of these tests comes through here.
pub fn link<'p>(program: &'p Program<'p>) -> Linked<'p> {
    let violations = verify(program);
    let shown: Vec<String> = violations.iter().take(10).map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let linked = Linked::new(program).unwrap_or_else(|fault| panic!("{fault}"));
    for entry in &program.entries {
        let report = linked.time(&entry.name).unwrap();
        assert_eq!((report.cycles_predicted, report.cycles), (entry.cycles, entry.cycles), "{}", entry.name);
    }
    CHECKED.fetch_add(1, Ordering::Relaxed);
    linked
}

/// Runs a model on `tokens` in four ways. Logits of the contract, the host and the chip (each token in the smallest entry
/// that covers its position, in the predicted cycles) are equal; those of plain floats are near, since the contract
/// rounds activations to 8 bits. Gives the cycles of each entry.
pub fn check(model: &Model<'_>, spec: &MachineSpec, contexts: &[usize], tokens: &[u32]) -> Vec<u64> {
    let expected = contract::logits(&model.graph, &contract_weights(model).unwrap(), tokens).unwrap();
    let in_floats = interpret::logits(&model.graph, &FloatWeights::new(model).unwrap(), tokens).unwrap();
    let distance = distance(&expected, &in_floats);
    println!("    {distance} from float");
    assert!(distance < 0.1, "{distance} from float");
    let on_host = on_the_host(model, tokens);
    let program = program(model, spec, contexts);
    let linked = link(&program);
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    let lanes = spec.lanes() as usize;
    for (position, token) in tokens.iter().enumerate() {
        for (name, value) in [("token", *token as i32), ("position", position as i32), ("length", position as i32 + 1)]
        {
            simulator.write_i32(name, &vec![value; lanes]).unwrap();
        }
        let covered = |entry: &str| entry.strip_prefix("decode.").and_then(|n| n.parse::<usize>().ok());
        let covering = program.entries.iter().filter(|entry| covered(&entry.name).is_some_and(|n| position < n));
        let entry = covering.min_by_key(|entry| covered(&entry.name)).unwrap();
        let report = simulator.run(&entry.name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((report.cycles_predicted, report.cycles), (entry.cycles, entry.cycles), "{}", entry.name);
        equal("the chip", position, &simulator.read_f32("logits").unwrap(), &expected[position]);
        equal("the host", position, &on_host[position], &expected[position]);
    }
    program.entries.iter().map(|entry| entry.cycles).collect()
}

fn equal(who: &str, position: usize, found: &[f32], expected: &[f32]) {
    let differs = found.iter().zip(expected).position(|(found, expected)| found.to_bits() != expected.to_bits());
    assert!(
        differs.is_none() && found.len() == expected.len(),
        "{who}, token {position}: logit {differs:?} of {} differs\n{found:?}\n{expected:?}",
        expected.len()
    );
}

/// Root of the mean square of differences, over that of the logits.
fn distance(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let squares = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    let differences = squares(&mut pairs.map(|(found, expected)| f64::from(*found) - f64::from(*expected)));
    (differences / squares(&mut expected.iter().flatten().map(|x| f64::from(*x)))).sqrt()
}
