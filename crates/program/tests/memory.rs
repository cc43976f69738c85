//! Hostile files and texts never make the readers take more memory than a small multiple of their bytes.
//!
//! One test only: the allocator counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used)]

mod programs;

use lockstep_program::check::sealed;
use lockstep_program::file::{decode, encode};
use lockstep_program::program::{Block, Content, Entry, FlowEdge, IssueId, Origin, Program, QueueText};
use lockstep_program::text::parse;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What may be taken beside the bytes, whatever their number: most of it for the machine's description.
const BASE: usize = 256 << 10;

/// Bytes that `run` had taken at its worst moment.
fn peak(run: impl FnOnce()) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    run();
    ALLOCATOR.peak_usage() - before
}

fn bounded(name: &str, bytes: usize, multiple: usize, run: impl FnOnce()) {
    let (taken, allowed) = (peak(run), BASE + multiple * bytes);
    assert!(taken <= allowed, "{name}: took {taken} bytes for {bytes}, allowed {allowed}");
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let small = programs::small();
    let file = encode(&small);
    let machine_end = 104 + u32::from_le_bytes(file[100..104].try_into().unwrap()) as usize;
    let images = u64::from_le_bytes(file[24..32].try_into().unwrap()) as usize;
    let mut files = vec![("small", file.clone())];
    for at in (100..104).chain(machine_end..images) {
        for count in [u32::MAX, 1 << 24, 60_000, 4000] {
            let mut other = file.clone();
            other[at..at + 4].copy_from_slice(&count.to_le_bytes());
            files.push(("a count", sealed(&other).unwrap()));
        }
    }
    let mut with = |name, change: &dyn Fn(&mut Program<'static>)| {
        let mut program = small.clone();
        change(&mut program);
        files.push((name, encode(&program)));
    };
    with("links", &|p| p.links = vec![p.links[0]; 50_000]);
    with("images", &|p| {
        let mut image = p.images[0].clone();
        (image.content, image.name) = (Content::Zero, String::new());
        p.images = vec![image; 50_000];
    });
    with("words", &|p| p.bindings[0].words = vec![p.bindings[0].words[0]; 100_000]);
    with("blocks", &|p| p.blocks = vec![Block::default(); 30_000]);
    with("queues", &|p| p.blocks[0].queues = vec![QueueText { insts: vec![[1; 16]], ..p.blocks[0].queues[0] }; 20_000]);
    with("flow", &|p| {
        let reader = IssueId { issue: 0, inst: 0, ..p.blocks[0].flow[0].reader };
        let edge = |n: u32| FlowEdge { reader, count: 1, operand: 0, origin: Origin::Nothing, step: n as i32 };
        p.blocks[0].flow = (0..50_000).map(edge).collect();
    });
    with("entries", &|p| p.entries = vec![Entry::default(); 50_000]);
    with("instances", &|p| {
        let instance = p.entries[0].instances.first().or(p.entries.last().unwrap().instances.first()).unwrap().clone();
        p.entries[0].instances = vec![instance; 10_000];
    });
    with("imports", &|p| {
        let mut instances = p.entries.iter_mut().flat_map(|entry| &mut entry.instances);
        instances.next().unwrap().imports = vec![Origin::Nothing; 200_000];
    });
    files
}

#[test]
fn memory_stays_within_a_multiple_of_the_bytes() {
    assert!(peak(|| drop(std::hint::black_box(vec![1u8; 1 << 20]))) >= 1 << 20, "the allocator does not count");
    for (name, file) in files() {
        // An origin of one byte is the smallest thing that there can be many of.
        bounded(name, file.len(), if name == "imports" { 32 } else { 8 }, || drop(decode(&file)));
    }
    let head = "lockstep 1\nmachine lockstep1\n";
    let lines = [
        ("errors", "x\n"),
        ("links", "link 0.0 -> 0.0\n"),
        ("words", "input a i8 1 at e0-63.0.0-99\n"),
        ("images", "image a at e0.0.0\nzero\n"),
        ("images that are missing bytes", "image a at e0.0.0 vectors 4294967295\nu8 1\n"),
        ("tensors", "tensor a i64 1 at e0-7.0.0\n1\n"),
        ("blocks", "block a\n"),
        ("queues", "block a\nqueue alu.0\n@4294967295 sync\n"),
        ("flow", "block a\nflow\nalu.0[0] operand 0 <- nothing\n"),
        ("entries", "entry a\n"),
        ("instances", "block b\nentry a\nrun b\n"),
        ("quotes", "\"\n"),
    ];
    for (name, line) in lines {
        let text = format!("{head}{}", line.repeat(400_000 / line.len()));
        // Rules and ranges have a bound of their own, beside what the text backs.
        let multiple = if matches!(name, "words" | "tensors") { 256 } else { 64 };
        bounded(name, text.len(), multiple, || drop(parse(&text)));
    }
    for rule in ["u8 fill 1", "u8 ramp step=0", "u8 random seed=1"] {
        let image = |text: String, i: u32| format!("{text}image {i} at {i}:e0.0.0 vectors 4096\n{rule}\n");
        let text = (0..1000).fold(head.to_owned(), image);
        let taken = peak(|| drop(parse(&text)));
        assert!(taken <= 80 << 20, "{rule}: took {taken} bytes");
    }
}
