//! Text programs with what is expected of them: `filetests/*.lka`.
//!
//! Lines that begin with `#:` say what to do, in the notation of a program's data:
//! `#: set INPUT = NUMBERS`, `#: expect OUTPUT = NUMBERS`, `#: run ENTRY` (without one, each entry once, in order) and
//! `#: flip WORD superlane N bits N N`. Lines that begin with `#=` say what came of it: cycles, the first numbers of each
//! output with a hash of all, violations, a fault. `LOCKSTEP_BLESS=1` writes them anew; read the difference before you
//! keep it.
//!
//! Whatever a file expects, this also holds of it: text and file forms read back to equal programs; a program without
//! violations has predicted = verified = executed cycles; runs on 1, 2 and 4 threads, and twice in a row, have one digest.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::Format;
use lockstep_program::program::{BindingKind, Word};
use lockstep_program::text::parse_numbers;
use lockstep_program::{Program, derive, file, text, verify};
use lockstep_simulator::{Error, Linked, Report, Simulator};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests")
}

/// What a file asks for.
#[derive(Default)]
struct Orders {
    set: Vec<(String, String)>,
    expect: Vec<(String, String)>,
    run: Vec<String>,
    flip: Vec<(Word, u8, Vec<u8>)>,
}

impl Orders {
    fn read(source: &str) -> Self {
        let mut orders = Self::default();
        for line in source.lines().filter_map(|line| line.strip_prefix("#:")) {
            let (verb, rest) = line.trim().split_once(' ').unwrap();
            let pair = || rest.split_once(" = ").map(|(name, numbers)| (name.to_owned(), numbers.to_owned())).unwrap();
            match verb {
                "set" => orders.set.push(pair()),
                "expect" => orders.expect.push(pair()),
                "run" => orders.run.push(rest.to_owned()),
                "flip" => orders.flip.push(flip(rest)),
                _ => panic!("no order is called {verb:?}"),
            }
        }
        orders
    }
}

/// `CHIP:SLICE.BANK.WORD superlane N bits N N`.
fn flip(rest: &str) -> (Word, u8, Vec<u8>) {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let program = format!("lockstep 1\nmachine lockstep1\ninput \"x\" u8 320 at {}\n", words[0]);
    let word = text::parse(&program).unwrap().program.bindings[0].words[0];
    (word, words[2].parse().unwrap(), words[4..].iter().map(|bit| bit.parse().unwrap()).collect())
}

#[test]
fn every_file_does_what_it_says() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "lka"));
    files.sort();
    assert!(!files.is_empty(), "no file in {}", folder().display());
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in &files {
        let source = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = outcome(&name, &source, &mut checked);
        let expected: String =
            source.lines().filter(|line| line.starts_with("#=")).map(|line| format!("{line}\n")).collect();
        if found == expected {
            continue;
        }
        if std::env::var_os("LOCKSTEP_BLESS").is_some() {
            let kept: String =
                source.lines().filter(|line| !line.starts_with("#=")).map(|line| format!("{line}\n")).collect();
            std::fs::write(path, kept + &found).unwrap();
        } else {
            wrong.push(format!("{name}\n--- expected\n{expected}--- found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "LOCKSTEP_BLESS=1 writes what was found:\n{}", wrong.join("\n"));
    println!("{} files; predicted = verified = executed cycles in {checked} programs", files.len());
}

/// What comes of a file, as its `#=` lines.
fn outcome(name: &str, source: &str, checked: &mut usize) -> String {
    let mut found = String::new();
    let parsed = match text::parse(source) {
        Ok(parsed) => parsed,
        Err(errors) => {
            errors.0.iter().for_each(|error| writeln!(found, "#= error {error}").unwrap());
            return found;
        }
    };
    let mut program = parsed.program;
    let violations = match parsed.derive.then(|| derive(&mut program)) {
        Some(Err(violations)) => violations,
        _ => verify(&program),
    };
    round_trip(name, &program);
    for violation in &violations {
        writeln!(found, "#= violation {violation}").unwrap();
    }
    let linked = if violations.is_empty() { Linked::new(&program) } else { Linked::without_flow(&program) };
    match linked {
        Err(fault) => writeln!(found, "#= fault {fault}").unwrap(),
        Ok(linked) => {
            run(name, &linked, &Orders::read(source), &mut found);
            *checked += usize::from(violations.is_empty());
        }
    }
    found
}

fn round_trip(name: &str, program: &Program<'_>) {
    let bytes = file::encode(program);
    assert_eq!(file::decode(&bytes).as_ref(), Ok(program), "{name}: file form");
    let again = text::parse(&text::print(program)).unwrap_or_else(|errors| panic!("{name}: printed text: {errors}"));
    assert!(!again.derive && file::encode(&again.program) == bytes, "{name}: text form");
}

fn run(name: &str, linked: &Linked<'_>, orders: &Orders, found: &mut String) {
    let runs: Vec<Outcome> = [1, 2, 4, 4].into_iter().map(|threads| run_once(linked, orders, threads)).collect();
    for again in &runs[1..] {
        assert_eq!(runs[0].digests, again.digests, "{name}: digests over threads");
        assert_eq!(runs[0].text, again.text, "{name}: outcomes over threads");
    }
    for (report, entry) in runs[0].reports.iter().zip(&runs[0].entries) {
        assert_eq!(report.cycles_predicted, report.cycles, "{name}: entry {entry}");
        assert_eq!(linked.time(entry).unwrap().cycles, report.cycles, "{name}: entry {entry} without values");
    }
    found.push_str(&runs[0].text);
}

#[derive(Default)]
struct Outcome {
    text: String,
    digests: Vec<[u8; 32]>,
    reports: Vec<Report>,
    entries: Vec<String>,
}

fn run_once(linked: &Linked<'_>, orders: &Orders, threads: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let program = linked.program();
    let mut simulator = Simulator::new(linked, Kernels::detect(), threads).unwrap();
    let binding = |name: &str| program.bindings.iter().find(|b| b.name == name).unwrap_or_else(|| panic!("no {name}"));
    let numbers = |(name, numbers): &(String, String)| {
        let binding = binding(name);
        parse_numbers(numbers, binding.format, binding.elements).unwrap()
    };
    for order in &orders.set {
        simulator.write(&order.0, &numbers(order)).unwrap();
    }
    for (word, superlane, bits) in &orders.flip {
        bits.iter().for_each(|bit| simulator.flip(*word, *superlane, *bit));
    }
    let all = || program.entries.iter().map(|entry| entry.name.clone()).collect();
    for entry in if orders.run.is_empty() { all() } else { orders.run.clone() } {
        match simulator.run(&entry) {
            Ok(report) => {
                writeln!(outcome.text, "#= entry {entry}: {} cycles", report.cycles).unwrap();
                if report.corrected > 0 {
                    writeln!(outcome.text, "#= corrected {}", report.corrected).unwrap();
                }
                outcome.digests.push(report.trace_digest);
                outcome.reports.push(report);
                outcome.entries.push(entry);
            }
            Err(Error::Fault(fault)) => {
                writeln!(outcome.text, "#= fault {fault}").unwrap();
                return outcome;
            }
            Err(error) => panic!("{error}"),
        }
    }
    for order in &orders.expect {
        assert!(simulator.read(&order.0).unwrap() == numbers(order), "output {} is not {}", order.0, order.1);
    }
    for binding in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output) {
        let bytes = simulator.read(&binding.name).unwrap();
        let shown = shown(&bytes, binding.format);
        writeln!(outcome.text, "#= output {}: {shown} blake3 {}", binding.name, &blake3::hash(&bytes).to_hex()[..16])
            .unwrap();
    }
    outcome
}

/// The first numbers.
fn shown(bytes: &[u8], format: Format) -> String {
    let width = usize::from(format.streams());
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(bytes);
        let bits = i64::from_le_bytes(wide);
        match format {
            Format::F32 => f32::from_bits(bits as u32).to_string(),
            Format::I8 => (bits as i8).to_string(),
            Format::I16 => (bits as i16).to_string(),
            Format::I32 => (bits as i32).to_string(),
            _ => bits.to_string(),
        }
    };
    bytes.chunks_exact(width).take(6).map(number).collect::<Vec<_>>().join(" ")
}
