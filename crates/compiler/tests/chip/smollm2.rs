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
pub const TESTS: &[(&str, fn())] = &[("smollm2::decode_equals_the_host", decode_equals_the_host)];

fn decode_equals_the_host() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let start = Instant::now();
    let options = Options { name: "smollm2".into(), contexts: vec![256], ..Options::default() };
    let program = compile(&model.graph, &weights, &spec, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("compiled in {:?}", start.elapsed());
    for block in &program.blocks {
        println!("block {} {} cycles", block.name, block.cycles);
    }
    for entry in &program.entries {
        println!("entry {} {} cycles", entry.name, entry.cycles);
    }
    // Golden: another schedule has other cycles, which must be looked at and written here.
    let cycles: Vec<(&str, u64)> = program.entries.iter().map(|entry| (entry.name.as_str(), entry.cycles)).collect();
    assert_eq!(cycles, [("decode.320", 43_004)]);
    let start = Instant::now();
    let linked = link(&program);
    println!("verified and linked in {:?}", start.elapsed());
    let mut sequence = Sequence::new(&linked);
    let tokens = [1_u32, 4093, 260, 48_000, 11];
    let expected = on_the_host(&model, &tokens);
    for (position, (token, expected)) in tokens.iter().zip(&expected).enumerate() {
        assert!(sequence.decode("decode.320", *token, position) == bits(expected), "token {position}");
    }
}
