//! Prefill of the default model: many tokens in one step, with the host's bits.

use std::time::Instant;

use crate::common::chip::link;
use crate::common::host::on_the_host;
use crate::common::model;
use lockstep_compiler::{Options, compile};
use lockstep_formats::Gguf;
use lockstep_kernels::Kernels;
use lockstep_machine::spec::MachineSpec;
use lockstep_models::from_gguf;
use lockstep_models::weights::contract_weights;
use lockstep_simulator::Simulator;

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
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    let tokens: Vec<u32> = (0..151).map(|at| (at * 7919 + 11) % 49_152).collect();
    let expected = on_the_host(&model, &tokens);
    let lanes = spec.lanes() as usize;
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for name in ["token", "position", "length"] {
        simulator.write_i32(name, &vec![0; lanes]).unwrap();
    }
    let mut done = 0;
    for chunk in [20, 128, 1] {
        let last = done + chunk - 1;
        let rows: Vec<usize> = (0..BATCH as usize).map(|row| (done + row).min(last)).collect();
        let broadcast =
            |of: &dyn Fn(usize) -> i32| -> Vec<i32> { rows.iter().flat_map(|row| vec![of(*row); lanes]).collect() };
        simulator.write_i32("tokens", &broadcast(&|row| tokens[row] as i32)).unwrap();
        simulator.write_i32("positions", &broadcast(&|row| row as i32)).unwrap();
        let start = Instant::now();
        let report = simulator.run("prefill.320").unwrap_or_else(|error| panic!("{error}"));
        println!("prefill in {:?}, {} cycles", start.elapsed(), report.cycles);
        assert_eq!(report.cycles, report.cycles_predicted);
        assert!(
            bits(&simulator.read_f32("logits").unwrap()) == bits(&expected[last]),
            "chunk of {chunk} behind {done}"
        );
        done += chunk;
    }
    for (position, expected) in expected.iter().enumerate().skip(done) {
        for (name, value) in
            [("token", tokens[position] as i32), ("position", position as i32), ("length", position as i32 + 1)]
        {
            simulator.write_i32(name, &vec![value; lanes]).unwrap();
        }
        simulator.run("decode.320").unwrap_or_else(|error| panic!("{error}"));
        assert!(bits(&simulator.read_f32("logits").unwrap()) == bits(expected), "token {position}");
    }
}
