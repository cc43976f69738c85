//! Mutants of a compiled program, an embedding and a layer: each is rejected, or does the same, but for a few.

#[allow(dead_code, reason = "only the filetests add tallies up")]
#[path = "../../../simulator/tests/support/mutants.rs"]
mod mutants;

use crate::common::chip::link;
use crate::common::layer::machine;
use crate::common::random::{Q4_1, Random, SMOLLM2, random_layer};
use lockstep_arith::matrix::Format;
use lockstep_compiler::Part;
use lockstep_graph::RotaryPairs;
use lockstep_program::mutate::{mutations, sample, spaced};
use lockstep_simulator::Simulator;

use mutants::{Case, HEAD, Hazards, Tally, behaviour, hazards, judge, observe};

/// All of them.
pub const TESTS: &[(&str, fn())] = &[("mutation::few_mutants_survive", few_mutants_survive)];

/// Mutants that are judged, chosen by a seed.
const MUTANTS: usize = 150;

/// Positions run one after the other: what the first writes to the cache, the second sees.
const POSITIONS: i32 = 2;

fn few_mutants_survive() {
    let layer = random_layer(1, SMOLLM2, RotaryPairs::Adjacent, [Q4_1; 2], (50, Format::Lb8));
    let built = layer.part(&machine(20), Part::Model).unwrap_or_else(|error| panic!("{error}"));
    let program = spaced(&built).unwrap();
    link(&program);
    let run = |simulator: &mut Simulator<'_>| {
        let mut random = Random(7);
        let lanes = program.machine.lanes() as usize;
        let mut observed = Vec::new();
        for position in 0..POSITIONS {
            let token = random.below(50) as i32;
            for (name, number) in [("token", token), ("position", position), ("length", position + 1)] {
                simulator.write_i32(name, &vec![number; lanes])?;
            }
            observed.push(observe(&program, simulator, &program.entries[0].name)?);
        }
        Ok(observed)
    };
    let case = Case { program: &program, run: &run };
    let original = behaviour(&case).unwrap_or_else(|error| panic!("{error}"));
    let all = mutations(&program);
    let mut tally = Tally::default();
    judge(&case, &original, &sample(all.clone(), MUTANTS, 1), &mut tally);
    println!("{} mutations\n{HEAD}\n{}", all.len(), tally.report());
    let mut found = Hazards::default();
    hazards(&program, &sample(all, MUTANTS / 3, 2), &mut found);
    println!("without claims {} of {} mutants are rejected", found.rejected, found.mutants);
    assert!(tally.total().is_enough(), "more than 5 % survive");
    assert!(tally.apart.is_empty() && found.apart.is_empty(), "verify and the linker differ: {:?}", found.apart);
}
