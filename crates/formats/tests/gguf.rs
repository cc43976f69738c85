//! GGUF: what is read, and how hostile files are refused. Messages name the thing and the remedy.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::inner_list;
use lockstep_arith::source::SourceType;
use lockstep_formats::gguf::Writer;
use lockstep_formats::{Gguf, Value};

const DAMAGED: &str = "the file is damaged, download it again";

fn error(bytes: &[u8]) -> String {
    Gguf::parse(bytes).unwrap_err().to_string()
}

#[test]
fn values_and_tensors_are_read() {
    let bytes = common::gguf();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(file.string("general.architecture").unwrap(), Some("llama"));
    assert_eq!(file.unsigned("unsigned").unwrap(), Some(7));
    assert_eq!(file.unsigned("small").unwrap(), Some(9));
    assert_eq!(file.get("signed"), Some(&Value::Signed(-7)));
    assert_eq!(file.float("float").unwrap(), Some(0.5));
    assert_eq!(file.bool("flag").unwrap(), Some(true));
    assert_eq!(file.bool("absent").unwrap(), None);
    let list = |key: &str| file.array(key).unwrap().unwrap().iter().collect::<Vec<_>>();
    assert_eq!(list("tokens"), ["a", "b", "a longer one", "日本"].map(Value::String));
    assert_eq!(list("scores"), [0.0, -1.0, -2.5].map(Value::Float));
    assert_eq!(list("kinds"), [1, 1, 6].map(Value::Signed));
    assert_eq!(list("flags"), [false, true, true].map(Value::Bool));
    let lists = list("lists");
    let [Value::Array(first), Value::Array(second)] = &lists[..] else { panic!("{lists:?}") };
    assert_eq!(first.iter().collect::<Vec<_>>(), [1, 2].map(Value::Unsigned));
    assert!(second.is_empty());
    let keys: Vec<_> = file.metadata().iter().map(|(key, _)| *key).collect();
    assert_eq!(keys[..3], ["general.architecture", "unsigned", "signed"]);
    for (tensor, ty) in file.tensors.iter().zip(SourceType::ALL) {
        assert_eq!((tensor.name, tensor.ty, tensor.rows(), tensor.cols()), (ty.name(), ty, 2, ty.block_weights()));
        assert!(tensor.data.len() == 2 * ty.block_bytes() && tensor.data.iter().all(|&byte| byte == 1));
    }
    assert_eq!(file.tensors.len(), SourceType::ALL.len());
}

#[test]
fn a_copy_of_all_values_is_the_same() {
    let bytes = common::gguf();
    let file = Gguf::parse(&bytes).unwrap();
    let copy = file.metadata().iter().fold(Writer::new(2), |writer, (key, value)| writer.value(key, value));
    let copy = file.tensors.iter().fold(copy, |writer, t| writer.tensor(t.name, t.ty, &t.shape, t.data)).finish();
    let copy = Gguf::parse(&copy).unwrap();
    assert_eq!((copy.version, copy.metadata(), &copy.tensors), (2, file.metadata(), &file.tensors));
}

#[test]
fn the_stated_alignment_is_used() {
    let file = |alignment: u32| {
        let writer = Writer::new(3).alignment(alignment);
        writer.tensor("a", SourceType::F32, &[1], &[1; 4]).tensor("b", SourceType::F32, &[1], &[2; 4]).finish()
    };
    for alignment in [1, 64, 256] {
        let bytes = file(alignment);
        let file = Gguf::parse(&bytes).unwrap();
        assert_eq!((file.tensors[0].data, file.tensors[1].data), (&[1; 4][..], &[2; 4][..]), "{alignment}");
    }
    assert_eq!(error(&file(48)), format!("general.alignment: 48, expected a power of two up to 1048576: {DAMAGED}"));
    let zero = Writer::new(3).value("general.alignment", &Value::Unsigned(0)).finish();
    assert!(error(&zero).starts_with("general.alignment: 0, expected a power of two"));
    let text = Writer::new(3).value("general.alignment", &Value::String("32")).finish();
    let expected = "general.alignment: found a text of 2 bytes, expected a whole number of at least 0: ";
    assert_eq!(error(&text), format!("{expected}{DAMAGED} or choose another"));
}

#[test]
fn other_formats_and_versions_are_told_apart() {
    assert_eq!(error(b"PK\x03\x04...."), "not a GGUF file: choose a .gguf file or a safetensors folder");
    let version = |version: u32| error(&Writer::new(version).finish());
    let remedy = "is not read: convert the model to little-endian GGUF version 3";
    assert_eq!(version(1), format!("GGUF version 1 {remedy}"));
    assert_eq!(version(0), format!("GGUF version 0 {remedy}"));
    assert_eq!(version(3u32.swap_bytes()), format!("big-endian GGUF {remedy}"));
    let split = |count: u16| Writer::new(3).raw("split.count", 2, &count.to_le_bytes()).finish();
    let message = "one part of a file split in 4: merge them first, or choose an unsplit file";
    assert_eq!(error(&split(4)), message);
    assert!(Gguf::parse(&split(1)).is_ok());
}

#[test]
fn counts_beyond_the_file_are_refused() {
    let mut bytes = Writer::new(3).finish();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(error(&bytes).starts_with("metadata count: 18446744073709551615 keys, expected at most 65536: "));
    let mut bytes = Writer::new(3).finish();
    bytes[8..16].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(error(&bytes).starts_with("tensor count: 1099511627776 tensors, expected at most 65536: "));
    for kind in 0..=12 {
        let list = Writer::new(3).array("k", kind, u64::MAX, &[0; 64]).finish();
        assert!(error(&list).starts_with("metadata key k: needs 18446744073709551615 bytes, the file has "), "{kind}");
    }
    let long = Writer::new(3).raw("k", 8, &u64::MAX.to_le_bytes()).finish();
    assert!(error(&long).starts_with("metadata key k: needs 18446744073709551615 bytes, the file has "));
}

#[test]
fn lists_in_lists_end_somewhere() {
    let nested = |levels: usize| {
        let list = (1..levels)
            .fold(inner_list(&[5]), |inner, _| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes(), &inner].concat());
        Writer::new(3).raw("k", 9, &list).finish()
    };
    assert!(Gguf::parse(&nested(4)).is_ok());
    for levels in [5, 1000] {
        assert_eq!(error(&nested(levels)), format!("metadata key k: lists are nested too deeply: {DAMAGED}"));
    }
}

#[test]
fn impossible_values_are_refused() {
    let raw = |kind, bytes: &[u8]| error(&Writer::new(3).raw("k", kind, bytes).finish());
    assert_eq!(raw(13, &[]), format!("metadata key k: value type 13 does not exist: {DAMAGED}"));
    assert_eq!(raw(7, &[2]), format!("metadata key k: 2 is neither true nor false: {DAMAGED}"));
    let text = [&1u64.to_le_bytes()[..], &[0xFF]].concat();
    assert_eq!(raw(8, &text), format!("metadata key k: text that is not UTF-8: {DAMAGED}"));
    let list = error(&Writer::new(3).array("k", 13, 0, &[]).finish());
    assert_eq!(list, format!("metadata key k: value type 13 does not exist: {DAMAGED}"));
    let flags = error(&Writer::new(3).array("k", 7, 2, &[1, 3]).finish());
    assert_eq!(flags, format!("metadata key k: 3 is neither true nor false: {DAMAGED}"));
    let twice = Writer::new(3).value("k", &Value::Bool(true)).value("k", &Value::Bool(true)).finish();
    assert_eq!(error(&twice), format!("metadata key k: occurs twice: {DAMAGED}"));
}

#[test]
fn wrong_types_name_key_found_and_expected() {
    let bytes = common::gguf();
    let file = Gguf::parse(&bytes).unwrap();
    let remedy = format!("{DAMAGED} or choose another");
    let messages = [
        (
            file.unsigned("signed").unwrap_err(),
            "signed: found the whole number -7, expected a whole number of at least 0",
        ),
        (file.float("flag").unwrap_err(), "flag: found true, expected a float"),
        (file.bool("tokens").unwrap_err(), "tokens: found a list of 4, expected true or false"),
        (file.string("float").unwrap_err(), "float: found the number 0.5, expected a text"),
        (
            file.array("general.architecture").unwrap_err(),
            "general.architecture: found a text of 5 bytes, expected a list",
        ),
    ];
    for (error, expected) in messages {
        assert_eq!(error.to_string(), format!("{expected}: {remedy}"));
    }
}

#[test]
fn tensors_are_checked_against_the_data() {
    let one = |kind, extents: &[u64], offset| {
        let writer = Writer::new(3).tensor("first", SourceType::F32, &[16], &[0; 64]);
        error(&writer.raw_tensor("t", kind, extents, offset).finish())
    };
    assert_eq!(
        one(0, &[16], 64),
        "tensor t: needs 64 bytes, the file has 0 left: it is truncated or damaged, download it again"
    );
    assert!(one(0, &[16], !31).starts_with("tensor t: needs 64 bytes, the file has 0 left: "));
    assert_eq!(one(0, &[8], 32), format!("tensor t: its data overlaps that of first: {DAMAGED}"));
    assert_eq!(one(0, &[8], 4), format!("tensor t: offset 4 is not a multiple of 32: {DAMAGED}"));
    assert_eq!(one(0, &[8, 0], 64), format!("tensor t: an extent is zero or too large: {DAMAGED}"));
    assert_eq!(one(0, &[], 64), format!("tensor t: 0 dimensions, expected 1 to 4: {DAMAGED}"));
    assert_eq!(one(0, &[1; 5], 64), format!("tensor t: 5 dimensions, expected 1 to 4: {DAMAGED}"));
    assert_eq!(one(2, &[16, 2], 64), format!("tensor t: rows of 16 are not whole blocks of 32 (Q4_0): {DAMAGED}"));
    assert_eq!(
        one(0, &[1 << 32, 1 << 32], 64),
        format!("tensor t: shape [4294967296, 4294967296] overflows: {DAMAGED}")
    );
    assert!(one(0, &[1 << 62], 64).ends_with(&format!("overflows: {DAMAGED}")));
    assert!(
        one(19, &[256], 64).starts_with("tensor t: type IQ1_S (number 19) is not supported: choose a file in one of")
    );
    let twice = Writer::new(3).tensor("t", SourceType::F32, &[1], &[0; 4]).tensor("t", SourceType::F32, &[1], &[0; 4]);
    assert_eq!(error(&twice.finish()), format!("tensor t: occurs twice: {DAMAGED}"));
}

#[test]
fn hostile_names_stay_on_one_short_line() {
    let name = "x\n\u{1b}[31m\u{2028}".repeat(50_000);
    let message = error(&Writer::new(3).raw_tensor(&name, 99, &[1], 0).finish());
    assert!(message.starts_with("tensor x\\n\\u{1b}[31m\\u{2028}x") && message.len() < 500, "{message}");
    assert!(!message.contains(|c: char| c.is_control() || c == '\u{2028}'));
    let controls = error(&Writer::new(3).raw_tensor(&"\u{19}".repeat(500), 99, &[1], 0).finish());
    assert!(controls.len() < 500, "{controls}");
    let message = error(&Writer::new(3).raw(&name, 99, &[]).finish());
    assert!(message.starts_with("metadata key x\\n") && message.len() < 500, "{message}");
}
