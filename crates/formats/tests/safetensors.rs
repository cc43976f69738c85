//! safetensors, its index and the configuration files: what is read, and how hostile files are refused.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{safetensors, safetensors_of};
use lockstep_arith::source::SourceType;
use lockstep_formats::hf::parse_config;
use lockstep_formats::safetensors::{Header, index_files, parse};

const DAMAGED: &str = "the file is damaged, download it again";

fn error(header: &str, data_bytes: usize) -> String {
    Header::parse(&safetensors_of(header, data_bytes)).unwrap_err().to_string()
}

#[test]
fn tensors_are_read() {
    let bytes = safetensors();
    let header = Header::parse(&bytes).unwrap();
    let tensors = parse(&bytes, &header).unwrap();
    let read: Vec<_> = tensors.iter().map(|t| (t.name, t.ty, &t.shape[..], t.data.len())).collect();
    let expected: [(_, _, &[usize], _); 3] = [
        ("a", SourceType::F32, &[2, 3], 24),
        ("b", SourceType::Bf16, &[], 2),
        ("café", SourceType::F16, &[1, 1, 2], 4),
    ];
    assert_eq!(read, expected);
    assert_eq!((tensors[1].rows(), tensors[1].cols()), (1, 1));
}

#[test]
fn a_header_of_other_bytes_is_no_harm() {
    let bytes = safetensors();
    let header = Header::parse(&bytes).unwrap();
    assert!(parse(&bytes[..bytes.len() - 1], &header).is_err());
    assert!(parse(&[], &header).is_err());
}

#[test]
fn entries_are_checked() {
    let one = |dtype: &str, shape: &str, offsets: &str, data_bytes| {
        let header = format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
        error(&header, data_bytes)
    };
    assert_eq!(
        one("I64", "[1]", "[0,8]", 8),
        "tensor t: type I64 is not supported: choose a file in one of F32, F16, BF16"
    );
    assert_eq!(one("F32", "[2]", "[0,4]", 4), format!("tensor t: 4 bytes, but its shape needs 8: {DAMAGED}"));
    let max = u64::MAX;
    assert_eq!(
        one("F32", &format!("[{max},{max}]"), "[0,4]", 4),
        format!("tensor t: shape [{max}, {max}] overflows: {DAMAGED}")
    );
    assert!(one("F32", "[1,0]", "[0,0]", 0).starts_with("tensor t: an extent is zero"));
    assert!(one("F32", "[1]", "[8,4]", 8).starts_with("tensor t: data_offsets 8 and 4 are not a start and an end"));
    assert!(one("F32", "[1]", "[4,8]", 8).starts_with("tensor t: begins at byte 4 of the data, expected 0"));
    assert_eq!(
        one("F32", "[2]", "[0,8]", 7),
        "tensor t: needs 8 bytes, the file has 7 left: it is truncated or damaged, download it again"
    );
    assert!(one("F32", "[1]", "[0,4]", 5).starts_with("safetensors data: 5 bytes, but the tensors take 4"));
    assert!(
        one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]", 4)
            .contains("tensor t: invalid length 9, expected a list of at most 8")
    );
    for (shape, offsets) in [("[-1]", "[0,4]"), ("[1.5]", "[0,4]"), ("\"1\"", "[0,4]"), ("[1]", "[0]"), ("[1]", "null")]
    {
        let message = one("F32", shape, offsets, 4);
        assert!(
            message.starts_with("safetensors header: tensor t: invalid ") && message.ends_with(DAMAGED),
            "{message}"
        );
    }
    assert!(error(r#"{"t":{"dtype":"F32","shape":[1]}}"#, 4).contains("tensor t: missing field `data_offsets`"));
}

#[test]
fn tensors_must_fill_the_data_once() {
    let two = |first: &str, second: &str, data_bytes| {
        let entry = |offsets: &str| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
        error(&format!(r#"{{"a":{},"b":{}}}"#, entry(first), entry(second)), data_bytes)
    };
    assert_eq!(two("[0,4]", "[2,6]", 6), format!("tensor b: its data overlaps that of a: {DAMAGED}"));
    assert!(two("[8,12]", "[0,4]", 12).starts_with("tensor a: begins at byte 8 of the data, expected 4"));
    let twice = r#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"a":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}}"#;
    assert_eq!(error(twice, 4), format!("tensor a: occurs twice: {DAMAGED}"));
}

#[test]
fn headers_are_bounded() {
    let length = |length: u64| Header::parse(&[&length.to_le_bytes()[..], b"{}"].concat()).unwrap_err().to_string();
    let remedy = "bytes is not a safetensors file: choose a .gguf file or a safetensors folder";
    assert_eq!(length(u64::MAX), format!("a header of 18446744073709551615 {remedy}"));
    assert!(length(3).starts_with("safetensors header: needs 3 bytes, the file has 2 left: "));
    assert!(Header::parse(b"1234567").unwrap_err().to_string().starts_with("safetensors header: needs 8 bytes"));
    assert!(error("[]", 0).starts_with("safetensors header: invalid type: sequence, expected a map of tensors"));
    assert!(error("{}{}", 0).starts_with("safetensors header: trailing characters"));
    let deep = format!(r#"{{"__metadata__":{}"#, "[".repeat(10_000));
    assert!(error(&deep, 0).starts_with("safetensors header: EOF while parsing a list"));
    let long = format!(r#"{{"{}":{{"dtype":"\u0007","shape":[],"data_offsets":[0,0]}}}}"#, "\\n".repeat(1000));
    let message = error(&long, 0);
    assert!(message.starts_with("tensor \\n\\n") && message.contains("...: type \\u{7} is not"), "{message}");
}

#[test]
fn the_index_names_files_in_its_folder() {
    let files = index_files(common::INDEX.as_bytes()).unwrap();
    assert_eq!(files, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    let long = "x".repeat(256);
    for name in ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\\\b", "C:a", ".hidden", "a\\u0000b", &long] {
        let message = index_files(format!(r#"{{"weight_map":{{"t":"{name}"}}}}"#).as_bytes()).unwrap_err().to_string();
        let start = "model.safetensors.index.json: the file of t is not a plain name (";
        assert!(message.starts_with(start) && message.ends_with(DAMAGED), "{message}");
    }
    let problem = |json: &str| index_files(json.as_bytes()).unwrap_err().to_string();
    assert!(problem("{}").contains("missing field `weight_map`"));
    assert!(problem(r#"{"weight_map":{}}"#).contains("weight_map names no files"));
    assert!(problem(r#"{"weight_map":[]}"#).contains("expected a map from tensors to files"));
    assert!(problem(r#"{"weight_map":{"t":1}}"#).contains("invalid type: integer"));
}

#[test]
fn configurations_are_bounded_objects() {
    let config = parse_config("config.json", common::CONFIG.as_bytes()).unwrap();
    assert_eq!(config["eos_token_id"][1], 2);
    let problem = |json: &str| parse_config("config.json", json.as_bytes()).unwrap_err().to_string();
    assert_eq!(problem("[]"), format!("config.json: not a JSON object: {DAMAGED}"));
    assert!(problem(r#"{"a":"#).starts_with("config.json: EOF while parsing a value at line 1 column 5"));
    assert!(problem(&format!(r#"{{"a":{}"#, "[".repeat(10_000))).contains("recursion limit exceeded"));
    assert!(problem(&" ".repeat((256 << 10) + 1)).contains("262145 bytes, expected at most 262144"));
}
