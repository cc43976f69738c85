//! Good files, broken at random and by rule: no panic, one-line errors, views inside the file (see `check`).
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::Random;
use lockstep_formats::{Gguf, check_gguf, check_safetensors, safetensors};
use std::path::Path;

type Check = fn(&[u8]);

/// Numbers that break careless arithmetic, as counts, lengths, offsets and types.
const HOSTILE: [u64; 10] = [0, 1, 9, 1 << 16, 1 << 31, u32::MAX as u64, 1 << 32, 1 << 61, i64::MAX as u64, u64::MAX];

fn seeds() -> Vec<(Vec<u8>, Check)> {
    vec![
        (common::gguf(), check_gguf),
        (common::safetensors(), check_safetensors),
        (common::INDEX.into(), check_safetensors),
        (common::CONFIG.into(), check_safetensors),
    ]
}

/// Files that transformers and llama.cpp's tools wrote for the models crate.
fn real_files() -> Vec<(Vec<u8>, Check)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/smollm2");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    vec![
        (read("model-q4_0.gguf"), check_gguf),
        (read("model-00002-of-00002.safetensors"), check_safetensors),
        (read("model.safetensors.index.json"), check_safetensors),
        (read("config.json"), check_safetensors),
    ]
}

fn put(bytes: &mut [u8], at: usize, number: u64, width: usize) {
    let end = (at + width).min(bytes.len());
    bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
}

/// One to four random changes.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        // Most of a real file is weights: aim at its beginning, where the structure is.
        let reach = if random.below(4) == 0 { bytes.len() } else { bytes.len().min(4096) };
        if reach == 0 {
            return;
        }
        let at = random.below(reach);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => put(bytes, at, HOSTILE[random.below(HOSTILE.len())], if random.below(2) == 0 { 4 } else { 8 }),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..(at + 1 + random.below(16)).min(reach))),
            _ => {
                let end = (at + 1 + random.below(64)).min(reach);
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = common::gguf();
    assert!(Gguf::parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Gguf::parse(&bytes[..length]).is_err(), "cut at {length}");
        check_gguf(&bytes[..length]);
    }
    let bytes = common::safetensors();
    assert!(safetensors::Header::parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(safetensors::Header::parse(&bytes[..length]).is_err(), "cut at {length}");
        check_safetensors(&bytes[..length]);
    }
    for json in [common::INDEX, common::CONFIG] {
        (0..json.len()).for_each(|length| check_safetensors(&json.as_bytes()[..length]));
    }
}

#[test]
fn every_flipped_bit_and_hostile_number_is_survived() {
    for (bytes, check) in seeds() {
        for at in 0..bytes.len().min(2500) {
            for bit in 0..8 {
                let mut mutant = bytes.clone();
                mutant[at] ^= 1 << bit;
                check(&mutant);
            }
            for (number, width) in HOSTILE.iter().flat_map(|&number| [(number, 4), (number, 8)]) {
                let mut mutant = bytes.clone();
                put(&mut mutant, at, number, width);
                check(&mutant);
            }
        }
    }
}

#[test]
fn random_mutants_are_survived() {
    for (index, (bytes, check)) in seeds().into_iter().enumerate() {
        let mut random = Random(index as u64);
        for _ in 0..20_000 {
            let mut mutant = bytes.clone();
            mutate(&mut mutant, &mut random);
            check(&mutant);
        }
    }
}

#[test]
fn mutants_of_real_files_are_survived() {
    for (index, (bytes, check)) in real_files().into_iter().enumerate() {
        check(&bytes);
        let mut random = Random(100 + index as u64);
        for _ in 0..1000 {
            let mut mutant = bytes.clone();
            mutate(&mut mutant, &mut random);
            check(&mutant);
        }
    }
}

/// `check` must see mutants that are read, or it would never look at a tensor.
#[test]
fn some_mutants_are_still_read() {
    let (bytes, mut random) = (common::gguf(), Random(5));
    let read = (0..1000).filter(|_| {
        let mut mutant = bytes.clone();
        mutate(&mut mutant, &mut random);
        Gguf::parse(&mutant).is_ok()
    });
    assert!((100..900).contains(&read.count()));
}
