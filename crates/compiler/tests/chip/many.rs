//! Models on several chips: the logits are the host's, in the predicted cycles.

use crate::common::chip::link;
use crate::common::decoder::Decoder;
use crate::common::host::on_the_host;
use crate::common::model;
use crate::common::sequence::{Sequence, bits};
use crate::common::sources::Sources;
use lockstep_arith::source::SourceType;
use lockstep_compiler::{Chips, Objective, Options, Split, compile};
use lockstep_formats::Gguf;
use lockstep_graph::contract;
use lockstep_kernels::Kernels;
use lockstep_machine::network::Cable;
use lockstep_machine::outage::Outage;
use lockstep_machine::system::SystemSpec;
use lockstep_models::weights::contract_weights;
use lockstep_models::{Model, from_gguf};
use lockstep_program::program::Image;
use lockstep_simulator::Simulator;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    ("many::two_chips_share_layers", || check("lockstep1:2", Split::Tensor, 92_889)),
    ("many::three_chips_share_layers", || check("lockstep1:3", Split::Tensor, 84_570)),
    ("many::four_chips_share_layers", || check("lockstep1:4", Split::Tensor, 84_167)),
    ("many::a_node_shares_layers", || check("lockstep1:8", Split::Tensor, 81_838)),
    ("many::nodes_go_round_dead_links", without_a_link),
    ("many::what_finds_no_way_is_computed_again", what_finds_no_way_is_computed_again),
    ("many::two_chips_in_a_pipeline", || check("lockstep1:2", Split::Pipeline, 40_903)),
    ("many::five_chips_in_a_pipeline", || check("lockstep1:5", Split::Pipeline, 42_239)),
    ("many::sixteen_chips_in_a_pipeline", || check("lockstep1:16", Split::Pipeline, 47_849)),
    ("many::two_nodes_in_a_pipeline", || check("lockstep1:16", Split::Tensor, 82_685)),
    ("many::hand_overs_pass_third_chips", hand_overs_pass_third_chips),
    ("many::a_dead_cable_that_nothing_takes_is_of_no_account", a_dead_cable_that_nothing_takes_is_of_no_account),
    ("many::three_sequences_in_a_pipeline", || in_flight("lockstep1:3", Split::Pipeline)),
    ("many::three_sequences_over_two_nodes", || in_flight("lockstep1:16", Split::Tensor)),
];

/// A model so small that some chips have nothing to send to some others.
fn a_dead_cable_that_nothing_takes_is_of_no_account() {
    let chips = SystemSpec::preset("lockstep1:8").unwrap();
    let sources = Sources::seeded(Decoder::llama(64, 4, 2, 32).graph(), 40, &[SourceType::Q4_0]);
    let model = sources.model();
    let weights = contract_weights(&model).unwrap();
    let options = Options { name: "small".into(), contexts: vec![320], split: Split::Tensor, ..Options::default() };
    let program = compile(&model.graph, &weights, &chips, &options).unwrap_or_else(|error| panic!("{error}"));
    let is_idle = |cable: &&Cable| !program.links.contains(cable) && !program.links.contains(&cable.reversed());
    let idle: Vec<&Cable> = chips.cables().iter().filter(is_idle).collect();
    println!("{} of {} cables are idle", idle.len(), chips.cables().len());
    let outage = |cable: &Cable| Outage { links: [(cable.from_chip, cable.from_link)].into(), ..Outage::default() };
    let stands_in = |cable: &Cable| chips.place(8, &program.links, &outage(cable)).is_some();
    assert!(!idle.is_empty() && idle.into_iter().all(stands_in));
    assert!(!program.links.is_empty() && !program.links.iter().any(stands_in));
    link(&program);
}

/// Three sequences, each a token further in each run.
fn in_flight(system: &str, split: Split) {
    const SEQUENCES: [[u32; 2]; 3] = [[1, 4093], [77, 48_000], [9000, 9000]];
    let chips = SystemSpec::preset(system).unwrap();
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let model = from_gguf(&gguf).unwrap();
    let weights = contract_weights(&model).unwrap();
    let (name, contexts) = ("smollm2".into(), vec![256]);
    let options = Options { name, contexts, split, sequences: SEQUENCES.len(), ..Options::default() };
    let program = compile(&model.graph, &weights, &chips, &options).unwrap_or_else(|error| panic!("{error}"));
    let [together, alone] = &program.entries[..] else { panic!("two entries") };
    println!("{system} {split:?}: {} cycles for {} tokens, {} for one", together.cycles, SEQUENCES.len(), alone.cycles);
    assert!(together.cycles < 3 * alone.cycles, "nothing runs at once");
    // Constants lie once on each chip that has the layer, however many sequences there are.
    let norm = |image: &&Image<'_>| image.name.starts_with("blk.0.attn_norm.weight.vector0.0");
    assert_eq!(program.images.iter().filter(norm).count(), if split == Split::Pipeline { 1 } else { 8 });
    let linked = link(&program);
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 2).unwrap();
    let expected = SEQUENCES.map(|tokens| on_the_host(&model, &tokens));
    for position in 0..SEQUENCES[0].len() {
        for (sequence, tokens) in SEQUENCES.iter().enumerate() {
            let inputs =
                [("token", tokens[position] as i32), ("position", position as i32), ("length", position as i32 + 1)];
            for (name, value) in inputs {
                let name = format!("{name}.{sequence}");
                let binding = program.bindings.iter().find(|binding| binding.name == name).unwrap();
                simulator.write_i32(&name, &vec![value; binding.elements as usize]).unwrap();
            }
        }
        let report = simulator.run("decode.320x3").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.cycles, report.cycles_predicted);
        for (sequence, expected) in expected.iter().enumerate() {
            let found = bits(&simulator.read_f32(&format!("logits.{sequence}")).unwrap());
            assert!(found == bits(&expected[position]), "sequence {sequence}, token {position}");
        }
    }
}

/// A residual stream of 32 words, for which one cable is slow: some come sooner through the chip that has nothing to
/// do. Where it would have, they do not; bits are the same.
fn hand_overs_pass_third_chips() {
    let chips = SystemSpec::preset("lockstep1:3").unwrap();
    let decoder = Decoder { layers: vec![(None, 0); 3], ..Decoder::llama(2560, 4, 2, 32) };
    let sources = Sources::seeded(decoder.graph(), 40, &[SourceType::Q4_0]);
    let model = sources.model();
    let weights = contract_weights(&model).unwrap();
    let tokens = [3, 49];
    let expected = contract::logits(&model.graph, &weights, &tokens).unwrap();
    let cycles = [Objective::Latency, Objective::Throughput].map(|objective| {
        let (name, split) = ("wide".into(), Split::Pipeline);
        let options = Options { name, contexts: vec![320], split, objective, ..Options::default() };
        let program = compile(&model.graph, &weights, &chips, &options).unwrap_or_else(|error| panic!("{error}"));
        let linked = link(&program);
        let mut sequence = Sequence::new(&linked);
        for (position, token) in tokens.iter().enumerate() {
            let found = sequence.decode("decode.320", *token, position);
            assert!(found == bits(&expected[position]), "{objective:?}: token {position}");
        }
        println!("{objective:?}: {} cycles, {} links", program.entries[0].cycles, program.links.len());
        (program.entries[0].cycles, program.links.len())
    });
    // From 0 to 1 and from 1 to 2; and from 0 through 2 to 1, and from 1 through 0 to 2.
    assert_eq!(cycles.map(|(_, links)| links), [5, 2]);
    assert!(cycles[0].0 < cycles[1].0, "{cycles:?}");
}

const TOKENS: [u32; 2] = [4093, 48_000];

/// The cycles are those of the table in docs/benchmarks.md.
fn check(system: &str, split: Split, cycles: u64) {
    assert_eq!(check_on(system, &SystemSpec::preset(system).unwrap(), split), cycles);
}

/// Chips 0 and 1 of each node have no link: others hand their vectors on, inside a node and from one to the next.
fn without_a_link() {
    for count in [8, 16] {
        let whole = SystemSpec::preset(&format!("lockstep1:{count}")).unwrap();
        let links = (0..count).step_by(8).map(|chip| (chip, 0)).collect();
        let rest = whole.without(&Outage { links, ..Outage::default() }).unwrap();
        let around = check_on("dead links", &rest, Split::Tensor);
        let whole = check_on("all links", &whole, Split::Tensor);
        assert!(around > whole, "{around} cycles, {whole} with all links");
    }
}

/// The cycles of a token.
fn check_on<'c>(what: &str, chips: impl Into<Chips<'c>>, split: Split) -> u64 {
    let file = model::bytes();
    let gguf = Gguf::parse(&file).unwrap();
    check_model(what, &from_gguf(&gguf).unwrap(), chips.into(), (split, 320), &TOKENS)
}

/// Many heads and positions of one chip: values that find no way out in the cycle in which they appear.
fn what_finds_no_way_is_computed_again() {
    let decoder = Decoder { feed_forward: 64, layers: vec![(None, 0)], ..Decoder::llama(1024, 32, 4, 128) };
    let sources = Sources::seeded(decoder.graph(), 23, &[SourceType::Q4_1]);
    let chips = SystemSpec::preset("lockstep1:4").unwrap();
    check_model("many positions", &sources.model(), (&chips).into(), (Split::Tensor, 4160), &[7, 49, 7]);
}

/// The cycles of a token of any model, in a context of so many positions.
fn check_model(
    what: &str,
    model: &Model<'_>,
    chips: Chips<'_>,
    (split, positions): (Split, usize),
    tokens: &[u32],
) -> u64 {
    let weights = contract_weights(model).unwrap();
    let options = Options { name: "model".into(), contexts: vec![positions], split, ..Options::default() };
    let start = std::time::Instant::now();
    let program = compile(&model.graph, &weights, chips, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("{what} {split:?}: {} cycles, compiled in {:?}", program.entries[0].cycles, start.elapsed());
    let linked = link(&program);
    let mut sequence = Sequence::new(&linked);
    let expected = on_the_host(model, tokens);
    for (position, token) in tokens.iter().enumerate() {
        let found = sequence.decode(&format!("decode.{positions}"), *token, position);
        assert!(found == bits(&expected[position]), "{what} {split:?}: token {position}");
    }
    program.entries[0].cycles
}
