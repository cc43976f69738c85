//! Layers of seeded layer against the contract's functions, on the default machine and on others.

use crate::common::chip::link;
use crate::common::layer::{Chip, Layer, Oracle, bits, machine};
use crate::common::random::{IQ4, Q4_0, Q4_1, Random, SMALL, SMOLLM2, random_layer};
use lockstep_arith::matrix::Format;
use lockstep_compiler::{Error, Options, Part, compile};
use lockstep_graph::RotaryPairs::{Adjacent, Halves};
use lockstep_graph::contract::{self, ContractWeight};
use lockstep_machine::spec::{AluProfile, MachineSpec};
use lockstep_simulator::FaultKind;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    ("random::the_default_model_s_shape", the_default_model_s_shape),
    ("random::every_weight_format_and_both_orders_of_pairs", every_weight_format_and_both_orders_of_pairs),
    ("random::a_small_machine_at_every_position", a_small_machine_at_every_position),
    (
        "random::extreme_inputs_give_the_contract_s_bits_or_a_value_fault",
        extreme_inputs_give_the_contract_s_bits_or_a_value_fault,
    ),
    ("random::other_delays_and_counts_give_the_same_bits", other_delays_and_counts_give_the_same_bits),
    ("random::the_same_input_gives_the_same_program", the_same_input_gives_the_same_program),
    ("random::what_does_not_fit_is_named", what_does_not_fit_is_named),
    ("random::every_context_gives_the_same_bits", every_context_gives_the_same_bits),
    ("random::rows_of_every_format_are_gathered", rows_of_every_format_are_gathered),
];

/// The embedding of layers that are run from x.
const UNUSED: (usize, Format) = (1, Format::Lb8);

/// Runs positions in order, then some out of order.
fn check(spec: &MachineSpec, layer: &Layer, positions: usize, jumps: &[(usize, usize)]) -> u64 {
    let program = layer.compile(spec).unwrap_or_else(|error| panic!("{error}"));
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(layer, spec.lanes() as usize);
    let mut random = Random(7);
    let order = (0..positions).map(|position| (position, position + 1)).chain(jumps.iter().copied());
    for (position, length) in order {
        let x = random.vector(layer.hidden());
        let (found, want) = (chip.step(&x, position, length), oracle.step(&x, position, length));
        assert!(bits(&found) == bits(&want), "position {position} of {length}\n{found:?}\n{want:?}");
    }
    program.entries[0].cycles
}

fn the_default_model_s_shape() {
    let spec = machine(20);
    let layer = random_layer(1, SMOLLM2, Adjacent, [Q4_1; 2], UNUSED);
    check(&spec, &layer, 12, &[(319, 320), (160, 161), (3, 4), (2, 12), (5, 320)]);
}

fn every_weight_format_and_both_orders_of_pairs() {
    for (seed, pairs, formats) in [
        (2, Halves, [Format::Lb8; 2]),
        (3, Adjacent, [IQ4, Q4_1]),
        (4, Halves, [Q4_1, IQ4]),
        (5, Adjacent, [Format::Lb8, IQ4]),
    ] {
        check(&machine(20), &random_layer(seed, SMOLLM2, pairs, formats, UNUSED), 3, &[(100, 101)]);
    }
}

fn a_small_machine_at_every_position() {
    let layer = random_layer(6, SMALL, Halves, [Q4_1, Format::Lb8], UNUSED);
    check(&machine(8), &layer, 128, &[(0, 1), (127, 128), (64, 65)]);
}

fn extreme_inputs_give_the_contract_s_bits_or_a_value_fault() {
    let (spec, layer) = (machine(8), random_layer(11, SMALL, Adjacent, [Q4_1, Format::Lb8], UNUSED));
    let program = layer.compile(&spec).unwrap();
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(&layer, 128);
    let n = layer.hidden();
    let one_huge = |huge: f32| (0..n).map(|i| if i == 37 { huge } else { 0.5 }).collect::<Vec<f32>>();
    let alternating = |size: f32| (0..n).map(|i| if i % 2 == 0 { size } else { -size }).collect::<Vec<f32>>();
    let extremes = [
        vec![0.0; n],
        vec![-0.0; n],
        vec![f32::from_bits(1); n],
        alternating(f32::MIN_POSITIVE),
        alternating(1e-20),
        alternating(3e7),
        one_huge(1e13),
        one_huge(-3e-30),
    ];
    for (position, x) in extremes.iter().enumerate() {
        let (found, want) = (chip.step(x, position, position + 1), oracle.step(x, position, position + 1));
        assert!(bits(&found) == bits(&want), "{x:?}\n{found:?}\n{want:?}");
    }
    for outside in [2.0_f32.powi(50), -1e30, f32::INFINITY, f32::NAN] {
        let fault = chip.fault(&one_huge(outside), 9);
        assert_eq!(fault.kind, FaultKind::ValueRange, "{outside}: {fault}");
        assert!(fault.message.contains("outside the range of the contract"), "{outside}: {fault}");
    }
}

/// The schedule comes from the description: other delays and counts give another program and the same bits.
fn other_delays_and_counts_give_the_same_bits() {
    let layer = random_layer(8, SMALL, Adjacent, [Q4_1; 2], UNUSED);
    let cycles = |change: &dyn Fn(&mut MachineSpec)| {
        let mut spec = machine(8);
        change(&mut spec);
        check(&spec, &layer, 3, &[(127, 128)])
    };
    let usual = cycles(&|_| ());
    let slow_vectors = cycles(&|spec| (spec.vxm.delay, spec.vxm.divide_delay, spec.vxm.exp32_delay) = (5, 17, 3));
    let slow_memory = cycles(&|spec| (spec.mem.read_delay, spec.mem.write_delay, spec.mem.gather_delay) = (9, 4, 7));
    let few_units = cycles(&|spec| (spec.vxm.alus, spec.vxm.reduce_units, spec.mxm.load_streams) = (2, 1, 8));
    let near_registers = cycles(&|spec| spec.mem.slices_per_register = 1);
    let late_matrices = cycles(&|spec| (spec.mxm.result_delay, spec.sxm.distribute_delay) = (60, 11));
    // Fewer joined ALUs give a choice less, which the search for cycles now and then has luck with: only bits count.
    cycles(&|spec| spec.vxm.profile = AluProfile::Mesh4x4);
    for other in [slow_vectors, slow_memory, few_units, near_registers, late_matrices] {
        assert!(other > usual, "{other} cycles, with the usual delays {usual}");
    }
}

fn the_same_input_gives_the_same_program() {
    let layer = random_layer(9, SMALL, Adjacent, [Q4_1; 2], UNUSED);
    let program = layer.compile(&machine(8)).unwrap();
    assert!(program == layer.compile(&machine(8)).unwrap());
    link(&program);
}

fn what_does_not_fit_is_named() {
    let layer = random_layer(10, SMALL, Adjacent, [Q4_1; 2], UNUSED);
    let mut wrong = layer.clone();
    let down = layer.index("blk.0.ffn_down.weight");
    wrong.weights[down] = ContractWeight::Vector(vec![0.0; 96]);
    let error = wrong.compile(&machine(8)).unwrap_err().to_string();
    assert_eq!(error, "blk.0.ffn_down.weight: [96], expected [96, 160]");
    wrong.weights.truncate(down);
    let error = wrong.compile(&machine(8)).unwrap_err().to_string();
    assert_eq!(error, "blk.0.ffn_down.weight: no values, expected a matrix or a vector");
    let tsp = MachineSpec::preset("tsp2020").unwrap();
    assert!(matches!(layer.compile(&tsp), Err(Error::Machine { .. })));
}

/// Entries are named after their contexts where there are several; the bits are those of one.
fn every_context_gives_the_same_bits() {
    let (spec, layer) = (machine(8), random_layer(12, SMALL, Halves, [Q4_1; 2], UNUSED));
    let options =
        Options { name: "layer".into(), part: Part::Layer, contexts: vec![129, 1, 128], ..Options::default() };
    let program = compile(&layer.graph, &layer.weights, &spec, &options).unwrap();
    let names: Vec<&str> = program.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["layer.128", "layer.256"]);
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(&layer, 256);
    let mut random = Random(13);
    for (position, entry) in [(0, 0), (1, 1), (2, 0), (127, 0), (128, 1), (255, 1), (3, 0)] {
        let x = random.vector(layer.hidden());
        chip.entry = entry;
        let (found, want) = (chip.step(&x, position, position + 1), oracle.step(&x, position, position + 1));
        assert!(bits(&found) == bits(&want), "position {position}\n{found:?}\n{want:?}");
    }
}

/// The embedding, from tables of every format whose rows lie on one side and on both.
fn rows_of_every_format_are_gathered() {
    let spec = machine(8);
    for (seed, format) in [(20, Format::Lb8), (21, Q4_0), (22, Q4_1), (23, IQ4)] {
        for rows in [100, 300] {
            let layer = random_layer(seed, SMALL, Adjacent, [Q4_1, Format::Lb8], (rows, format));
            let program = layer.part(&spec, Part::Model).unwrap_or_else(|error| panic!("{error}"));
            let linked = link(&program);
            let mut chip = Chip::new(&linked);
            let tokens = [0, 1, 17, 63, 64, 99, rows / 2 - 1, rows / 2, rows - 1];
            let wanted = contract::logits(&layer.graph, &layer.weights, &tokens.map(|token| token as u32)).unwrap();
            for (position, (token, want)) in tokens.iter().zip(&wanted).enumerate() {
                let found = chip.token(*token, position);
                assert!(bits(&found) == bits(want), "{format:?}, row {token} of {rows}\n{found:?}\n{want:?}");
            }
        }
    }
}
