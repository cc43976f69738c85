//! The host against the contract interpretation of the graph, for equal bits, whatever the shape of the run.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_formats::Gguf;
use lockstep_graph::contract;
use lockstep_host::{Host, Item, Options, PackedWeights};
use lockstep_kernels::Kernels;
use lockstep_models::{from_gguf, weights::contract_weights};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("../models/tests/fixtures").join(name)).unwrap()
}

/// A cache file of this test alone, removed when dropped.
struct CacheFile(PathBuf);

impl CacheFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lockstep-host-test-{}-{}", std::process::id(), name.replace('/', "-"))))
    }
}

impl Drop for CacheFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|x| x.to_bits()).collect()
}

/// Logits of every token, fed in chunks, beside `others` further sequences.
fn run(host: &mut Host, tokens: &[u32], chunk: usize, others: usize) -> Vec<Vec<u32>> {
    let sequence = host.create_sequence(tokens.len()).unwrap();
    let companions: Vec<u32> = (0..others).map(|_| host.create_sequence(tokens.len()).unwrap()).collect();
    let mut rows = Vec::new();
    for part in tokens.chunks(chunk) {
        let reversed: Vec<u32> = part.iter().rev().copied().collect();
        let mut items: Vec<Item<'_>> =
            companions.iter().map(|&sequence| Item { sequence, tokens: &reversed, logits: 1 }).collect();
        items.push(Item { sequence, tokens: part, logits: part.len() });
        host.step(&items).unwrap();
        rows.extend((0..part.len()).map(|row| bits(host.logits(others, row).unwrap())));
    }
    for sequence in companions.into_iter().chain([sequence]) {
        host.release_sequence(sequence);
    }
    rows
}

#[test]
fn every_family_equals_the_contract() {
    for name in [
        "llama2/model.gguf",
        "llama3/model.gguf",
        "mistral/model.gguf",
        "smollm2/model.gguf",
        "smollm2/model-q8_0.gguf",
        "smollm2/model-q4_0.gguf",
        "qwen2/model.gguf",
        "qwen3/model.gguf",
        "gemma3/model.gguf",
    ] {
        let bytes = fixture(name);
        let gguf = Gguf::parse(&bytes).unwrap();
        let model = from_gguf(&gguf).unwrap();
        let tokens: Vec<u32> = (0..45).map(|i| (i * 37 + 11) % model.config.vocab_size as u32).collect();
        let want = contract::logits(&model.graph, &contract_weights(&model).unwrap(), &tokens).unwrap();
        let want: Vec<_> = want.iter().map(|row| bits(row)).collect();
        let cache = CacheFile::new(name);
        for kernels in Kernels::all() {
            for (threads, chunk, others) in [(1, 45, 0), (2, 1, 0), (3, 7, 0), (2, 16, 2), (1, 1, 3)] {
                let weights = PackedWeights::open_or_pack(&cache.0, &model, &|_, _| ()).unwrap();
                let options = Options { threads, step_tokens: 64, kernels };
                let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
                let found = run(&mut host, &tokens, chunk, others);
                assert!(found == want, "{name}: {} threads {threads} chunk {chunk} others {others}", kernels.name());
            }
        }
    }
}

#[test]
fn truncating_a_sequence_forgets_only_its_end() {
    let bytes = fixture("smollm2/model.gguf");
    let model = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let cache = CacheFile::new("truncate");
    let weights = PackedWeights::open_or_pack(&cache.0, &model, &|_, _| ()).unwrap();
    let options = Options { threads: 2, step_tokens: 64, kernels: Kernels::detect() };
    let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
    let want = run(&mut host, &[1, 2, 3, 4, 5], 5, 0);
    let sequence = host.create_sequence(16).unwrap();
    host.step(&[Item { sequence, tokens: &[1, 2, 3, 9, 9, 9], logits: 1 }]).unwrap();
    host.truncate_sequence(sequence, 3);
    host.step(&[Item { sequence, tokens: &[4, 5], logits: 2 }]).unwrap();
    assert_eq!(bits(host.logits(0, 1).unwrap()), want[4]);
}

#[test]
fn a_copied_prefix_goes_on_as_the_original() {
    for name in ["smollm2/model.gguf", "gemma3/model.gguf"] {
        let bytes = fixture(name);
        let model = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
        let cache = CacheFile::new(&format!("copy-{name}"));
        let weights = PackedWeights::open_or_pack(&cache.0, &model, &|_, _| ()).unwrap();
        let options = Options { threads: 2, step_tokens: 64, kernels: Kernels::detect() };
        let mut host = Host::new(model.graph.clone(), weights, options).unwrap();
        let tokens: Vec<u32> = (0..40).map(|at| (at * 37 + 11) % model.config.vocab_size as u32).collect();
        let want = run(&mut host, &tokens, 40, 0);
        let original = host.create_sequence(40).unwrap();
        host.step(&[Item { sequence: original, tokens: &tokens[..35], logits: 1 }]).unwrap();
        // Shorter than a tile, a tile, across tiles, all of it; with other room than the original has.
        for (length, capacity) in [(1, 40), (7, 64), (16, 40), (17, 200), (35, 40)] {
            let copy = host.copy_prefix(original, length, capacity).unwrap().unwrap();
            // Writing into the copy changes nothing of the original, and the other way round.
            let items = [
                Item { sequence: original, tokens: &[9, 9, 9], logits: 1 },
                Item { sequence: copy, tokens: &tokens[length..], logits: 40 - length },
            ];
            host.step(&items).unwrap();
            for (row, want) in want[length..].iter().enumerate() {
                assert!(bits(host.logits(1, row).unwrap()) == *want, "{name}: {length} copied, row {row}");
            }
            host.release_sequence(copy);
            host.truncate_sequence(original, 35);
            assert!(host.copy_prefix(original, 36, 40).is_err() && host.copy_prefix(99, 1, 40).is_err());
        }
        host.step(&[Item { sequence: original, tokens: &tokens[35..], logits: 5 }]).unwrap();
        assert!(bits(host.logits(0, 4).unwrap()) == want[39]);
        assert!(host.sequence_bytes(40) > host.sequence_bytes(16) && host.sequence_bytes(0) == 0);
    }
}

#[test]
fn a_damaged_cache_file_is_packed_again() {
    let bytes = fixture("smollm2/model.gguf");
    let model = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let cache = CacheFile::new("damaged");
    std::fs::write(&cache.0, b"LSPACK01 and then nothing").unwrap();
    PackedWeights::open_or_pack(&cache.0, &model, &|_, _| ()).unwrap();
    assert!(std::fs::metadata(&cache.0).unwrap().len() > 1000);
}
