//! Prefill of the default model: many tokens in one step, with the host's bits.

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
pub const TESTS: &[(&str, fn())] = &[("smollm2::prefill_equals_the_host", prefill_equals_the_host)];

const BATCH: u32 = 128;

fn prefill_equals_the_host() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let start = Instant::now();
    let options = Options { name: "smollm2".into(), contexts: vec![256], batch: BATCH, ..Options::default() };
    let program = compile(&model.graph, &weights, &spec, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("compiled in {:?}", start.elapsed());
    for block in &program.blocks {
        let text: usize = block.queues.iter().map(|queue| queue.insts.len()).sum();
        println!("block {} {} cycles, {text} instructions, {} edges", block.name, block.cycles, block.flow.len());
    }
    for entry in &program.entries {
        println!("entry {} {} cycles", entry.name, entry.cycles);
    }
    // Golden: another schedule has other cycles, which must be looked at and written here.
    let cycles: Vec<(&str, u64)> = program.entries.iter().map(|entry| (entry.name.as_str(), entry.cycles)).collect();
    assert_eq!(cycles, [("prefill.320", 412_730), ("decode.320", 43_063)]);
    let start = Instant::now();
    let linked = link(&program);
    println!("verified and linked in {:?}", start.elapsed());
    let mut sequence = Sequence::new(&linked);
    let tokens: Vec<u32> = (0..151).map(|at| (at * 7919 + 11) % 49_152).collect();
    let expected = on_the_host(&model, &tokens);
    let mut done = 0;
    for chunk in [20, 128, 1] {
        let found = sequence.prefill("prefill.320", BATCH as usize, &tokens, done, chunk);
        done += chunk;
        assert!(found == bits(&expected[done - 1]), "chunk of {chunk} up to {done}");
    }
    for position in done..tokens.len() {
        let found = sequence.decode("decode.320", tokens[position], position);
        assert!(found == bits(&expected[position]), "token {position}");
    }
}
