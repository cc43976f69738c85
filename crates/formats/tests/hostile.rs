//! Damaged and hostile files end in an error that names the thing, never in a panic.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_formats::{Gguf, check_gguf, check_safetensors, safetensors};

fn text(out: &mut Vec<u8>, s: &str) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s.as_bytes());
}

/// A small file: one string array, one number, one Q4_0 tensor of 2 x 32.
fn gguf() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    text(&mut out, "tokens");
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    text(&mut out, "a");
    text(&mut out, "b");
    text(&mut out, "n");
    out.extend(4u32.to_le_bytes());
    out.extend(7u32.to_le_bytes());
    text(&mut out, "w");
    out.extend(2u32.to_le_bytes());
    out.extend(32u64.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    out.extend(2u32.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 36, 1);
    out
}

fn tensors_file() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}"#;
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend([0; 10]);
    out
}

#[test]
fn the_seeds_are_read() {
    let bytes = gguf();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(file.tensors[0].shape, [2, 32]);
    let bytes = tensors_file();
    let header = safetensors::Header::parse(&bytes).unwrap();
    assert_eq!(safetensors::parse(&bytes, &header).unwrap().len(), 2);
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = gguf();
    for length in 0..bytes.len() {
        assert!(Gguf::parse(&bytes[..length]).is_err(), "cut at {length}");
    }
    let bytes = tensors_file();
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        let read = safetensors::Header::parse(cut).and_then(|h| safetensors::parse(cut, &h).map(|t| t.len()));
        assert!(read.is_err(), "cut at {length}");
    }
}

#[test]
fn no_flipped_bit_or_huge_number_panics() {
    for (bytes, check) in [(gguf(), check_gguf as fn(&[u8])), (tensors_file(), check_safetensors)] {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutant = bytes.clone();
                mutant[at] ^= 1 << bit;
                check(&mutant);
            }
            for huge in [u64::MAX, 1 << 62, 1 << 32, 0] {
                let mut mutant = bytes.clone();
                let end = (at + 8).min(mutant.len());
                mutant[at..end].copy_from_slice(&huge.to_le_bytes()[..end - at]);
                check(&mutant);
            }
        }
    }
}

#[test]
fn messages_name_the_thing_and_the_remedy() {
    let mut bytes = gguf();
    bytes.truncate(bytes.len() - 1);
    let message = Gguf::parse(&bytes).unwrap_err().to_string();
    assert_eq!(
        message,
        "tensor w: needs 36 bytes, the file has 35 left: it is truncated or damaged, download it again"
    );
    assert!(Gguf::parse(b"GGML....").unwrap_err().to_string().contains("choose a .gguf file"));
    let index = br#"{"weight_map":{"a":"../../etc/passwd"}}"#;
    assert!(safetensors::index_files(index).unwrap_err().to_string().contains("not a plain name"));
}
