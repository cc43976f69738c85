//! Judges mutants: programs with one small change. What matters must be rejected, by `verify` before the run or by the
//! simulator's linker or run.
//!
//! A mutant is *equivalent* if it is accepted and its outputs and cycles are the original's. It *survives* if it is
//! accepted and they are not. The verifier and the linker look at the same rules by two methods, so they must also agree
//! on each mutant: [`Tally::apart`] lists where they do not.

#[path = "predict.rs"]
mod predict;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use lockstep_kernels::Kernels;
use lockstep_machine::inst::Inst;
use lockstep_program::mutate::{Mutation, apply};
use lockstep_program::program::BindingKind;
use lockstep_program::verify::Violation;
use lockstep_program::{Program, derive, verify};
use lockstep_simulator::{Error, Fault, Linked, Simulator};
use predict::predict;

/// A sound program and how it is run.
pub(crate) struct Case<'a> {
    pub(crate) program: &'a Program<'a>,
    /// Writes inputs and runs entries, each by [`observe`].
    pub(crate) run: &'a dyn Fn(&mut Simulator<'_>) -> Result<Vec<Observed>, Error>,
}

/// What the run of an entry comes to: its cycles, and all outputs after it.
pub(crate) type Observed = (u64, Vec<Vec<u8>>);

/// Runs an entry.
pub(crate) fn observe(program: &Program<'_>, simulator: &mut Simulator<'_>, entry: &str) -> Result<Observed, Error> {
    let report = simulator.run(entry)?;
    let outputs = program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output);
    let outputs = outputs.map(|binding| simulator.read(&binding.name)).collect::<Result<_, _>>()?;
    Ok((report.cycles, outputs))
}

/// What became of some mutants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) mutants: usize,
    pub(crate) by_verify: usize,
    pub(crate) by_linker: usize,
    pub(crate) by_run: usize,
    pub(crate) equivalent: usize,
    pub(crate) survivors: usize,
}

/// What became of the mutants of programs.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<&'static str, Count>,
    /// Each survivor in words.
    pub(crate) survivors: Vec<String>,
    /// Mutants on which verifier and linker differ, in words, by what the one that rejects them says first.
    pub(crate) apart: BTreeMap<String, Vec<String>>,
}

/// Runs the program as it is.
pub(crate) fn behaviour(case: &Case<'_>) -> Result<Vec<Observed>, Error> {
    let linked = Linked::new(case.program)?;
    run(&linked, case)
}

fn run(linked: &Linked<'_>, case: &Case<'_>) -> Result<Vec<Observed>, Error> {
    (case.run)(&mut Simulator::new(linked, Kernels::detect(), 1)?)
}

/// Judges mutants of a program against the program's own behaviour.
pub(crate) fn judge(case: &Case<'_>, original: &[Observed], mutations: &[Mutation], tally: &mut Tally) {
    for mutation in mutations {
        let Some(mutant) = apply(case.program, mutation) else { panic!("{mutation:?} is not possible") };
        let words = || describe(case.program, mutation);
        let count = tally.kinds.entry(mutation.change.kind()).or_default();
        count.mutants += 1;
        let violations = verify(&mutant);
        let linked = Linked::new(&mutant);
        if let Some(violation) = violations.first() {
            count.by_verify += 1;
            if linked.is_ok() {
                let what = format!("only verify: {}", violation.kind);
                tally.apart.entry(what).or_default().push(format!("{}: {violation}", words()));
            }
            continue;
        }
        match linked {
            Err(fault) => {
                count.by_linker += 1;
                let what = format!("only the linker: {}", fault.kind);
                tally.apart.entry(what).or_default().push(format!("{}: {fault}", words()));
            }
            Ok(linked) => match run(&linked, case) {
                Err(_) => count.by_run += 1,
                Ok(found) if found == original => count.equivalent += 1,
                Ok(_) => {
                    count.survivors += 1;
                    tally.survivors.push(words());
                }
            },
        }
    }
}

/// What verifier and linker say about mutants when the program claims nothing about its flow and its cycles: only that
/// two things clash, or that nothing is where something is read.
#[derive(Default)]
pub(crate) struct Hazards {
    pub(crate) mutants: usize,
    pub(crate) rejected: usize,
    /// Mutants on which they differ, in words.
    pub(crate) apart: Vec<String>,
}

/// Compares verifier and linker on mutants whose claims are made anew. Where neither finds a hazard, the linker must
/// resolve the same flow and cycles as the verifier did.
pub(crate) fn hazards(program: &Program<'_>, mutations: &[Mutation], found: &mut Hazards) {
    for mutation in mutations {
        let Some(mut mutant) = apply(program, mutation) else { panic!("{mutation:?} is not possible") };
        predict(&mut mutant);
        let fault = Linked::without_flow(&mutant).err();
        mutant.entries.iter_mut().for_each(|entry| entry.phases.clear());
        let derived = derive(&mut mutant);
        found.mutants += 1;
        found.rejected += usize::from(derived.is_err());
        if let Some(difference) = difference(&mutant, derived, fault) {
            found.apart.push(format!("{}: {difference}", describe(program, mutation)));
        }
    }
}

fn difference(mutant: &Program<'_>, derived: Result<(), Vec<Violation>>, fault: Option<Fault>) -> Option<String> {
    match (derived, fault) {
        (Ok(()), Some(fault)) => Some(format!("only the linker: {fault}")),
        (Ok(()), None) => Linked::new(mutant).err().map(|fault| format!("another flow: {fault}")),
        (Err(violations), Some(fault)) => {
            let named = violations.iter().any(|violation| violation.kind.to_string() == fault.kind.to_string());
            (!named).then(|| format!("verify: {}; the linker: {fault}", violations[0]))
        }
        (Err(violations), None) => {
            // Without flow the linker does not look at outputs.
            let outputs = violations.iter().all(|violation| violation.unit.is_none());
            (!outputs).then(|| format!("only verify: {}", violations[0]))
        }
    }
}

fn describe(program: &Program<'_>, mutation: &Mutation) -> String {
    let block = &program.blocks[mutation.block as usize];
    let text = block.queues.iter().find(|text| text.queue == mutation.queue).unwrap();
    let inst = Inst::decode(text.insts[mutation.inst as usize]).unwrap();
    let Mutation { queue, inst: place, change, .. } = mutation;
    format!("{}, block {}, {queue} instruction {place} `{inst}`: {change:?}", program.name, block.name)
}

impl Count {
    fn add(&mut self, other: Self) {
        self.mutants += other.mutants;
        self.by_verify += other.by_verify;
        self.by_linker += other.by_linker;
        self.by_run += other.by_run;
        self.equivalent += other.equivalent;
        self.survivors += other.survivors;
    }

    /// Whether at most 5 % of the mutants that are not equivalent survive.
    pub(crate) fn is_enough(self) -> bool {
        self.survivors * 20 <= self.mutants - self.equivalent
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mutants, by_verify, by_linker, by_run, equivalent, survivors } = *self;
        write!(f, "{mutants:>7} | {by_verify:>7} | {by_linker:>6} | {by_run:>5} | {equivalent:>10} | {survivors:>9}")
    }
}

impl Tally {
    pub(crate) fn total(&self) -> Count {
        let mut total = Count::default();
        self.kinds.values().for_each(|count| total.add(*count));
        total
    }

    /// Adds another's mutants.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, count) in other.kinds {
            self.kinds.entry(kind).or_default().add(count);
        }
        self.survivors.extend(other.survivors);
        for (what, mutants) in other.apart {
            self.apart.entry(what).or_default().extend(mutants);
        }
    }

    /// The table by kinds of changes, then the survivors, one a line, and where verifier and linker differ.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (kind, count) in &self.kinds {
            writeln!(text, "{kind:<24} | {count}").unwrap();
        }
        writeln!(text, "{:<24} | {}", "all", self.total()).unwrap();
        for survivor in &self.survivors {
            writeln!(text, "survives: {survivor}").unwrap();
        }
        for (what, mutants) in &self.apart {
            writeln!(text, "{what}: {}", mutants.len()).unwrap();
            mutants.iter().take(5).for_each(|mutant| writeln!(text, "  {mutant}").unwrap());
        }
        text
    }
}

/// The head of a table whose rows are a name of 24 letters and a [`Count`].
pub(crate) const HEAD: &str = "                         | mutants | verify | linker |   run | equivalent | survivors";
