//! Every operation and feature that the compiler knows, on the simulated chip: the contract's bits, in the predicted
//! cycles.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::time::Instant;

use std::sync::atomic::Ordering;

use common::chip::{CHECKED, check, program};
use common::decoder::{Decoder, weights};
use common::random::{IQ4, Q4_0, Q4_1, Random};
use lockstep_arith::matrix::Format;
use lockstep_compiler::{Options, compile};
use lockstep_machine::spec::MachineSpec;

/// A model to compile.
struct Case {
    name: &'static str,
    decoder: Decoder,
    formats: Vec<Format>,
}

fn case(name: &'static str, decoder: Decoder, formats: &[Format]) -> Case {
    Case { name, decoder, formats: formats.to_vec() }
}

fn cases() -> Vec<Case> {
    vec![
        case("llama", Decoder::llama(64, 4, 2, 32), &[Q4_1]),
        case("llama, hidden size not a multiple of 32", Decoder::llama(72, 2, 1, 32), &[Q4_0]),
        case("qwen2", Decoder::qwen2(576, 9, 3, 64), &[Q4_1, Format::Lb8]),
        case("qwen2, heads of 128", Decoder::qwen2(96, 4, 2, 128), &[IQ4]),
        case("qwen3, 8 key heads of 64", Decoder { vocabulary: 700, ..Decoder::qwen3(128, 8, 8, 64) }, &[Format::Lb8]),
        case("qwen3, heads of 96", Decoder::qwen3(1600, 4, 2, 96), &[Format::Lb8, Q4_1, IQ4]),
        case(
            "gemma3",
            Decoder {
                score_cap: Some(20.0),
                logit_cap: Some(30.0),
                output_bias: true,
                ..Decoder::gemma3(640, 4, 1, 256, 3)
            },
            &[Format::Lb8],
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

#[test]
fn every_case_has_the_contract_s_bits() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    for (seed, Case { name, decoder, formats }) in cases().into_iter().enumerate() {
        let start = Instant::now();
        let graph = decoder.graph();
        let weights = weights(&graph, seed as u64, &formats);
        println!("{name}");
        // Rows of the embedding's both sides, the outermost ones among them.
        let last = decoder.vocabulary as u32 - 1;
        let tokens = [3, last, 0, last / 2, last - 5, last / 5 * 3, last / 5 * 3 + 1, last / 5 * 3 + 3];
        let cycles = check(&graph, &weights, &spec, &[1], &tokens);
        println!("    {} cycles, {:?}", cycles[0], start.elapsed());
    }
}

/// Tokens for so many positions.
fn tokens(count: usize, vocabulary: u64) -> Vec<u32> {
    let mut random = Random(1);
    (0..count).map(|_| random.below(vocabulary) as u32).collect()
}

/// One program with entries for one and more vectors of positions: the same bits on both sides of each border, with
/// windows that reach across it.
#[test]
fn longer_contexts_go_on_where_shorter_ones_end() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let start = Instant::now();
    for (decoder, positions) in [
        (Decoder { feed_forward: 64, ..Decoder::gemma3(64, 4, 2, 64, 9) }, 330),
        (Decoder { feed_forward: 64, ..Decoder::gemma3(64, 2, 1, 32, 330) }, 650),
        (Decoder { feed_forward: 64, ..Decoder::llama(64, 4, 2, 32) }, 322),
    ] {
        let graph = decoder.graph();
        let weights = weights(&graph, 20, &[Q4_1]);
        let cycles = check(&graph, &weights, &spec, &[320, 640, 960], &tokens(positions, 50));
        println!("{cycles:?} cycles, {:?}", start.elapsed());
        assert!(cycles.is_sorted_by(|shorter, longer| shorter < longer), "{cycles:?}");
    }
}

/// More sums at a time than planes have rows of accumulators: rows are used again.
#[test]
fn rows_of_accumulators_are_used_again() {
    let mut spec = MachineSpec::preset("lockstep1").unwrap();
    spec.mxm.accumulator_rows = 16;
    let graph = Decoder::llama(64, 8, 2, 64).graph();
    let weights = weights(&graph, 21, &[Q4_1]);
    check(&graph, &weights, &spec, &[640], &tokens(5, 50));
}

/// A machine that differs from the default one.
fn machine(change: impl Fn(&mut MachineSpec)) -> MachineSpec {
    let mut spec = MachineSpec::preset("lockstep1").unwrap();
    change(&mut spec);
    spec
}

#[test]
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
    let graph = Decoder::qwen3(96, 4, 2, 64).graph();
    let weights = weights(&graph, 30, &[Q4_1, Format::Lb8]);
    let mut all = Vec::new();
    for (name, spec) in machines {
        println!("{name}");
        let cycles = check(&graph, &weights, &spec, &[1], &tokens(4, 50))[0];
        println!("    {cycles} cycles");
        all.push(cycles);
    }
    // Links have nothing to do on one chip.
    let differ = all[1..].iter().filter(|cycles| **cycles != all[0]).count();
    assert!(differ >= all.len() - 2, "{all:?}");
}

#[test]
fn what_a_machine_lacks_is_named() {
    let graph = Decoder::llama(64, 4, 2, 32).graph();
    let weights = weights(&graph, 31, &[Q4_1]);
    let options = Options { name: "model".into(), contexts: vec![1], ..Options::default() };
    for (spec, lacks) in [
        (machine(|s| s.streams = 8), "16 streams"),
        (machine(|s| s.vxm.alus = 1), "2 ALUs"),
        (machine(|s| s.mxm.block = false), "block matrix mode"),
        (machine(|s| s.vxm.reduce_units = 0), "lane reducers"),
    ] {
        let error = compile(&graph, &weights, &spec, &options).unwrap_err().to_string();
        assert!(error.contains(lacks), "{error}");
    }
    let odd = Decoder { rotary_size: 0, ..Decoder::llama(64, 4, 2, 48) }.graph();
    let error = compile(&odd, &self::weights(&odd, 1, &[Q4_1]), &machine(|_| ()), &options).unwrap_err().to_string();
    assert_eq!(error, "head size: 48, expected a multiple of 32 up to 320");
}

#[test]
fn the_same_input_gives_the_same_program() {
    let graph = Decoder::gemma3(100, 2, 1, 32, 2).graph();
    let weights = weights(&graph, 32, &[Q4_0]);
    let one = || program(&graph, &weights, &machine(|_| ()), &[320, 640]);
    assert!(one() == one());
    println!("{} programs were checked so far", CHECKED.load(Ordering::Relaxed));
}

#[test]
fn what_does_not_fit_is_told_with_tensors_bytes_and_levers() {
    let graph = Decoder::llama(64, 4, 2, 32).graph();
    let weights = weights(&graph, 33, &[Q4_1]);
    // A chip of which little memory is left beside the text: too small for the model.
    let small = machine(|s| s.mem.words_per_slice = 256);
    let largest = "blk.0.ffn_gate.weight";
    let context = "use a shorter --context (each 320 positions take 0.8 MiB)";
    for (spec, context_length) in [(machine(|_| ()), 8192), (small, 320)] {
        let options = Options { name: "model".into(), contexts: vec![context_length], ..Options::default() };
        let error = compile(&graph, &weights, &spec, &options).unwrap_err().to_string();
        for part in [largest, context, "MiB on the chip", "a 4-bit format", "a smaller model"] {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    }
}
