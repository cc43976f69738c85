//! Hostile files never make the readers take more memory than a small multiple of what is in the file.
//!
//! One test only: the allocator counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{inner_list, safetensors_of};
use lockstep_formats::gguf::Writer;
use lockstep_formats::safetensors::{Header, index_files, parse};
use lockstep_formats::{check_gguf, hf};
use peak_alloc::PeakAlloc;
use std::fmt::Write as _;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What may be taken beside the file, whatever its size.
const BASE: usize = 32 << 10;

/// Bytes that `run` had taken at its worst moment.
fn peak(run: impl FnOnce()) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    run();
    ALLOCATOR.peak_usage() - before
}

/// Runs `check` and compares its peak with `multiple` bytes for one of the file.
fn bounded(name: &str, bytes: &[u8], check: fn(&[u8]), multiple: usize) {
    let taken = peak(|| check(bytes));
    let allowed = BASE + multiple * bytes.len();
    assert!(taken <= allowed, "{name}: took {taken} bytes for a file of {}, allowed {allowed}", bytes.len());
}

fn many(count: usize, mut each: impl FnMut(&mut String, usize)) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        if index > 0 {
            text.push(',');
        }
        each(&mut text, index);
        text
    })
}

fn gguf_files() -> Vec<(&'static str, Vec<u8>)> {
    let huge = [u64::MAX, 1 << 40, 1 << 32, 1 << 24, 60_000];
    let mut files = vec![("every kind", common::gguf())];
    for count in huge {
        let mut header = Writer::new(3).finish();
        header[8..16].copy_from_slice(&count.to_le_bytes());
        files.push(("tensor count", header.clone()));
        header[16..24].copy_from_slice(&count.to_le_bytes());
        files.push(("key count", header));
        files.push(("text length", Writer::new(3).raw("k", 8, &count.to_le_bytes()).finish()));
        files.extend((0..13).map(|kind| ("list count", Writer::new(3).array("k", kind, count, &[0; 100]).finish())));
        files.push(("extents", Writer::new(3).raw_tensor("t", 0, &[count; 4], 0).finish()));
        files.push(("offset", Writer::new(3).raw_tensor("t", 0, &[1], count).finish()));
    }
    let texts = vec![""; 250_000];
    files.push(("vocabulary", Writer::new(3).strings("tokens", &texts).finish()));
    let lists = inner_list(&[]).repeat(100_000);
    files.push(("lists", Writer::new(3).array("k", 9, 100_000, &lists).finish()));
    let keys = (0..66_000).fold(Writer::new(3), |writer, key| writer.raw(&format!("{key:x}"), 0, &[0]));
    files.push(("keys", keys.finish()));
    let keys = (0..65_000).fold(Writer::new(3), |writer, key| writer.raw(&format!("{key:x}"), 0, &[0]));
    let bytes = keys.finish();
    files.push(("keys, cut", bytes[..bytes.len() - 1].to_vec()));
    let tensor = |writer: Writer, index: usize| writer.raw_tensor(&format!("{index:x}"), 0, &[1], 0);
    files.push(("tensors", (0..65_000).fold(Writer::new(3), tensor).finish()));
    files.push(("a long name", Writer::new(3).raw_tensor(&"\n".repeat(1 << 20), 99, &[1], 0).finish()));
    files
}

fn safetensors_files() -> Vec<(&'static str, Vec<u8>)> {
    let tensors = many(50_000, |text, index| {
        let (start, end) = (index * 2, index * 2 + 2);
        write!(text, r#""{index:x}":{{"dtype":"F16","shape":[],"data_offsets":[{start},{end}]}}"#).unwrap();
    });
    vec![
        ("every kind", common::safetensors()),
        ("tensors", safetensors_of(&format!("{{{tensors}}}"), 100_000)),
        ("shape", safetensors_of(&format!(r#"{{"t":{{"shape":[{}]}}}}"#, many(500_000, |text, _| text.push('1'))), 0)),
        (
            "metadata",
            safetensors_of(&format!(r#"{{"__metadata__":[{}]}}"#, many(500_000, |text, _| text.push('1'))), 0),
        ),
        ("long name", safetensors_of(&format!(r#"{{"{}":1}}"#, "\\n".repeat(500_000)), 0)),
        ("length", u64::MAX.to_le_bytes().repeat(4)),
        ("length", [&99_999_999u64.to_le_bytes()[..], b"{}"].concat()),
    ]
}

fn read_safetensors(bytes: &[u8]) {
    if let Ok(header) = Header::parse(bytes) {
        assert!(parse(bytes, &header).is_ok());
    }
}

fn read_config(bytes: &[u8]) {
    drop(hf::parse_config("config.json", bytes));
}

#[test]
fn memory_stays_within_a_multiple_of_the_file() {
    assert!(peak(|| drop(std::hint::black_box(vec![1u8; 1 << 20]))) >= 1 << 20, "the allocator does not count");
    for (name, bytes) in gguf_files() {
        bounded(name, &bytes, check_gguf, 12);
    }
    for (name, bytes) in safetensors_files() {
        bounded(name, &bytes, read_safetensors, 8);
    }
    let weight_map = many(50_000, |text, index| write!(text, r#""{index:x}":"{index:x}""#).unwrap());
    let index = format!(r#"{{"weight_map":{{{weight_map}}}}}"#);
    bounded("index", index.as_bytes(), |bytes| drop(index_files(bytes)), 6);
    // A configuration becomes a tree of values; the bound on the file bounds it.
    for element in ["1", "[1]", "[[[1]]]", "{}", r#"{"":1}"#, "\"\"", r#"{"":1,"a":1,"b":1,"c":1,"d":1}"#] {
        let list = many(250_000 / (element.len() + 1), |text, _| text.push_str(element));
        bounded(element, format!(r#"{{"a":[{list}]}}"#).as_bytes(), read_config, 128);
    }
    let map = many(20_000, |text, index| write!(text, r#""{index:x}":1"#).unwrap());
    bounded("configuration", format!("{{{map}}}").as_bytes(), read_config, 128);
    bounded("too long a configuration", format!("{{{map},{map}}}").as_bytes(), read_config, 1);
}
