//! The default model on several chips: the logits are the host's, in the predicted cycles.

use crate::common::chip::link;
use crate::common::host::on_the_host;
use crate::common::model;
use crate::common::sequence::{Sequence, bits};
use lockstep_compiler::{Options, Split, compile};
use lockstep_formats::Gguf;
use lockstep_machine::system::SystemSpec;
use lockstep_models::from_gguf;
use lockstep_models::weights::contract_weights;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    ("many::two_chips_share_layers", || check("lockstep1:2", Split::Tensor)),
    ("many::three_chips_share_layers", || check("lockstep1:3", Split::Tensor)),
    ("many::four_chips_share_layers", || check("lockstep1:4", Split::Tensor)),
    ("many::a_node_shares_layers", || check("lockstep1:8", Split::Tensor)),
    ("many::two_chips_in_a_pipeline", || check("lockstep1:2", Split::Pipeline)),
    ("many::five_chips_in_a_pipeline", || check("lockstep1:5", Split::Pipeline)),
    ("many::sixteen_chips_in_a_pipeline", || check("lockstep1:16", Split::Pipeline)),
    ("many::two_nodes_in_a_pipeline", || check("lockstep1:16", Split::Tensor)),
];

const TOKENS: [u32; 4] = [1, 4093, 260, 48_000];

fn check(system: &str, split: Split) {
    let chips = SystemSpec::preset(system).unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let options = Options { name: "smollm2".into(), contexts: vec![256], split, ..Options::default() };
    let start = std::time::Instant::now();
    let program = compile(&model.graph, &weights, &chips, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("{system} {split:?}: {} cycles, compiled in {:?}", program.entries[0].cycles, start.elapsed());
    let linked = link(&program);
    let mut sequence = Sequence::new(&linked);
    let expected = on_the_host(&model, &TOKENS);
    for (position, token) in TOKENS.iter().enumerate() {
        let found = sequence.decode("decode.320", *token, position);
        assert!(found == bits(&expected[position]), "{system} {split:?}: token {position}");
    }
}
