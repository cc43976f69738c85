//! Programs from shapes alone: those of the same model with weights, but for the bytes.

use crate::common::chip::link;
use crate::common::decoder::Decoder;
use crate::common::random::{IQ4, Q4_0, Q4_1};
use crate::common::sources::Sources;
use lockstep_arith::matrix::Format;
use lockstep_arith::source::SourceType;
use lockstep_compiler::{Chips, Options, Split, compile};
use lockstep_kernels::Kernels;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;
use lockstep_models::from_hf_config;
use lockstep_models::weights::contract_weights;
use lockstep_program::Program;
use lockstep_program::program::Content;
use lockstep_simulator::{Error, Linked, Simulator};
use std::path::Path;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    ("shapes::the_program_is_that_of_weights_but_for_their_bytes", the_program_is_that_of_weights_but_for_their_bytes),
    ("shapes::chips_share_shapes_too", chips_share_shapes_too),
    ("shapes::two_chips_share_a_layer_of_8b", || a_layer_of("llama-3-8b.json", 2, 9_320)),
    ("shapes::four_chips_share_a_layer_of_8b", || a_layer_of("llama-3-8b.json", 4, 5_945)),
    ("shapes::a_node_shares_a_layer_of_8b", || a_layer_of("llama-3-8b.json", 8, 4_649)),
    ("shapes::a_node_shares_a_layer_of_70b", || a_layer_of("llama-2-70b.json", 8, 7_961)),
];

fn the_program_is_that_of_weights_but_for_their_bytes() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let decoders = [
        (Decoder { tied: false, ..Decoder::llama(64, 4, 2, 32) }, SourceType::Q4_1, Q4_1),
        (Decoder::qwen2(576, 9, 3, 64), SourceType::Q8_0, Format::Lb8),
        (Decoder { feed_forward: 64, ..Decoder::gemma3(640, 4, 1, 256, 3) }, SourceType::Q4_0, Q4_0),
        (Decoder { vocabulary: 700, ..Decoder::qwen3(128, 8, 8, 64) }, SourceType::Iq4Nl, IQ4),
    ];
    for (decoder, source, format) in decoders {
        let options = Options { name: "model".into(), contexts: vec![320, 640], batch: 16, ..Options::default() };
        check(&decoder, source, format, (&spec).into(), &options);
    }
}

fn chips_share_shapes_too() {
    for (system, split) in [("lockstep1:3", Split::Tensor), ("lockstep1:2", Split::Pipeline)] {
        let chips = SystemSpec::preset(system).unwrap();
        let options = Options { name: "model".into(), contexts: vec![320], split, ..Options::default() };
        let decoder = Decoder { vocabulary: 700, ..Decoder::qwen3(640, 8, 4, 64) };
        check(&decoder, SourceType::Q4_0, Q4_0, (&chips).into(), &options);
    }
}

/// One layer of a large model that so many chips share takes the cycles of the table in docs/benchmarks.md.
fn a_layer_of(file: &str, count: u32, cycles: u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/models").join(file);
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    config["num_hidden_layers"] = 1.into();
    config["vocab_size"] = 320.into();
    let (_, graph) = from_hf_config(&config).unwrap();
    let chips = SystemSpec::preset(&format!("lockstep1:{count}")).unwrap();
    let (name, contexts, split) = ("layer".into(), vec![2048], Split::Tensor);
    let options = Options { name, contexts, split, ..Options::default() };
    let program = compile(&graph, Q4_0, &chips, &options).unwrap_or_else(|error| panic!("{error}"));
    let layers = program.entries[0].phases.iter().filter(|phase| phase.name == "layer");
    assert_eq!(layers.map(|phase| phase.cycles).collect::<Vec<_>>(), [cycles]);
}

fn check(decoder: &Decoder, source: SourceType, format: Format, chips: Chips<'_>, options: &Options) {
    let graph = decoder.graph();
    let sources = Sources::seeded(graph.clone(), 1, &[source]);
    let weights = contract_weights(&sources.model()).unwrap();
    let full = compile(&graph, &weights, chips, options).unwrap_or_else(|error| panic!("{error}"));
    let shaped = compile(&graph, format, chips, options).unwrap_or_else(|error| panic!("{error}"));
    link(&full);
    link(&shaped);
    let held = |program: &Program<'_>| -> usize {
        let bytes = |content: &Content<'_>| if let Content::Bytes(bytes) = content { bytes.len() } else { 0 };
        program.images.iter().map(|image| bytes(&image.content)).sum()
    };
    let absent = shaped.images.iter().filter(|image| image.content == Content::Absent).count();
    println!("{} images, {absent} absent, {} of {} bytes", shaped.images.len(), held(&shaped), held(&full));
    assert!(absent > 0 && 10 * held(&shaped) < held(&full));
    // With the bytes that are absent it is the same program: blocks, instances, places, cycles.
    let mut filled = shaped.clone();
    for (image, full) in filled.images.iter_mut().zip(&full.images) {
        if image.content == Content::Absent {
            assert!(matches!(full.content, Content::Bytes(_)), "{}", image.name);
            image.content = full.content.clone();
        }
    }
    assert!(filled == full);
    timed_and_not_run(&shaped);
}

fn timed_and_not_run(program: &Program<'_>) {
    let linked = Linked::for_timing(program, 2).unwrap_or_else(|fault| panic!("{fault}"));
    for entry in &program.entries {
        assert_eq!(linked.time(&entry.name).unwrap().cycles, entry.cycles);
    }
    let linked = Linked::new(program).unwrap_or_else(|fault| panic!("{fault}"));
    match Simulator::new(&linked, Kernels::detect(), 1).err() {
        Some(Error::Absent(image)) => assert!(image.contains(".weight"), "{image}"),
        other => panic!("{other:?}"),
    }
}
