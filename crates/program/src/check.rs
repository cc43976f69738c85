//! What must hold for any bytes at all: fuzz targets and tests call these.

use std::borrow::Cow;

use lockstep_machine::inst::Inst;

use crate::file::{ALIGNMENT, FORMAT_VERSION, MAGIC, content_hash, decode, encode};
use crate::form::check_form;
use crate::program::{Content, Program};
use crate::text::{parse, print};
use crate::verify::verify;

/// Programs with more issues are not verified here: it would take too long.
const ISSUES_MAX: u64 = 20_000;

/// Reads bytes as a program file, as they are and with a header that fits: no panic, one-line errors, and a program that
/// is read has this one file, a text that reads back to it, and images that lie in the bytes.
pub fn check_file(bytes: &[u8]) {
    check_decoded(bytes);
    if let Some(sealed) = sealed(bytes) {
        check_decoded(&sealed);
    }
}

/// The bytes with a header of the right version, length and hash.
pub fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let hash = *blake3::hash(bytes.get(ALIGNMENT..)?).as_bytes();
    sealed[..8].copy_from_slice(&MAGIC);
    sealed[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    sealed[12..16].fill(0);
    sealed[16..24].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    sealed[32..ALIGNMENT].copy_from_slice(&hash);
    Some(sealed)
}

fn check_decoded(bytes: &[u8]) {
    let program = match decode(bytes) {
        Ok(program) => program,
        Err(error) => return check_message(&error.to_string()),
    };
    assert!(encode(&program) == bytes, "a program has two files");
    assert_eq!(content_hash(&program), bytes[32..ALIGNMENT]);
    let inside = |part: &[u8]| part.is_empty() || bytes.as_ptr_range().contains(&part.as_ptr());
    for image in &program.images {
        if let Content::Bytes(content) = &image.content {
            assert!(matches!(content, Cow::Borrowed(part) if inside(part)), "{}: its bytes are a copy", image.name);
        }
    }
    check_program(&program);
}

/// Reads bytes as a program's text: no panic, errors that point into it, and a program that is read prints and encodes to
/// what reads back to it.
pub fn check_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(parsed) => check_program(&parsed.program),
        Err(errors) => {
            let lines: Vec<&str> = text.split('\n').collect();
            assert!(errors.0.is_sorted() && !errors.0.is_empty());
            for error in &errors.0 {
                check_message(&error.to_string());
                let line = lines[error.line - 1];
                assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}: outside {line:?}");
            }
        }
    }
}

fn check_program(program: &Program<'_>) {
    assert_eq!(check_form(program, 1), []);
    let text = print(program);
    let again = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!again.derive && again.program == *program, "reads back as another: {text}");
    let file = encode(program);
    assert_eq!(decode(&file).as_ref(), Ok(program));
    assert!(encode(&again.program) == file);
    if issues(program) <= ISSUES_MAX {
        for violation in verify(program) {
            check_message(&violation.to_string());
        }
    }
}

/// How often instructions are issued in all entries, and claimed to be by flow.
fn issues(program: &Program<'_>) -> u64 {
    let of = |bytes: &[u8; 16]| match Inst::decode(*bytes) {
        Ok(Inst::Repeat { count, .. }) => u64::from(count.get()),
        _ => 1,
    };
    let block = |block: &crate::program::Block| {
        let texts = block.queues.iter().flat_map(|text| &text.insts).map(of).sum::<u64>();
        texts + block.flow.iter().map(|edge| u64::from(edge.count)).sum::<u64>()
    };
    let instances = program.entries.iter().flat_map(|entry| &entry.instances);
    let run = instances.filter_map(|instance| program.blocks.get(instance.block as usize)).map(block).sum::<u64>();
    run + program.blocks.iter().map(block).sum::<u64>()
}

fn check_message(message: &str) {
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}
