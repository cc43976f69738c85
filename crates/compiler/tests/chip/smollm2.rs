//! The default model, compiled whole: the chip's logits are the host's, in the predicted cycles.

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
pub const TESTS: &[(&str, fn())] = &[
    ("smollm2::decode_equals_the_host", decode_equals_the_host),
    ("smollm2::prefill_equals_the_host", prefill_equals_the_host),
    ("smollm2::a_sequence_goes_on_in_the_next_context", a_sequence_goes_on_in_the_next_context),
];

/// Tokens of a step of many.
const BATCH: u32 = 128;

/// Compiles the model for some contexts; its entries take the `golden` cycles: another schedule has others, which must be
/// looked at and written here. Then reads `tokens`: chunks of them many at a time, the rest one by one, by the entries
/// that hold a token's position in turn.
fn check(contexts: &[usize], batch: u32, golden: &[(&str, u64)], tokens: &[u32], chunks: &[usize]) {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let start = Instant::now();
    let options = Options { name: "smollm2".into(), contexts: contexts.to_vec(), batch, ..Options::default() };
    let program = compile(&model.graph, &weights, &spec, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("contexts {contexts:?} compiled in {:?}", start.elapsed());
    for block in &program.blocks {
        let text: usize = block.queues.iter().map(|queue| queue.insts.len()).sum();
        println!("block {} {} cycles, {text} instructions, {} edges", block.name, block.cycles, block.flow.len());
    }
    let cycles: Vec<(&str, u64)> = program.entries.iter().map(|entry| (entry.name.as_str(), entry.cycles)).collect();
    assert_eq!(cycles, golden);
    let start = Instant::now();
    let linked = link(&program);
    println!("verified and linked in {:?}", start.elapsed());
    let mut sequence = Sequence::new(&linked);
    let expected = on_the_host(&model, tokens);
    let ends: Vec<usize> = contexts.iter().map(|context| context.next_multiple_of(320)).collect();
    let mut done = 0;
    for chunk in chunks {
        let found = sequence.prefill("prefill.320", batch as usize, tokens, done, *chunk);
        done += chunk;
        assert!(found == bits(&expected[done - 1]), "chunk of {chunk} up to {done}");
    }
    for position in done..tokens.len() {
        let holding: Vec<usize> = ends.iter().copied().filter(|end| position < *end).collect();
        let entry = format!("decode.{}", holding[position % holding.len()]);
        let found = sequence.decode(&entry, tokens[position], position);
        assert!(found == bits(&expected[position]), "token {position} in {entry}");
    }
}

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|at| (at * 7919 + 11) % 49_152).collect()
}

fn decode_equals_the_host() {
    check(&[256], 0, &[("decode.320", 39_941)], &[1, 4093, 260, 48_000, 11], &[]);
}

fn prefill_equals_the_host() {
    let golden = [("prefill.320", 399_000), ("decode.320", 39_803)];
    check(&[256], BATCH, &golden, &tokens(151), &[20, 128, 1]);
}

/// A sequence goes on where the first vector of positions ends, in entries for twice and four times as many.
fn a_sequence_goes_on_in_the_next_context() {
    let golden = [("prefill.320", 483_639), ("decode.320", 39_966), ("decode.640", 48_882), ("decode.1280", 71_541)];
    check(&[320, 640, 1280], BATCH, &golden, &tokens(323), &[128, 128, 61]);
}
