//! The first layer of the default model, its real weights: one program against the contract and against the host, at
//! every position of its context.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::model::bytes as model_bytes;
use common::{Chip, Oracle, Random, bits, link, machine};
use lockstep_arith::embedding;
use lockstep_arith::matrix::Format;
use lockstep_formats::Gguf;
use lockstep_host::{Host, Item, Options, PackedWeights};
use lockstep_kernels::Kernels;
use lockstep_layer::{build, first_layer, layer_weights};
use lockstep_models::{Model, from_gguf};

/// What the host makes of tokens in one layer.
fn on_the_host(model: &Model<'_>, tokens: &[u32]) -> Vec<Vec<f32>> {
    let cache = std::env::temp_dir().join(format!("lockstep-layer-{}.packed", std::process::id()));
    let weights = PackedWeights::open_or_pack(&cache, model, &|_, _| ()).unwrap();
    let options = Options { threads: 2, step_tokens: tokens.len(), kernels: Kernels::detect() };
    let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
    let sequence = host.create_sequence(tokens.len()).unwrap();
    host.step(&[Item { sequence, tokens, logits: tokens.len() }]).unwrap();
    std::fs::remove_file(cache).unwrap();
    (0..tokens.len()).map(|row| host.logits(0, row).unwrap().to_vec()).collect()
}

#[test]
fn one_program_equals_contract_and_host_at_every_position() {
    let spec = machine(20);
    let positions = spec.lanes() as usize;
    let file = model_bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = first_layer(&from_gguf(&gguf).unwrap()).unwrap();
    let weights = layer_weights(&model, positions).unwrap();
    let [(embedding_name, embedding_table), (lb4_name, lb4_table)] = &weights.tables[..] else { panic!("two tables") };
    assert!(embedding_table.format == Format::Lb8 && matches!(lb4_table.format, Format::Lb4 { has_offset: true, .. }));
    let program = build(&spec, &weights).unwrap();
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(&weights, positions);
    // The host takes the width of its output for that of its vocabulary.
    let mut random = Random(3);
    let tokens: Vec<u32> = (0..positions).map(|_| random.below(model.config.hidden as u64) as u32).collect();
    let on_host = on_the_host(&model, &tokens);
    for (position, (token, on_host)) in tokens.iter().zip(&on_host).enumerate() {
        let x = chip.row(embedding_name, *token as usize);
        assert!(bits(&x) == bits(&embedding::row(embedding_table, *token as usize, None)), "embedding of {token}");
        let y = chip.step(&x, position, position + 1);
        assert!(bits(&y) == bits(&oracle.step(&x, position, position + 1)), "the contract at position {position}");
        assert!(bits(&y) == bits(on_host), "the host at position {position}");
    }
    // Back to earlier positions, which then see no more than stands before them, and rows from everywhere in the tables.
    for position in [100, 0, 318] {
        let x = chip.row(embedding_name, 49_151 - position);
        let y = chip.step(&x, position, position + 1);
        assert!(bits(&y) == bits(&oracle.step(&x, position, position + 1)), "again at position {position}");
    }
    for row in [0, 1, 15, 16, 1000, 1535] {
        assert!(bits(&chip.row(lb4_name, row)) == bits(&embedding::row(lb4_table, row, None)), "row {row}");
    }
}
