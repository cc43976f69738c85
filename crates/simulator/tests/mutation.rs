//! Mutants of all filetests that are sound and run without a fault: each is rejected, or does the same, but for a few.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/mutants.rs"]
mod mutants;
#[allow(dead_code, reason = "what is expected of files is another test's")]
#[path = "support/orders.rs"]
mod orders;

use std::borrow::Cow;
use std::fmt::Write as _;

use lockstep_machine::inst::operand::Format;
use lockstep_program::mutate::{mutations, sample, spaced};
use lockstep_program::program::{Binding, BindingKind};
use lockstep_program::{Program, derive, text, verify};
use lockstep_simulator::Simulator;

use mutants::{Case, HEAD, Hazards, Tally, behaviour, hazards, judge, observe};
use orders::Orders;

/// Mutants of one file, at most; a file with more has so many of them chosen by a seed.
const MUTANTS_MAX: usize = 300;

/// The same for hazards alone.
const HAZARDS_MAX: usize = 100;

#[test]
fn few_mutants_survive() {
    let mut all = Tally::default();
    let mut table = format!("{HEAD}\n");
    let mut weak = Vec::new();
    for path in orders::files() {
        let source = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(program) = sound(&source) else { continue };
        let Some(tally) = of_file(&program, &Orders::read(&source)) else { continue };
        writeln!(table, "{name:<24} | {}", tally.total()).unwrap();
        if !tally.total().is_enough() {
            weak.push(name);
        }
        all.add(tally);
    }
    println!("{table}\n{}", all.report());
    assert!(all.total().mutants > 0, "no file is sound and runs");
    assert!(weak.is_empty(), "more than 5 % survive: {}", weak.join(", "));
    assert!(all.apart.is_empty(), "verify and the linker differ");
}

#[test]
fn verifier_and_linker_find_the_same_hazards() {
    let mut found = Hazards::default();
    for path in orders::files() {
        let Some(program) = sound(&std::fs::read_to_string(&path).unwrap()) else { continue };
        let program = roomy(&program);
        hazards(&program, &sample(mutations(&program), HAZARDS_MAX, 2), &mut found);
    }
    let Hazards { mutants, rejected, apart } = found;
    println!("without claims {rejected} of {mutants} mutants are rejected");
    assert!(rejected > 0 && rejected < mutants);
    assert!(apart.is_empty(), "{}", apart.join("\n"));
}

/// The file's program, if nothing is wrong with it.
fn sound(source: &str) -> Option<Program<'static>> {
    let parsed = text::parse(source).ok()?;
    let mut program = parsed.program;
    if parsed.derive {
        derive(&mut program).ok()?;
    }
    verify(&program).is_empty().then_some(program)
}

/// The program with room to move instructions, unless its text is too long for that.
fn roomy<'p>(program: &'p Program<'p>) -> Cow<'p, Program<'p>> {
    spaced(program).filter(|spaced| verify(spaced).is_empty()).map_or(Cow::Borrowed(program), Cow::Owned)
}

fn of_file(program: &Program<'_>, orders: &Orders) -> Option<Tally> {
    let program = &roomy(program);
    let run = |simulator: &mut Simulator<'_>| {
        let unset = |binding: &&Binding| orders.set.iter().all(|(name, _)| *name != binding.name);
        let inputs = program.bindings.iter().filter(|binding| binding.kind == BindingKind::Input);
        for (seed, binding) in inputs.filter(unset).enumerate() {
            simulator.write(&binding.name, &numbers(binding, seed as u64 + 1)).unwrap();
        }
        orders.prepare(program, simulator);
        orders.entries(program).iter().map(|entry| observe(program, simulator, entry)).collect()
    };
    let case = Case { program, run: &run };
    let original = behaviour(&case).ok()?;
    let mut tally = Tally::default();
    judge(&case, &original, &sample(mutations(program), MUTANTS_MAX, 1), &mut tally);
    Some(tally)
}

/// Small random numbers for an input.
fn numbers(binding: &Binding, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i32 % 100
    };
    let number = |_| {
        let number = next();
        match binding.format {
            Format::F32 => (number as f32 / 25.0).to_le_bytes().to_vec(),
            format => i64::from(number).to_le_bytes()[..usize::from(format.streams())].to_vec(),
        }
    };
    (0..binding.elements).flat_map(number).collect()
}
