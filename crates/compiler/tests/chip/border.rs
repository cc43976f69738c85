//! The default model with a long context: a sequence goes on where the first vector of positions ends.

use std::time::Instant;

use crate::common::chip::link;
use crate::common::host::on_the_host;
use crate::common::model;
use crate::common::sequence::{Sequence, bits};
use lockstep_compiler::{Options, compile};
use lockstep_formats::Gguf;
use lockstep_machine::spec::MachineSpec;
use lockstep_models::from_gguf;
use lockstep_models::weights::contract_weights;

/// All of them.
pub const TESTS: &[(&str, fn())] =
    &[("smollm2::a_sequence_goes_on_in_the_next_context", a_sequence_goes_on_in_the_next_context)];

const BATCH: u32 = 128;

fn a_sequence_goes_on_in_the_next_context() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let start = Instant::now();
    let options = Options { name: "smollm2".into(), contexts: vec![320, 1280], batch: BATCH, ..Options::default() };
    let program = compile(&model.graph, &weights, &spec, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("contexts of 320 and 1280 compiled in {:?}", start.elapsed());
    let cycles: Vec<(&str, u64)> = program.entries.iter().map(|entry| (entry.name.as_str(), entry.cycles)).collect();
    println!("{cycles:?}");
    let names: Vec<&str> = cycles.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["prefill.320", "decode.320", "decode.1280"]);
    let linked = link(&program);
    let mut sequence = Sequence::new(&linked);
    let tokens: Vec<u32> = (0..323).map(|at| (at * 7919 + 11) % 49_152).collect();
    let expected = on_the_host(&model, &tokens);
    let mut done = 0;
    for chunk in [128, 128, 61] {
        let found = sequence.prefill("prefill.320", BATCH as usize, &tokens, done, chunk);
        done += chunk;
        assert!(found == bits(&expected[done - 1]), "chunk of {chunk} up to {done}");
    }
    for position in done..tokens.len() {
        let entry = if position < 320 { "decode.320" } else { "decode.1280" };
        assert!(sequence.decode(entry, tokens[position], position) == bits(&expected[position]), "token {position}");
    }
}
