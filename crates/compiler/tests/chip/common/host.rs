//! The CPU host, which the chip is compared with.

use std::sync::atomic::{AtomicUsize, Ordering};

use lockstep_host::{Host, Item, Options, PackedWeights};
use lockstep_kernels::Kernels;
use lockstep_models::Model;

/// What the host makes of tokens: the logits behind each.
pub fn on_the_host(model: &Model<'_>, tokens: &[u32]) -> Vec<Vec<f32>> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let cache = std::env::temp_dir().join(format!("lockstep-compiler-{}-{run}.packed", std::process::id()));
    let weights = PackedWeights::open_or_pack(&cache, model, &|_, _| ()).unwrap();
    let options = Options { threads: 2, step_tokens: tokens.len(), kernels: Kernels::detect() };
    let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
    let sequence = host.create_sequence(tokens.len()).unwrap();
    host.step(&[Item { sequence, tokens, logits: tokens.len() }]).unwrap();
    std::fs::remove_file(cache).unwrap();
    (0..tokens.len()).map(|row| host.logits(0, row).unwrap().to_vec()).collect()
}
