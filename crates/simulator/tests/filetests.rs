//! Text programs with what is expected of them: `filetests/*.lka`.
//!
//! Lines that begin with `#:` say what to do, in the notation of a program's data:
//! `#: set INPUT = NUMBERS`, `#: expect OUTPUT = NUMBERS`, `#: run ENTRY` (without one, each entry once, in order),
//! `#: flip WORD superlane N bits N N` and `#: under CONDITION CONDITION`. Lines that begin with `#=` say what came of it:
//! cycles, the first numbers of each output with a hash of all, violations, a fault. `LOCKSTEP_BLESS=1` writes them
//! anew; read the difference before you keep it.
//!
//! Whatever a file expects, this also holds of it: text and file forms read back to equal programs; a program without
//! violations has predicted = verified = executed cycles; runs on 1, 2 and 4 threads, and twice in a row, have one
//! digest.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/orders.rs"]
mod orders;
#[path = "support/predict.rs"]
mod predict;

use std::fmt::Write as _;

use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::Format;
use lockstep_program::program::BindingKind;
use lockstep_program::{Program, derive, file, text, verify};
use lockstep_simulator::{Conditions, Elapsed, Error, FaultKind, Linked, Report, Simulator};

use orders::Orders;

#[test]
fn every_file_does_what_it_says() {
    let files = orders::files();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in &files {
        let source = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = outcome(&name, &source, &mut checked);
        let (expected, kept) = split(&source);
        if found == expected {
            continue;
        }
        if std::env::var_os("LOCKSTEP_BLESS").is_some() {
            std::fs::write(path, kept + &found).unwrap();
        } else {
            wrong.push(format!("{name}\n--- expected\n{expected}--- found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "LOCKSTEP_BLESS=1 writes what was found:\n{}", wrong.join("\n"));
    println!("{} files; predicted = verified = executed cycles in {checked} programs", files.len());
}

/// A file's `#=` lines, and the others.
fn split(source: &str) -> (String, String) {
    let (mut found, mut kept) = (String::new(), String::new());
    for line in source.lines() {
        let to = if line.starts_with("#=") { &mut found } else { &mut kept };
        to.extend([line, "\n"]);
    }
    (found, kept)
}

/// Each kind of fault has a file that shows it, and the verifier finds what does not depend on values too.
#[test]
fn every_kind_of_fault_occurs_and_the_verifier_agrees() {
    let sources: Vec<String> = orders::files().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for kind in FaultKind::ALL {
        let shown = sources.iter().filter(|source| source.contains(&format!("\n#= fault {kind} ")));
        assert!(shown.clone().count() > 0, "no file shows {kind}");
        for source in shown {
            let verified = source.contains(&format!("\n#= violation {kind} "));
            assert_eq!(verified, !kind.depends_on_values(), "{kind}:\n{source}");
        }
    }
    for source in &sources {
        let faults = source.lines().filter(|line| line.starts_with("#= fault")).count();
        assert!(faults > 0 || !source.contains("\n#= violation"), "only the verifier finds something in\n{source}");
    }
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
    // Where the flow could not be derived there is none to look at, and cycles are what the instructions take.
    let has_flow = violations.is_empty() || !parsed.derive;
    if !has_flow {
        predict::predict(&mut program);
    }
    let linked = if has_flow { Linked::new(&program) } else { Linked::without_flow(&program) };
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
    let runs: Vec<Outcome> = [1, 2, 4, 4].into_iter().map(|threads| run_once(name, linked, orders, threads)).collect();
    for again in &runs[1..] {
        assert_eq!(runs[0].digests, again.digests, "{name}: digests over threads");
        assert_eq!(runs[0].text, again.text, "{name}: outcomes over threads");
    }
    for (report, entry) in runs[0].reports.iter().zip(&runs[0].entries) {
        assert_eq!(report.cycles_predicted, report.cycles, "{name}: entry {entry}");
        let timed = linked.time(entry).unwrap();
        assert_eq!(timed.cycles, report.cycles, "{name}: entry {entry} without values");
        for threads in [1, 2] {
            let expanded = linked.time_expanded(entry, &Conditions::default(), threads).unwrap();
            assert_eq!(expanded.cycles, report.cycles, "{name}: entry {entry} expanded");
            assert_eq!(expanded.trace_digest, timed.trace_digest, "{name}: entry {entry} expanded");
        }
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

fn run_once(name: &str, linked: &Linked<'_>, orders: &Orders, threads: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let program = linked.program();
    let mut simulator = Simulator::new(linked, Kernels::detect(), threads).unwrap();
    orders.prepare(program, &mut simulator);
    for entry in orders.entries(program) {
        match simulator.run_replaying(&entry, orders.replays) {
            Ok(report) => {
                writeln!(outcome.text, "#= entry {entry}: {} cycles", report.cycles).unwrap();
                let nominal = u128::from(report.cycles) * 1_000_000;
                let Elapsed { least, most } = report.elapsed;
                if (least, most) != (nominal, nominal) {
                    let [least, most] = [least, most].map(|t| format!("{}.{:06}", t / 1_000_000, t % 1_000_000));
                    writeln!(outcome.text, "#= elapsed {least} to {most}").unwrap();
                }
                let counts = [
                    ("corrected", report.corrected),
                    ("corrected on links", report.link_corrected),
                    ("replays", report.replays.into()),
                ];
                for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    writeln!(outcome.text, "#= {what} {count}").unwrap();
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
        let (read, expected) = (simulator.read(&order.0).unwrap(), orders::numbers(program, order));
        let format = orders::binding(program, &order.0).format;
        let width = usize::from(format.streams());
        let differs = read.chunks(width).zip(expected.chunks(width)).position(|(read, expected)| read != expected);
        if let Some(at) = differs {
            let [read, expected] = [&read, &expected].map(|bytes| shown(&bytes[at * width..], format));
            panic!("{name}: output {} has from number {at} on {read}, expected {expected}", order.0);
        }
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
