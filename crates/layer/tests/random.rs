//! Layers of seeded weights against the contract's functions, on the default machine and on others.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Chip, IQ4, Oracle, Q4_1, Random, SMOLLM2, Sizes, bits, link, machine, random_layer};
use lockstep_arith::embedding;
use lockstep_arith::matrix::Format;
use lockstep_layer::{LayerWeights, Pairs, build};
use lockstep_machine::spec::MachineSpec;

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
    check(&spec, &random_layer(1, SMOLLM2, 320, Pairs::Adjacent, [Q4_1; 2]), 12, &[(319, 320), (160, 161), (3, 4)]);
}
