//! Collectives on simulated chips: everybody has what they should have, in the predicted cycles.

use crate::common::chip::link;
use crate::common::random::Random;
use lockstep_compiler::{Collected, Collective, Method, compile_collective};
use lockstep_kernels::Kernels;
use lockstep_machine::system::{Size, SystemSpec};
use lockstep_simulator::Simulator;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    ("collective::sums_in_a_node_are_exact", sums_in_a_node_are_exact),
    ("collective::sums_over_nodes_are_exact", sums_over_nodes_are_exact),
    ("collective::sums_over_any_cables_are_exact", sums_over_any_cables_are_exact),
    ("collective::gathered_vectors_are_those_that_were_there", gathered_vectors_are_those_that_were_there),
    ("collective::broadcasts_reach_all", broadcasts_reach_all),
    ("collective::transfers_arrive", transfers_arrive),
    ("collective::cycles_are_those_of_the_tables", cycles_are_those_of_the_tables),
    ("collective::a_way_that_takes_too_long_leaves_others", a_way_that_takes_too_long_leaves_others),
];

fn made(system: &str, collective: Collective, vectors: usize) -> Collected {
    let chips = SystemSpec::preset(system).unwrap();
    let made = compile_collective(&chips, collective, vectors).unwrap_or_else(|error| panic!("{system}: {error}"));
    let cycles = made.program.entries[0].cycles;
    println!(
        "{system} {} of {vectors}: {cycles} cycles, {}, {} hops: {:?}",
        collective.name(),
        made.method,
        made.hops,
        made.tried
    );
    made
}

/// What chips have, in bytes.
type Held = Vec<(u32, Vec<u8>)>;

/// Runs a program on random inputs of so few bits that no sum overflows; gives the bytes of all inputs and outputs by
/// chip.
fn run(made: &Collected) -> (Held, Held) {
    let program = &made.program;
    let linked = link(program);
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 2).unwrap();
    let mut random = Random(11);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let chip = |name: &str| name[2..].parse().unwrap();
    for binding in program.bindings.iter().filter(|binding| binding.name.starts_with("x.")) {
        let count = binding.elements as usize;
        let bytes: Vec<u8> = match binding.format.streams() {
            1 => (0..count).map(|_| random.below(256) as u8).collect(),
            _ => (0..count).flat_map(|_| (random.below(1 << 27) as i32 - (1 << 26)).to_le_bytes()).collect(),
        };
        simulator.write(&binding.name, &bytes).unwrap();
        inputs.push((chip(&binding.name), bytes));
    }
    let report = simulator.run(&program.entries[0].name).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.cycles, report.cycles_predicted);
    for binding in program.bindings.iter().filter(|binding| binding.name.starts_with("y.")) {
        outputs.push((chip(&binding.name), simulator.read(&binding.name).unwrap()));
    }
    (inputs, outputs)
}

fn sums(system: &str, vectors: usize, method: Method) {
    check_sums(system, &made(system, Collective::AllReduce, vectors), vectors, method);
}

fn check_sums(system: &str, made: &Collected, vectors: usize, method: Method) {
    assert_eq!(made.method, method, "{system}, {vectors} vectors");
    let chips = made.program.chips as usize;
    let (inputs, outputs) = run(made);
    let numbers = |bytes: &[u8]| -> Vec<i32> {
        bytes.chunks_exact(4).map(|four| i32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    let mut sum = vec![0_i32; inputs[0].1.len() / 4];
    for (_, input) in &inputs {
        sum.iter_mut().zip(numbers(input)).for_each(|(sum, number)| *sum += number);
    }
    assert_eq!((inputs.len(), outputs.len()), (chips, chips));
    for (chip, output) in outputs {
        assert!(numbers(&output) == sum, "{system}, {vectors} vectors: chip {chip} has another sum");
    }
}

fn sums_in_a_node_are_exact() {
    sums("lockstep1:2", 1, Method::Gather);
    sums("lockstep1:3", 2, Method::Gather);
    sums("lockstep1:8", 1, Method::Gather);
    sums("lockstep1:8", 16, Method::Scatter);
}

fn sums_over_nodes_are_exact() {
    sums("lockstep1:16", 3, Method::Nodes);
    sums("lockstep1:24", 1, Method::Nodes);
    sums("lockstep1:nodes24", 1, Method::Nodes);
    sums("lockstep1:72", 1, Method::Nodes);
    // A node that lacks a chip is a node still: none of another one takes its place.
    let rest = SystemSpec::preset("lockstep1:24").unwrap().without(&"3".parse().unwrap()).unwrap();
    let made = compile_collective(&rest, Collective::AllReduce, 1).unwrap();
    check_sums("lockstep1:24 without a chip", &made, 1, Method::Nodes);
}

fn sums_over_any_cables_are_exact() {
    sums("lockstep1:12", 1, Method::Nodes);
    sums("lockstep1:ring5", 1, Method::Gather);
    sums("lockstep1:ring11", 2, Method::Tree);
    sums("lockstep1:20", 1, Method::Tree);
}

fn gathered_vectors_are_those_that_were_there() {
    for (system, vectors) in [("lockstep1:2", 3), ("lockstep1:8", 2), ("lockstep1:ring5", 1), ("lockstep1:18", 1)] {
        let (inputs, outputs) = run(&made(system, Collective::AllGather, vectors));
        let all: Vec<u8> = inputs.into_iter().flat_map(|(_, bytes)| bytes).collect();
        for (chip, output) in outputs {
            assert!(output == all, "{system}: chip {chip} has something else");
        }
    }
}

fn broadcasts_reach_all() {
    for (system, from, vectors, method) in [
        ("lockstep1:8", 3, 2, Method::Shortest),
        ("lockstep1:8", 3, 40, Method::Detours),
        ("lockstep1:ring4", 1, 3, Method::Shortest),
        ("lockstep1:18", 17, 2, Method::Shortest),
    ] {
        let made = made(system, Collective::Broadcast { from }, vectors);
        assert_eq!(made.method, method, "{system}, {vectors} vectors");
        let chips = made.program.chips as usize;
        let (inputs, outputs) = run(&made);
        assert_eq!((inputs.len(), outputs.len()), (1, chips - 1));
        for (chip, output) in outputs {
            assert!(output == inputs[0].1, "{system}: chip {chip} has something else");
        }
    }
}

fn transfers_arrive() {
    for (system, from, to, vectors, method) in [
        ("lockstep1:2", 0, 1, 3, Method::Shortest),
        ("lockstep1:8", 5, 2, 8, Method::Shortest),
        ("lockstep1:8", 5, 2, 60, Method::Detours),
        ("lockstep1:ring6", 0, 3, 4, Method::Shortest),
        ("lockstep1:72", 3, 70, 12, Method::Shortest),
        ("lockstep1:72", 3, 4, 40, Method::Detours),
    ] {
        let made = made(system, Collective::Transfer { from, to }, vectors);
        assert_eq!(made.method, method, "{system}, {vectors} vectors");
        let (inputs, outputs) = run(&made);
        assert_eq!(inputs, [(from, outputs[0].1.clone())], "{system}");
        assert_eq!(outputs[0].0, to);
    }
}

/// Of the tables in docs/network.md.
fn cycles_are_those_of_the_tables() {
    let tried = |system: &str, collective, vectors| made(system, collective, vectors).tried;
    let transfer = |vectors| tried("lockstep1:8", Collective::Transfer { from: 0, to: 7 }, vectors);
    assert_eq!(transfer(13), [(Method::Shortest, 596)]);
    assert_eq!(transfer(26), [(Method::Shortest, 911), (Method::Detours, 644)]);
    assert_eq!(transfer(100), [(Method::Shortest, 2681), (Method::Detours, 907)]);
    assert!(tried("lockstep1:8", Collective::AllReduce, 1).contains(&(Method::Gather, 412)));
    assert_eq!(tried("lockstep1:256", Collective::AllReduce, 1), [(Method::Nodes, 1232)]);
}

/// Longer than clocks stay in line by one way, not by the other.
fn a_way_that_takes_too_long_leaves_others() {
    let mut description = SystemSpec::preset("lockstep1:8").unwrap().description;
    // For 5,000 cycles.
    description.machine.c2c.slack_max_cycles = 2;
    let node = SystemSpec::new(description, Size::chips(8)).unwrap();
    let transfer = Collective::Transfer { from: 0, to: 1 };
    for (collective, vectors, method) in
        [(transfer, 215, Method::Detours), (Collective::AllReduce, 60, Method::Scatter)]
    {
        let made = compile_collective(&node, collective, vectors).unwrap();
        assert_eq!((made.method, made.tried.len()), (method, 1), "{:?}", made.tried);
    }
    let error = compile_collective(&node, transfer, 1800).unwrap_err().to_string();
    assert!(error.contains("at most 5000") && error.contains("use fewer vectors"), "{error}");
}
