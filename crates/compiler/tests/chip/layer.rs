//! The first layer of the default model, its real weights: one program against the contract and against the host, at
//! every position of its context.

use crate::common::chip::link;
use crate::common::host::on_the_host;
use crate::common::layer::{Chip, Layer, Oracle, bits, machine};
use crate::common::model;
use crate::common::random::Random;
use lockstep_arith::embedding;
use lockstep_arith::matrix::Format;
use lockstep_formats::Gguf;
use lockstep_models::from_gguf;
use lockstep_models::weights::contract_weights;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[(
    "layer::one_program_equals_contract_and_host_at_every_position",
    one_program_equals_contract_and_host_at_every_position,
)];

fn one_program_equals_contract_and_host_at_every_position() {
    let spec = machine(20);
    let positions = spec.lanes() as usize;
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let whole = from_gguf(&gguf).unwrap();
    let model = whole.first_layer().unwrap();
    let layer = Layer { graph: model.graph.clone(), weights: contract_weights(&model).unwrap() };
    let table = layer.matrix("token_embd.weight");
    let gate = layer.matrix("blk.0.ffn_gate.weight");
    assert!(table.format == Format::Lb8 && matches!(gate.format, Format::Lb4 { has_offset: true, .. }));
    let program = layer.compile(&spec).unwrap();
    assert_eq!(program.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["layer"]);
    // The whole model's first layer is the same, and needs no weights of others.
    let first_of_all = Layer { graph: whole.graph, weights: layer.weights.clone() };
    assert!(first_of_all.compile(&spec).unwrap() == program);
    let linked = link(&program);
    let mut chip = Chip::new(&linked);
    let mut oracle = Oracle::new(&layer, positions);
    // The host takes the width of its output for that of its vocabulary.
    let mut random = Random(3);
    let tokens: Vec<u32> = (0..positions).map(|_| random.below(model.config.hidden as u64) as u32).collect();
    let on_host = on_the_host(&model, &tokens);
    for (position, (token, on_host)) in tokens.iter().zip(&on_host).enumerate() {
        let x = embedding::row(table, *token as usize, None);
        let y = chip.step(&x, position, position + 1);
        assert!(bits(&y) == bits(&oracle.step(&x, position, position + 1)), "the contract at position {position}");
        assert!(bits(&y) == bits(on_host), "the host at position {position}");
    }
    // Back to earlier positions, which then see no more than stands before them.
    for position in [100, 0, 318] {
        let x = embedding::row(table, 49_151 - position, None);
        let y = chip.step(&x, position, position + 1);
        assert!(bits(&y) == bits(&oracle.step(&x, position, position + 1)), "again at position {position}");
    }
}
