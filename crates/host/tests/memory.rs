//! A step allocates nothing: what it needs is there once the sequence is.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_formats::Gguf;
use lockstep_host::{Host, Item, Options, PackedWeights};
use lockstep_kernels::Kernels;
use lockstep_models::from_gguf;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

#[test]
fn a_step_allocates_nothing() {
    let bytes = std::fs::read("../models/tests/fixtures/gemma3/model.gguf").unwrap();
    let model = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let path = std::env::temp_dir().join(format!("lockstep-host-memory-{}", std::process::id()));
    for kernels in Kernels::all() {
        let weights = PackedWeights::open_or_pack(&path, &model, &|_, _| ()).unwrap();
        let options = Options { threads: 2, step_tokens: 40, kernels };
        let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
        let sequence = host.create_sequence(64).unwrap();
        let tokens: Vec<u32> = (1..40).collect();
        for tokens in [&tokens[..], &[7], &[8]] {
            let before = ALLOCATED.current_usage();
            ALLOCATED.reset_peak_usage();
            host.step(&[Item { sequence, tokens, logits: 1 }]).unwrap();
            assert_eq!(ALLOCATED.peak_usage(), before, "{} {} tokens", kernels.name(), tokens.len());
        }
    }
    std::fs::remove_file(path).unwrap();
}
