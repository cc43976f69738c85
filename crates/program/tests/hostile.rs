//! Files and texts that someone broke: no panic, errors in one line that say where, and nothing half read.
#![allow(missing_docs, clippy::unwrap_used)]

mod programs;

use lockstep_program::check::{check_file, check_text, sealed};
use lockstep_program::file::{FileError, decode, encode};
use lockstep_program::program::{Content, Origin, Program, Word};
use lockstep_program::text::print;
use programs::{Random, small};

/// Numbers that break careless arithmetic, as counts, lengths, indices and cycles.
const HOSTILE: [u64; 10] = [0, 1, 9, 1 << 16, 1 << 31, u32::MAX as u64, 1 << 32, 1 << 61, i64::MAX as u64, u64::MAX];

fn put(bytes: &mut [u8], at: usize, number: u64, width: usize) {
    let end = (at + width).min(bytes.len());
    bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
}

/// Where the part behind the machine's description begins; a change before that spoils a digest.
fn after_machine(file: &[u8]) -> usize {
    104 + u32::from_le_bytes(file[100..104].try_into().unwrap()) as usize
}

#[test]
fn every_truncation_is_an_error() {
    let file = encode(&small());
    for length in 0..file.len() {
        decode(&file[..length]).unwrap_err();
        if let Some(cut) = sealed(&file[..length]) {
            decode(&cut).unwrap_err();
        }
    }
    decode(&[&file[..], &[0; 64]].concat()).unwrap_err();
    decode(&sealed(&[&file[..], &[0; 64]].concat()).unwrap()).unwrap_err();
    decode(&file).unwrap();
}

#[test]
fn every_flipped_bit_of_a_file_is_noticed() {
    let file = encode(&small());
    let mut mutant = file.clone();
    for at in 0..file.len() {
        for bit in 0..8 {
            mutant[at] ^= 1 << bit;
            decode(&mutant).unwrap_err();
            mutant[at] ^= 1 << bit;
        }
    }
}

/// With a hash that fits, a changed file is an error or another program whose only file it is.
#[test]
fn flipped_bits_and_hostile_numbers_under_a_good_hash_are_survived() {
    let file = encode(&small());
    let images = u64::from_le_bytes(file[24..32].try_into().unwrap()) as usize;
    let mut read = 0;
    for at in (24..104).chain(after_machine(&file)..images + 8) {
        // Each mutant that is read is printed, parsed and verified: a few for each byte, all bits and numbers over all.
        let flips = [at % 8, (at + 3) % 8, 0].map(|bit| (u64::from(file[at]) ^ 1 << bit, 1));
        let numbers = [at % 10, (at + 7) % 10].map(|number| (HOSTILE[number], [2, 4, 8][at % 3]));
        for (number, width) in flips.into_iter().chain(numbers).chain([(u64::from(u32::MAX), 4)]) {
            let mut mutant = file.clone();
            put(&mut mutant, at, number, width);
            let mutant = sealed(&mutant).unwrap();
            check_file(&mutant);
            read += usize::from(mutant != file && decode(&mutant).is_ok());
        }
    }
    assert!(read > 200, "only {read} mutants were programs");
}

fn mutate(bytes: &mut Vec<u8>, from: usize, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let below = |random: &mut Random, end: usize| random.below(end as u64) as usize;
        if bytes.len() <= from {
            return;
        }
        let at = from + below(random, bytes.len() - from);
        let end = (at + 1 + below(random, 40)).min(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => put(bytes, at, HOSTILE[below(random, HOSTILE.len())], [2, 4, 8][below(random, 3)]),
            3 if random.below(8) == 0 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            _ => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

#[test]
fn random_mutants_of_files_are_survived() {
    let file = encode(&small());
    let images = u64::from_le_bytes(file[24..32].try_into().unwrap()) as usize;
    let mut random = Random(1);
    for _ in 0..3000 {
        // Most of a file is its images.
        let (mut head, tail) = (file[..images].to_vec(), &file[images..]);
        mutate(&mut head, after_machine(&file), &mut random);
        head.resize(head.len().next_multiple_of(64), 0);
        let length = head.len() as u64;
        put(&mut head, 24, length, 8);
        check_file(&[&head, tail].concat());
    }
}

#[test]
fn random_mutants_of_texts_are_survived() {
    let text = print(&small());
    let (mut random, mut valid) = (Random(2), 0);
    let pieces =
        ["\"", "#", "\n", " ", "@7 ", "nop cycles=1\n", "0", "-", "4294967295", "é", "flow\n", "end\n", "fill 3\n"];
    for _ in 0..1500 {
        let mut mutant = text.clone().into_bytes();
        match random.below(3) {
            0 => mutate(&mut mutant, 0, &mut random),
            1 => {
                let mut lines: Vec<&str> = text.split('\n').collect();
                let line = random.below(lines.len() as u64) as usize;
                let moved = lines.remove(line);
                if random.below(2) == 0 {
                    lines.insert(random.below(lines.len() as u64) as usize, moved);
                }
                mutant = lines.join("\n").into_bytes();
            }
            _ => {
                let at = random.below(mutant.len() as u64) as usize;
                let piece = pieces[random.below(pieces.len() as u64) as usize];
                mutant.splice(at..at, piece.bytes());
            }
        }
        valid += usize::from(lockstep_program::text::parse(&String::from_utf8_lossy(&mutant)).is_ok());
        check_text(&mutant);
    }
    assert!((50..1450).contains(&valid), "{valid}");
}

#[test]
fn every_cut_of_a_text_is_survived() {
    let text = print(&small());
    for length in (0..text.len()).step_by(7) {
        check_text(&text.as_bytes()[..length]);
    }
}

/// The error of the small program after a change.
#[track_caller]
fn broken(change: impl FnOnce(&mut Program<'static>), expected: &str) {
    let mut program = small();
    change(&mut program);
    let error = decode(&encode(&program)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn errors_name_the_thing() {
    broken(|p| p.arithmetic_version = 7, "made for arithmetic version 7, this computes version 1");
    broken(|p| p.chips = 0, "program \"");
    broken(|p| p.chips = u32::MAX, "it must have 1 to 16384");
    broken(|p| p.name = "x".repeat(256), "program: byte");
    broken(|p| p.images[0].name.clear(), "image 0 \"\": its name has 0 bytes");
    broken(|p| p.images[1].name = p.images[0].name.clone(), "another of its kind has this name");
    broken(|p| p.images[0].first.bank = 2, "a slice has banks 0 and 1");
    let empty = |p: &mut Program<'static>| {
        let image = &mut p.images[0];
        (image.vectors, image.content) = (0, Content::Zero);
    };
    broken(empty, "has 0 vectors");
    broken(|p| p.images[1].first = p.images[0].first, "lies over image");
    broken(|p| p.links[0].from_link = 200, "link 0");
    broken(|p| p.bindings[0].words[0] = Word { slice: 60, ..p.bindings[0].words[0] }, "binding 0");
    broken(|p| p.bindings[0].words.truncate(1), "elements of");
    broken(|p| p.machine.superlanes = 21, "vector.superlanes");
    broken(|p| p.blocks[0].queues[0].insts[0] = [0; 16], "instruction 0: opcode 0x00 is not an instruction");
    broken(|p| p.blocks[0].queues.swap(0, 1), "out of the machine's order");
    broken(|p| p.blocks[0].queues[0].insts.clear(), "block 0 queue 0");
    broken(|p| p.blocks[0].flow.reverse(), "sorted");
    broken(|p| p.blocks[0].flow[0].count = u32::MAX, "issues, the instruction has");
    broken(|p| p.blocks[0].flow[0].reader.inst = 99, "no instruction 99");
    broken(|p| p.blocks[0].flow[0].origin = Origin::Image { image: 0, vector: 0 }, "make it an import");
    broken(|p| p.blocks[0].imports += 1, "imports, block");
    let with = |p: &mut Program<'static>, origin| {
        let mut instances = p.entries.iter_mut().flat_map(|entry| &mut entry.instances);
        instances.find_map(|instance| instance.imports.first_mut().map(|import| *import = origin)).unwrap();
    };
    broken(|p| with(p, Origin::Import { import: 0, offset: 0 }), "cannot be an import again");
    broken(|p| with(p, Origin::Image { image: 99, vector: 0 }), "image 99: there are");
    broken(|p| with(p, Origin::Sent { link: 99, vector: 0 }), "link 99: a chip has 16");
    broken(|p| p.entries[0].cycles = u64::MAX, "takes too long");
}

#[test]
fn versions_and_damage_are_told_apart() {
    let file = encode(&small());
    let error = |at: usize, bytes: &[u8]| {
        let mut other = file.clone();
        other[at..at + bytes.len()].copy_from_slice(bytes);
        decode(&other).unwrap_err()
    };
    assert_eq!(error(0, b"GGUF"), FileError::Magic);
    assert_eq!(error(8, &[2]), FileError::Version { made: 2, reads: 1 });
    assert_eq!(
        error(8, &[2]).to_string(),
        "made for format version 2, this reads version 1; compile or assemble it again"
    );
    let other = file[16] ^ 0xff;
    let says = file.len() as u64 ^ 0xff;
    assert_eq!(error(16, &[other]), FileError::Length { is: file.len() as u64, says });
    assert_eq!(error(700, &[0xff]), FileError::Hash);
    assert!(matches!(decode(&file[..50]), Err(FileError::Ends { .. })));
    assert!(matches!(small().images.last().unwrap().content, Content::Bytes(_)));
}
