//! Layers of seeded weights against the contract's functions, on the default machine and on others.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Chip, IQ4, Oracle, Q4_1, Random, SMOLLM2, Sizes, bits, link, machine, random_layer};
use lockstep_arith::embedding;
use lockstep_arith::matrix::Format;
use lockstep_layer::{Error, LayerWeights, Pairs, build};
use lockstep_machine::spec::{AluProfile, MachineSpec};
use lockstep_simulator::FaultKind;

const SMALL: Sizes = Sizes { hidden: 96, feed_forward: 160, kv_heads: 2, sharing: 2, head_size: 32 };

/// Runs positions in order, then some out of order, and rows of all tables.
fn check(spec: &MachineSpec, weights: &LayerWeights, positions: usize, jumps: &[(usize, usize)]) {
    let program = build(spec, weights).unwrap_or_else(|error| panic!("{error}"));
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(weights, spec.lanes() as usize);
    let mut random = Random(7);
    let order = (0..positions).map(|position| (position, position + 1)).chain(jumps.iter().copied());
    for (position, length) in order {
        let x = random.vector(weights.hidden());
        let (found, want) = (chip.step(&x, position, length), oracle.step(&x, position, length));
        assert!(bits(&found) == bits(&want), "position {position} of {length}\n{found:?}\n{want:?}");
    }
    for (name, table) in &weights.tables {
        for row in [0, 1, 17, table.rows - 1] {
            let (found, want) = (chip.row(name, row), embedding::row(table, row, None));
            assert!(bits(&found) == bits(&want), "{name} row {row}\n{found:?}\n{want:?}");
        }
    }
}

#[test]
fn the_default_model_s_shape() {
    let spec = machine(20);
    let weights = random_layer(1, SMOLLM2, 320, Pairs::Adjacent, [Q4_1; 2]);
    check(&spec, &weights, 12, &[(319, 320), (160, 161), (3, 4), (2, 12), (5, 320)]);
}

#[test]
fn every_weight_format_and_both_orders_of_pairs() {
    for (seed, pairs, formats) in [
        (2, Pairs::Halves, [Format::Lb8; 2]),
        (3, Pairs::Adjacent, [IQ4, Q4_1]),
        (4, Pairs::Halves, [Q4_1, IQ4]),
        (5, Pairs::Adjacent, [Format::Lb8, IQ4]),
    ] {
        check(&machine(20), &random_layer(seed, SMOLLM2, 320, pairs, formats), 3, &[(100, 101)]);
    }
}

#[test]
fn a_small_machine_at_every_position() {
    let weights = random_layer(6, SMALL, 128, Pairs::Halves, [Q4_1, Format::Lb8]);
    check(&machine(8), &weights, 128, &[(0, 1), (127, 128), (64, 65)]);
}

#[test]
fn extreme_inputs_give_the_contract_s_bits_or_a_value_fault() {
    let (spec, weights) = (machine(8), random_layer(11, SMALL, 128, Pairs::Adjacent, [Q4_1, Format::Lb8]));
    let program = build(&spec, &weights).unwrap();
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(&weights, 128);
    let n = weights.hidden();
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
        let fault = chip.fault(&one_huge(outside), 9, 10);
        assert_eq!(fault.kind, FaultKind::ValueRange, "{outside}: {fault}");
        assert!(fault.message.contains("outside the range of the contract"), "{outside}: {fault}");
    }
}

/// The schedule comes from the description: other delays and counts give another program and the same bits.
#[test]
fn other_delays_and_counts_give_the_same_bits() {
    let weights = random_layer(8, SMALL, 128, Pairs::Adjacent, [Q4_1; 2]);
    let cycles = |change: &dyn Fn(&mut MachineSpec)| {
        let mut spec = machine(8);
        change(&mut spec);
        check(&spec, &weights, 3, &[(127, 128)]);
        build(&spec, &weights).unwrap().entries[0].cycles
    };
    let usual = cycles(&|_| ());
    let slow_vectors = cycles(&|spec| (spec.vxm.delay, spec.vxm.divide_delay, spec.vxm.exp32_delay) = (5, 17, 3));
    let slow_memory = cycles(&|spec| (spec.mem.read_delay, spec.mem.write_delay, spec.mem.gather_delay) = (9, 4, 7));
    let few_units = cycles(&|spec| (spec.vxm.alus, spec.vxm.reduce_units, spec.mxm.load_streams) = (2, 1, 8));
    let near_registers = cycles(&|spec| spec.mem.slices_per_register = 1);
    let late_matrices = cycles(&|spec| (spec.mxm.result_delay, spec.sxm.distribute_delay) = (60, 11));
    let mesh = cycles(&|spec| spec.vxm.profile = AluProfile::Mesh4x4);
    assert!(mesh >= usual, "{mesh} cycles in a mesh of ALUs, with all joined {usual}");
    for other in [slow_vectors, slow_memory, few_units, near_registers, late_matrices] {
        assert!(other > usual, "{other} cycles, with the usual delays {usual}");
    }
}

#[test]
fn the_same_input_gives_the_same_program() {
    let weights = random_layer(9, SMALL, 128, Pairs::Adjacent, [Q4_1; 2]);
    let program = || build(&machine(8), &weights).unwrap();
    assert!(program() == program());
}

#[test]
fn what_does_not_fit_is_named() {
    let weights = random_layer(10, SMALL, 128, Pairs::Adjacent, [Q4_1; 2]);
    let mut wrong = weights.clone();
    wrong.down.rows = 95;
    let error = build(&machine(8), &wrong).unwrap_err().to_string();
    assert_eq!(error, "down: [95, 160], expected [96, 160]");
    let error = build(&machine(12), &weights).unwrap_err().to_string();
    assert_eq!(error, "rotary table: 16 pairs, 2048 cosines, expected 16 pairs for each of 192 positions");
    let tsp = MachineSpec::preset("tsp2020").unwrap();
    assert!(matches!(build(&tsp, &weights), Err(Error::Machine { .. })));
}
