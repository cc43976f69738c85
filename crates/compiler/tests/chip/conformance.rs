//! One list of models with every operation and feature that a graph can have: in plain floats, by the contract, on the
//! host and on simulated chips.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use crate::common::chip::{check, link, program, tried};
use crate::common::decoder::Decoder;
use crate::common::random::Random;
use crate::common::sources::Sources;
use lockstep_arith::source::SourceType::{self, Iq4Nl, Q4_0, Q4_1, Q8_0};
use lockstep_formats::Gguf;
use lockstep_graph::{Graph, Op, RotaryPairs};
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::spec::MachineSpec;
use lockstep_models::{Model, from_gguf};
use lockstep_program::program::Image;

/// All of them.
pub const TESTS: &[(&str, fn())] = &[
    (
        "conformance::every_case_agrees_in_floats_contract_host_and_chip",
        every_case_agrees_in_floats_contract_host_and_chip,
    ),
    ("conformance::longer_contexts_go_on_where_shorter_ones_end", longer_contexts_go_on_where_shorter_ones_end),
    (
        "conformance::what_finds_no_far_slices_lies_near_and_behind_the_text",
        what_finds_no_far_slices_lies_near_and_behind_the_text,
    ),
    ("conformance::where_room_is_scarce_both_sides_are_filled_alike", where_room_is_scarce_both_sides_are_filled_alike),
    ("conformance::rows_of_accumulators_are_used_again", rows_of_accumulators_are_used_again),
    (
        "conformance::other_machines_give_the_same_bits_in_other_cycles",
        other_machines_give_the_same_bits_in_other_cycles,
    ),
    ("conformance::what_a_machine_lacks_is_named", what_a_machine_lacks_is_named),
    ("conformance::the_same_input_gives_the_same_program", the_same_input_gives_the_same_program),
    (
        "conformance::what_does_not_fit_is_told_with_tensors_bytes_and_levers",
        what_does_not_fit_is_told_with_tensors_bytes_and_levers,
    ),
];

/// A model to compile.
struct Case {
    name: &'static str,
    decoder: Decoder,
    types: Vec<SourceType>,
}

fn case(name: &'static str, decoder: Decoder, types: &[SourceType]) -> Case {
    Case { name, decoder, types: types.to_vec() }
}

fn cases() -> Vec<Case> {
    vec![
        case("llama", Decoder::llama(64, 4, 2, 32), &[Q4_1]),
        case("llama, hidden size not a multiple of 32", Decoder::llama(72, 2, 1, 32), &[Q4_0]),
        case("qwen2", Decoder::qwen2(576, 9, 3, 64), &[Q4_1, Q8_0]),
        case("qwen2, heads of 128", Decoder::qwen2(96, 4, 2, 128), &[Iq4Nl]),
        case("qwen3, 8 key heads of 64", Decoder { vocabulary: 700, ..Decoder::qwen3(128, 8, 8, 64) }, &[Q8_0]),
        case("qwen3, heads of 96", Decoder::qwen3(1600, 4, 2, 96), &[Q8_0, Q4_1, Iq4Nl]),
        case(
            "gemma3",
            Decoder {
                score_cap: Some(20.0),
                logit_cap: Some(30.0),
                output_bias: true,
                ..Decoder::gemma3(640, 4, 1, 256, 3)
            },
            &[Q8_0],
        ),
        case(
            "gemma3, small, untied",
            Decoder { tied: false, vocabulary: 400, ..Decoder::gemma3(100, 2, 1, 32, 2) },
            &[Q4_0, Q4_1],
        ),
        case("a large vocabulary", Decoder { vocabulary: 20_000, ..Decoder::llama(576, 2, 1, 64) }, &[Q4_1]),
        case("partial rotation", Decoder { rotary_size: 32, ..Decoder::qwen2(64, 2, 1, 64) }, &[Q4_1]),
        case("no rotation", Decoder { rotary_size: 0, ..Decoder::llama(64, 2, 2, 64) }, &[Q4_1]),
    ]
}

/// Tiny models as files of their families hold them (that of qwen2 has heads of 40, which chips cannot have).
const FILES: [&str; 6] = ["llama2", "llama3", "mistral", "smollm2", "qwen3", "gemma3"];

/// Names of operators, in each form that a case must have. A new operator breaks this match first, and then the test
/// until a case has it.
macro_rules! operators {
    ($($form:pat => $name:literal,)*) => {
        const OPERATORS: &[&str] = &[$($name),*];
        fn operator(op: &Op) -> &'static str {
            match op {
                $($form => $name),*
            }
        }
    };
}

operators! {
    Op::Embed { factor: None, .. } => "embed",
    Op::Embed { factor: Some(_), .. } => "embed with a factor",
    Op::MatMul { bias: None, .. } => "matmul",
    Op::MatMul { bias: Some(_), .. } => "matmul with bias",
    Op::RmsNorm { .. } => "rms_norm",
    Op::Rotary { .. } => "rotary",
    Op::Attention { window: None, soft_cap: None, .. } => "attention",
    Op::Attention { window: Some(_), soft_cap: None, .. } => "attention in a window",
    Op::Attention { window: None, soft_cap: Some(_), .. } => "attention with a soft-cap",
    Op::Attention { window: Some(_), soft_cap: Some(_), .. } => "attention in a window with a soft-cap",
    Op::Silu => "silu",
    Op::Gelu => "gelu",
    Op::SoftCap { .. } => "soft_cap",
    Op::Add => "add",
    Op::Mul => "mul",
}

/// What a graph adds to the operators that were seen.
fn see(graph: &Graph, seen: &mut BTreeSet<&'static str>) {
    seen.extend(graph.nodes.iter().map(|node| operator(&node.op)));
    seen.extend(graph.rotaries.iter().map(|rotary| match rotary.pairs {
        RotaryPairs::Halves => "halves",
        RotaryPairs::Adjacent => "adjacent",
    }));
}

fn every_case_agrees_in_floats_contract_host_and_chip() {
    let mut seen = BTreeSet::new();
    for (seed, Case { name, decoder, types }) in cases().into_iter().enumerate() {
        let sources = Sources::seeded(decoder.graph(), seed as u64, &types);
        case_agrees(name, &sources.model(), &mut seen);
    }
    for name in FILES {
        let path = Path::new("../models/tests/fixtures").join(name).join("model.gguf");
        let bytes = std::fs::read(path).unwrap();
        case_agrees(name, &from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap(), &mut seen);
    }
    let missing: Vec<_> =
        OPERATORS.iter().chain(&["halves", "adjacent"]).filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
}

fn case_agrees(name: &str, model: &Model<'_>, seen: &mut BTreeSet<&'static str>) {
    let start = Instant::now();
    println!("{name}");
    see(&model.graph, seen);
    // Rows of the embedding's both sides, the outermost ones among them.
    let last = model.config.vocab_size as u32 - 1;
    let tokens = [3, last, 0, last / 2, last - 5, last / 5 * 3, last / 5 * 3 + 1, last / 5 * 3 + 3];
    let cycles = check(model, &MachineSpec::preset("lockstep1").unwrap(), &[1], &tokens);
    println!("    {} cycles, {:?}", cycles[0], start.elapsed());
}

/// Tokens for so many positions.
fn tokens(count: usize, vocabulary: u64) -> Vec<u32> {
    let mut random = Random(1);
    (0..count).map(|_| random.below(vocabulary) as u32).collect()
}

/// One program with entries for one and more vectors of positions: the same bits on both sides of each border, with
/// windows that reach across it.
fn longer_contexts_go_on_where_shorter_ones_end() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let start = Instant::now();
    for (decoder, positions) in [
        (Decoder { feed_forward: 64, ..Decoder::gemma3(64, 4, 2, 64, 9) }, 330),
        (Decoder { feed_forward: 64, ..Decoder::gemma3(64, 2, 1, 32, 330) }, 650),
        (Decoder { feed_forward: 64, ..Decoder::llama(64, 4, 2, 32) }, 322),
    ] {
        let sources = Sources::seeded(decoder.graph(), 20, &[Q4_1]);
        let model = sources.model();
        let cycles = check(&model, &spec, &[320, 640, 960], &tokens(positions, 50));
        println!("{cycles:?} cycles, {:?}", start.elapsed());
        assert!(cycles.is_sorted_by(|shorter, longer| shorter < longer), "{cycles:?}");
    }
}

/// Few far slices: part of the cache lies among the values, and the rotary tables behind the text.
fn what_finds_no_far_slices_lies_near_and_behind_the_text() {
    let spec = machine(|s| (s.superlanes, s.mem.words_per_slice, s.instruction.text_first_slice) = (4, 1024, 20));
    let decoder = Decoder { feed_forward: 64, layers: vec![(None, 0); 16], ..Decoder::llama(32, 4, 2, 32) };
    let sources = Sources::seeded(decoder.graph(), 22, &[Q4_1]);
    let model = sources.model();
    let contexts = [64, 128, 256];
    let program = program(&model, &spec, &contexts);
    let count = |part: &str, side, slices: Range<u8>| {
        let here = |image: &&Image<'_>| image.first.hemisphere == side && slices.contains(&image.first.slice);
        program.images.iter().filter(|image| image.name.contains(part)).filter(here).count()
    };
    for side in [Hemisphere::West, Hemisphere::East] {
        assert!(count(".cache", side, 4..12) > 0 && count(".cache", side, 12..20) > 0, "{side:?}");
    }
    assert_eq!(count("rotary", Hemisphere::East, 42..44), 8);
    check(&model, &spec, &contexts, &tokens(150, 50));
}

/// Where one side would be too full for all layers, matrices fill both alike.
fn where_room_is_scarce_both_sides_are_filled_alike() {
    let decoder = Decoder { feed_forward: 64, layers: vec![(None, 0); 8], ..Decoder::llama(128, 4, 2, 32) };
    let sources = Sources::seeded(decoder.graph(), 23, &[Q4_1]);
    let model = sources.model();
    let spec =
        |words| machine(|s| (s.superlanes, s.mem.words_per_slice, s.instruction.text_first_slice) = (4, words, 20));
    let fuller = |words| {
        let program = program(&model, &spec(words), &[64]);
        let weights = |image: &&Image<'_>| image.name.starts_with("blk.") && (12..20).contains(&image.first.slice);
        let on = |side| {
            let images = program.images.iter().filter(weights).filter(|image| image.first.hemisphere == side);
            images.map(|image| image.vectors).sum::<u32>()
        };
        on(Hemisphere::West).max(on(Hemisphere::East))
    };
    let (plenty, scarce) = (fuller(1024), fuller(512));
    println!("{plenty} vectors on the fuller side, {scarce} where room is scarce");
    assert!(scarce < plenty);
    check(&model, &spec(512), &[64], &tokens(5, 50));
}

/// More sums at a time than planes have rows of accumulators: rows are used again.
fn rows_of_accumulators_are_used_again() {
    let mut spec = MachineSpec::preset("lockstep1").unwrap();
    spec.mxm.accumulator_rows = 16;
    let sources = Sources::seeded(Decoder::llama(64, 8, 2, 64).graph(), 21, &[Q4_1]);
    let model = sources.model();
    check(&model, &spec, &[640], &tokens(5, 50));
}

/// A machine that differs from the default one.
fn machine(change: impl Fn(&mut MachineSpec)) -> MachineSpec {
    let mut spec = MachineSpec::preset("lockstep1").unwrap();
    change(&mut spec);
    spec
}

fn other_machines_give_the_same_bits_in_other_cycles() {
    let machines = [
        ("the default", machine(|_| ())),
        ("slow vectors", machine(|s| (s.vxm.delay, s.vxm.divide_delay, s.vxm.exp32_delay) = (5, 17, 21))),
        ("slow memory", machine(|s| (s.mem.read_delay, s.mem.write_delay, s.mem.gather_delay) = (9, 4, 11))),
        ("few units", machine(|s| (s.vxm.alus, s.vxm.reduce_units, s.mxm.load_streams) = (2, 1, 8))),
        ("16 streams", machine(|s| (s.streams, s.mxm.load_streams) = (16, 8))),
        ("half the links", machine(|s| (s.c2c.links, s.vxm.reduce_units) = (s.c2c.links / 2, 2))),
        ("a slice for each register", machine(|s| s.mem.slices_per_register = 1)),
        ("10 superlanes", machine(|s| s.superlanes = 10)),
        ("16 superlanes", machine(|s| s.superlanes = 16)),
    ];
    let sources = Sources::seeded(Decoder::qwen3(96, 4, 2, 64).graph(), 30, &[Q4_1, Q8_0]);
    let model = sources.model();
    let mut all = Vec::new();
    for (name, spec) in machines {
        println!("{name}");
        let cycles = check(&model, &spec, &[1], &tokens(4, 50))[0];
        println!("    {cycles} cycles");
        all.push(cycles);
    }
    // Links have nothing to do on one chip.
    let differ = all[1..].iter().filter(|cycles| **cycles != all[0]).count();
    assert!(differ >= all.len() - 2, "{all:?}");
}

fn what_a_machine_lacks_is_named() {
    let sources = Sources::seeded(Decoder::llama(64, 4, 2, 32).graph(), 31, &[Q4_1]);
    let model = sources.model();
    for (spec, lacks) in [
        (machine(|s| s.streams = 8), "16 streams"),
        (machine(|s| s.vxm.alus = 1), "2 ALUs"),
        (machine(|s| s.mxm.block = false), "block matrix mode"),
        (machine(|s| s.vxm.reduce_units = 0), "lane reducers"),
    ] {
        let error = tried(&model, &spec, &[1]).unwrap_err().to_string();
        assert!(error.contains(lacks), "{error}");
    }
    let odd = Sources::seeded(Decoder { rotary_size: 0, ..Decoder::llama(64, 4, 2, 48) }.graph(), 1, &[Q4_1]);
    let error = tried(&odd.model(), &machine(|_| ()), &[1]).unwrap_err().to_string();
    assert_eq!(error, "head size: 48, expected a multiple of 32 up to 320");
}

fn the_same_input_gives_the_same_program() {
    let sources = Sources::seeded(Decoder::gemma3(100, 2, 1, 32, 2).graph(), 32, &[Q4_0]);
    let model = sources.model();
    let one = || program(&model, &machine(|_| ()), &[320, 640]);
    let program = one();
    assert!(program == one());
    link(&program);
}

fn what_does_not_fit_is_told_with_tensors_bytes_and_levers() {
    let sources = Sources::seeded(Decoder::llama(64, 4, 2, 32).graph(), 33, &[Q4_1]);
    let model = sources.model();
    // A chip of which little memory is left beside the text: too small for the model.
    let small = machine(|s| s.mem.words_per_slice = 128);
    let largest = "blk.0.ffn_gate.weight";
    let context = "use a shorter --context (each 320 positions take 0.8 MiB)";
    for (spec, context_length) in [(machine(|_| ()), 131_072), (small, 320)] {
        let error = tried(&model, &spec, &[context_length]).map(drop).unwrap_err().to_string();
        for part in [largest, context, "MiB on the chip", "a 4-bit format", "a smaller model"] {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    }
}
