//! A program, its file and its text are one and the same.
#![allow(missing_docs, clippy::unwrap_used)]

mod hand;
mod programs;

use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::Format;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder, Repetition};
use lockstep_program::check::{check_file, check_text};
use lockstep_program::file::{content_hash, decode, encode};
use lockstep_program::form::check_form;
use lockstep_program::program::{BindingKind, Content, FlowEdge, Origin, QueueText};
use lockstep_program::text::{parse, print};
use lockstep_program::verify;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn files_and_texts_read_back(program in programs::program()) {
        prop_assert_eq!(check_form(&program, 9), []);
        let file = encode(&program);
        let decoded = decode(&file).unwrap();
        prop_assert_eq!(&decoded, &program);
        prop_assert_eq!(encode(&decoded), file.clone());
        prop_assert_eq!(content_hash(&program).to_vec(), file[32..64].to_vec());
        let text = print(&program);
        let parsed = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        prop_assert_eq!(&parsed.program, &program, "{}", text);
        prop_assert!(!parsed.derive);
        prop_assert_eq!(encode(&parsed.program), file);
        prop_assert_eq!(print(&parsed.program), text);
    }

    /// Indentation, comments and blank lines carry no meaning, but within a machine's description.
    #[test]
    fn blanks_and_comments_carry_no_meaning(program in programs::program()) {
        let text = print(&program);
        let mut inside = false;
        let loose = text.lines().map(|line| {
            inside = (inside || line == "machine") && line != "end";
            if inside { format!("{line}\n") } else { format!("\n\t{}  # \"note\n", line.trim_start()) }
        });
        prop_assert_eq!(parse(&loose.collect::<String>()).unwrap().program, program);
    }
}

#[test]
fn the_generator_makes_every_kind_of_part() {
    let program = programs::small();
    check_file(&encode(&program));
    check_text(print(&program).as_bytes());
}

#[test]
fn images_are_aligned_for_a_memory_map() {
    let file = encode(&programs::small());
    let program = decode(&file).unwrap();
    let mut seen = 0;
    for image in &program.images {
        let Content::Bytes(bytes) = &image.content else { continue };
        assert_eq!((bytes.as_ptr() as usize - file.as_ptr() as usize) % 64, 0, "{}", image.name);
        seen += 1;
    }
    assert!(seen > 0);
}

/// The hash tells programs apart by anything that a run could notice, and by names.
#[test]
fn the_hash_covers_everything() {
    let program = programs::small();
    let mut hashes = std::collections::BTreeSet::from([content_hash(&program)]);
    let mut changed = |change: fn(&mut lockstep_program::Program<'static>)| {
        let mut other = program.clone();
        change(&mut other);
        assert_ne!(other, program);
        assert!(hashes.insert(content_hash(&other)));
    };
    changed(|p| p.name.push('x'));
    changed(|p| p.machine.mem.read_delay += 1);
    changed(|p| p.arithmetic_version += 1);
    changed(|p| p.chips += 1);
    changed(|p| p.links[0].to_link ^= 1);
    changed(|p| p.images[0].first.word += 1);
    changed(|p| p.images.iter_mut().for_each(|image| image.content = Content::Zero));
    changed(|p| p.bindings[0].elements += 1);
    changed(|p| p.blocks[0].cycles += 1);
    changed(|p| p.blocks[0].queues[0].insts[0][1] ^= 1);
    changed(|p| p.blocks[0].flow[0].operand ^= 1);
    changed(|p| p.entries[0].cycles += 1);
    changed(|p| p.entries.iter_mut().flat_map(|e| &mut e.instances).for_each(|i| i.offsets[15] += 1));
}

/// However the `nop`s of a text are cut, its text form keeps them.
#[test]
fn nops_are_kept_as_they_are() {
    let inst = |text: &str| lockstep_machine::inst::parse(text).unwrap().encode();
    let mut program = programs::small();
    program.entries.clear();
    program.blocks.truncate(1);
    program.blocks[0].flow.clear();
    let lines = [
        "nop cycles=3",
        "nop cycles=4294967295",
        "nop cycles=1",
        "alu op=add a=e0:f32 b=e4:f32",
        "nop cycles=2",
        "repeat count=65535 every=65535",
        "nop cycles=0",
        "nop cycles=5",
        "sync",
        "nop cycles=7",
        "sync",
        "runtime_deskew cycles=9",
        "notify",
        "nop cycles=1",
    ];
    for count in 1..=lines.len() {
        let queue = lockstep_machine::geometry::Queue::Alu(0);
        program.blocks[0].queues = vec![QueueText { queue, insts: lines[..count].iter().map(|l| inst(l)).collect() }];
        let text = print(&program);
        assert_eq!(parse(&text).unwrap().program, program, "{text}");
    }
    assert!(matches!(Inst::decode(program.blocks[0].queues[0].insts[0]), Ok(Inst::Nop { .. })));
    assert!(print(&program).contains("@4294967299 alu"), "{}", print(&program));
}

/// Words that are older than the block, read from the last to the first: only an instance knows where that leads.
#[test]
fn imports_may_go_back() {
    let spec = hand::spec();
    let mut code = BlockBuilder::new("back", &spec);
    for (cycle, line, word_stride) in
        [(0, "0 mem.w0 mem bank0=read:7+b0:e0", -1), (7, "7 mem.e0 mem bank0=write:0+b0:e0", 1)]
    {
        let (_, queue, inst) = hand::split(line);
        code.repeat(cycle, queue, inst, Repetition { issues: 8, every: 1, word_stride, row_stride: 0 }).unwrap();
    }
    let mut program = ProgramBuilder::new("back", &spec);
    let words = |side| (0..8).map(move |at| hand::word(side, 0, 0, at));
    program.binding("x", BindingKind::Input, Format::I8, 2560, words(hand::West));
    program.binding("y", BindingKind::Output, Format::I8, 2560, words(hand::East));
    let code = program.block(&code);
    let entry = program.entry("main");
    program.instance(entry, code, 0, 0, hand::NO_OFFSETS);
    let program = program.finish().unwrap();
    let back = |edge: &FlowEdge| matches!(edge.origin, Origin::Import { .. }) && edge.step == -1;
    assert!(program.blocks[0].flow.iter().any(back), "{:?}", program.blocks[0].flow);
    let file = encode(&program);
    let decoded = decode(&file).unwrap();
    assert_eq!((&decoded, verify(&decoded)), (&program, Vec::new()));
    assert_eq!(parse(&print(&program)).unwrap().program, program);
}
