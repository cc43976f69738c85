//! `lockstep explain PROGRAM`: where a program's cycles go.

use crate::args::ExplainArguments;
use crate::explain::{block_json, entry_json, page, share};
use crate::output::{self, write_file};
use crate::program::{self, Source, count, print_violations};
use crate::system;
use anyhow::{Result, anyhow, bail};
use lockstep_program::Program;
use lockstep_program::explain::{Bound, EntryFigures, Explanation, Figures, Spent, Unit, explain as explanation_of};
use lockstep_program::verify::verify as violations_of;
use lockstep_simulator::{Linked, write_trace};
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Explains a sound program; exit 1, with all violations, of one that is not.
pub fn explain(arguments: &ExplainArguments) -> Result<ExitCode> {
    let source = Source::open(&arguments.program)?;
    let Some(program) = program::require(&source, &arguments.program, arguments.json)? else {
        return Ok(ExitCode::FAILURE);
    };
    system::require(&program, arguments.system.as_deref())?;
    let violations = violations_of(&program);
    if !violations.is_empty() {
        if arguments.json {
            output::print_json(&json!({ "violations": program::violations_json(&violations) }))?;
            return Ok(ExitCode::FAILURE);
        }
        print_violations(&violations);
        bail!("{}: {}", arguments.program.display(), count(violations.len(), "violation"));
    }
    let explanation = explanation_of(&program)?;
    let entries = chosen(&explanation, arguments.entry.as_deref())?;
    if let Some(path) = &arguments.html {
        write_file(path, page(&program, &explanation)?.as_bytes())?;
    }
    if let Some(path) = &arguments.trace {
        let entry = entries.first().ok_or_else(|| anyhow!("the program has no entry to trace"))?;
        let mut bytes = Vec::new();
        write_trace(&Linked::for_timing(&program, 1)?, &entry.name, &mut bytes)??;
        write_file(path, &bytes)?;
    }
    if arguments.json {
        output::print_json(&json!({
            "program": program.name,
            "machine": program.machine.name,
            "chips": program.chips,
            "clock_hertz": program.machine.clock_hertz,
            "entries": entries.iter().map(|entry| entry_json(entry, &program)).collect::<Vec<_>>(),
            "blocks": explanation.blocks.iter().map(|block| block_json(block, &program)).collect::<Vec<_>>(),
        }))?;
    } else {
        output::print(&as_text(&program, &explanation, &entries))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The entry of a name, or all.
fn chosen<'a>(explanation: &'a Explanation, name: Option<&str>) -> Result<Vec<&'a EntryFigures>> {
    let Some(name) = name else { return Ok(explanation.entries.iter().collect()) };
    let found = explanation.entries.iter().find(|entry| entry.name == name);
    let known = || explanation.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
    found.map(|entry| vec![entry]).ok_or_else(|| anyhow!("the program has no entry {name:?}; it has: {}", known()))
}

fn as_text(program: &Program<'_>, explanation: &Explanation, entries: &[&EntryFigures]) -> String {
    let (name, machine) = (&program.name, &program.machine.name);
    let mut text = format!("{name} for {machine}, {}\n", count(program.chips as usize, "chip"));
    for entry in entries {
        entry_text(&mut text, program, entry);
    }
    text += "\nblocks\n";
    let rows = explanation.blocks.iter().map(|block| row(&block.name, "", &block.figures, block.figures.cycles));
    table(&mut text, &["name", "", "cycles", "", "bound", "cycles", "times it"], rows.collect());
    text
}

fn entry_text(text: &mut String, program: &Program<'_>, entry: &EntryFigures) {
    let figures = &entry.figures;
    let micros = figures.cycles as f64 * 1e6 / program.machine.clock_hertz as f64;
    // Writing to a string does not fail.
    let _ = writeln!(text, "\nentry {}: {}, {micros:.2} us", entry.name, count(figures.cycles as usize, "cycle"));
    let mut rows: Vec<_> = entry
        .phases
        .iter()
        .map(|phase| row(&phase.name, &phase.instances.to_string(), &phase.figures, figures.cycles))
        .collect();
    rows.push(row("all", "", figures, figures.cycles));
    table(text, &["phase", "runs", "cycles", "share", "bound", "cycles", "times it"], rows);
    *text += "\nlower bounds, in cycles\n";
    let bounds = Bound::ALL.iter().map(ToString::to_string).zip(figures.bounds);
    parts(text, bounds.collect(), figures.cycles);
    *text += "\nthe critical chain, in cycles\n";
    let chain = Spent::ALL.iter().map(ToString::to_string).zip(figures.chain);
    parts(text, chain.collect(), figures.cycles);
    *text += "\nissues, and the share of the units' cycles\n";
    for unit in Unit::ALL {
        let issues = figures.issues[unit as usize];
        if issues > 0 {
            let used = 100.0 * figures.utilisation(unit, &program.machine, program.chips);
            let _ = writeln!(text, "  {unit:<10} {issues:>10} {used:>6.1}%");
        }
    }
}

/// Name, runs, cycles, share of the whole, bound, its cycles, how many times as long.
fn row(name: &str, runs: &str, figures: &Figures, whole: u64) -> [String; 7] {
    let (bound, cycles) = figures.bound();
    let times = if cycles == 0 { String::new() } else { format!("{:.2}", figures.cycles as f64 / cycles as f64) };
    let part = format!("{:.1}%", 100.0 * share(figures.cycles, whole));
    [name.to_owned(), runs.to_owned(), figures.cycles.to_string(), part, bound.to_string(), cycles.to_string(), times]
}

/// Columns as wide as their widest cell: names to the left, numbers to the right.
fn table(text: &mut String, head: &[&str; 7], mut rows: Vec<[String; 7]>) {
    rows.insert(0, head.map(str::to_owned));
    if head[3].is_empty() {
        for row in &mut rows {
            row[3].clear();
        }
    }
    let widths: [usize; 7] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate().filter(|(at, _)| widths[*at] > 0) {
            let width = widths[at];
            let _ =
                if at == 0 || at == 4 { write!(line, "  {cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// The parts that are there, each with its share.
fn parts(text: &mut String, parts: Vec<(String, u64)>, whole: u64) {
    for (name, cycles) in parts.into_iter().filter(|(_, cycles)| *cycles > 0) {
        let _ = writeln!(text, "  {name:<10} {cycles:>10} {:>6.1}%", 100.0 * share(cycles, whole));
    }
}
