//! `lockstep compile`: a model becomes a program whose time is known before it runs.

use crate::args::CompileArguments;
use crate::compiled::{Made, Recipe, Target};
use crate::output::{self, write_file};
use crate::store;
use crate::system;
use crate::timetable::tokens_of;
use anyhow::Result;
use lockstep_program::explain::{self, Figures, Spending};
use lockstep_program::verify::bytes_used;
use lockstep_program::{Program, file};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// An entry or a part of it.
struct Row {
    /// `decode`, or `decode.layer`.
    name: String,
    context: Option<u64>,
    /// How many the entry takes at most.
    tokens: u64,
    figures: Figures,
}

/// Compiles, verifies, writes, and says how long each entry takes.
pub fn compile(arguments: &CompileArguments) -> Result<()> {
    let outage = arguments.without.clone().unwrap_or_default();
    let system = system::open(&arguments.system)?.without(&outage)?;
    let places = system.places().to_vec();
    let target = Target {
        system,
        context: arguments.context as usize,
        spread: arguments.spread,
        sequences: arguments.sequences as usize,
    };
    let begun = Instant::now();
    let made = match &arguments.config {
        Some(config) => target.make_shapes(config, arguments.weights.into())?,
        None => Recipe { files: &store::resolve(&arguments.model)?, hash: "", target }.make()?,
    };
    let seconds = begun.elapsed().as_secs_f64();
    let program = &made.program;
    let written = arguments.output.as_ref().map(|path| {
        let bytes = file::encode(program);
        write_file(path, &bytes).map(|()| (path, bytes.len() as u64))
    });
    let written = written.transpose()?;
    let rows = rows(program)?;
    let used = chips_used(program);
    let unused: Vec<u32> = (0..).zip(places).filter(|(chip, _)| !used.contains(chip)).map(|(_, place)| place).collect();
    let names = program.entries.iter().map(|entry| entry.name.as_str());
    let spending: Vec<(&str, Spending)> = names.zip(explain::spending(program)?).collect();
    if arguments.json {
        output::print_json(&as_json(&made, &rows, &spending, &unused, seconds))?;
    } else {
        output::print(&as_text(program, &rows, &spending, &unused))?;
        if let Some((path, bytes)) = written {
            let path = path.display();
            output::note(&format!("{path}: {}, compiled in {seconds:.1} s", output::bytes(bytes)));
        }
    }
    Ok(())
}

/// All entries, each with its parts: phases of one name together.
fn rows(program: &Program<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in explain::explain(program)?.entries {
        let (name, context) = entry.name.split_once('.').unwrap_or((&entry.name, ""));
        let tokens = tokens_of(program, &entry.name) as u64;
        let context = context.split_once('x').map_or(context, |(context, _)| context).parse().ok();
        let row = |name: String, figures: Figures| Row { name, context, tokens, figures };
        // Phases come one after the other: no time is less than the sum of their bounds.
        let mut whole = Figures { bounds: Figures::default().bounds, ..entry.figures };
        let mut parts: Vec<(&str, Figures)> = Vec::new();
        for phase in &entry.phases {
            whole.bounds.iter_mut().zip(phase.figures.bounds).for_each(|(all, more)| *all += more);
            match parts.iter_mut().find(|(known, _)| *known == phase.name) {
                Some((_, figures)) => figures.add(&phase.figures),
                None => parts.push((&phase.name, phase.figures)),
            }
        }
        rows.push(row(name.to_owned(), whole));
        rows.extend(parts.into_iter().map(|(part, figures)| row(format!("{name}.{part}"), figures)));
    }
    Ok(rows)
}

fn as_json(made: &Made, rows: &[Row], spending: &[(&str, Spending)], unused: &[u32], seconds: f64) -> Value {
    let program = &made.program;
    let clock = program.machine.clock_hertz as f64;
    let phase = |row: &Row| {
        let (bound, bound_cycles) = row.figures.bound();
        json!({
            "name": row.name,
            "context": row.context,
            "tokens": row.tokens,
            "cycles": row.figures.cycles,
            "seconds": row.figures.cycles as f64 / clock,
            "bound_cycles": bound_cycles,
            "bound": bound.to_string(),
        })
    };
    let [one_user, pipelined] = rates(program);
    let decode = rows.iter().find(|row| row.name == "decode" && row.tokens == 1).map(|row| row.figures.bound());
    let spent = |(entry, spent): &(&str, Spending)| {
        json!({
            "entry": entry,
            "compute_cycles": spent.compute,
            "exchange_cycles": spent.exchange,
            "memory_cycles": spent.memory,
            "wait_cycles": spent.wait,
        })
    };
    json!({
        "program": program.name,
        "machine": program.machine.name,
        "chips": chips_used(program).len(),
        "chips_unused": unused,
        "weight_format": made.weight_format,
        "bits_per_weight": made.bits_per_weight,
        "tokens_per_second_one_user": one_user,
        "tokens_per_second_pipelined": pipelined,
        "bound": decode.map(|(bound, _)| bound.to_string()),
        "bound_cycles": decode.map(|(_, cycles)| cycles),
        "phases": rows.iter().map(phase).collect::<Vec<_>>(),
        "spending": spending.iter().map(spent).collect::<Vec<_>>(),
        "bytes_used": bytes_of_fullest(program),
        "bytes_available": program.machine.sram_bytes(),
        "compile_seconds": seconds,
    })
}

fn as_text(program: &Program<'_>, rows: &[Row], spending: &[(&str, Spending)], unused: &[u32]) -> String {
    let clock = program.machine.clock_hertz as f64;
    let mut lines = vec![format!(
        "{:<18}{:>8}{:>10}{:>12}{:>12}{:>10}  bound",
        "phase", "context", "cycles", "us", "tokens/s", "at least"
    )];
    for row in rows {
        let cycles = row.figures.cycles;
        let (bound, bound_cycles) = row.figures.bound();
        let seconds = cycles as f64 / clock;
        let context = row.context.map_or_else(String::new, |context| context.to_string());
        let is_entry = !row.name.contains('.');
        let rate = if is_entry { format!("{:.0}", row.tokens as f64 / seconds) } else { String::new() };
        let name = if is_entry { row.name.clone() } else { format!("  {}", row.name) };
        lines.push(format!(
            "{name:<18}{context:>8}{cycles:>10}{:>12.1}{rate:>12}{:>10}  {}",
            seconds * 1e6,
            bound_cycles,
            bound
        ));
    }
    let (used, all) = (bytes_of_fullest(program), program.machine.sram_bytes());
    let chips = chips_used(program).len();
    let of_chips = if chips == 1 { String::new() } else { format!(" on the fullest of {chips} chips") };
    lines.push(format!("memory {} of {}{of_chips}", output::bytes(used), output::bytes(all)));
    if !unused.is_empty() {
        lines.push(format!("not used: {}", chips_named(unused)));
    }
    if chips > 1 {
        for (entry, spent) in spending {
            let Spending { compute, exchange, memory, wait } = spent;
            lines.push(format!(
                "{entry}: in {compute} cycles some chip computes, in {exchange} others vectors are on their way between \
                 chips, in {memory} others memory is read or written, in {wait} nothing happens"
            ));
        }
        let [one_user, pipelined] = rates(program);
        lines.push(format!(
            "{one_user:.0} tokens/s for one sequence; {pipelined:.0} for as many as the pipeline holds (a token as \
             often as no chip has two things to do at once)"
        ));
    }
    lines.join("\n") + "\n"
}

/// `chip 3, chips 8 to 15`, of rising numbers.
fn chips_named(chips: &[u32]) -> String {
    let named = |run: &[u32]| match run {
        [first, .., last] => format!("chips {first} to {last}"),
        [chip] => format!("chip {chip}"),
        [] => String::new(),
    };
    chips.chunk_by(|one, next| one + 1 == *next).map(named).collect::<Vec<_>>().join(", ")
}

/// The chips that run anything.
fn chips_used(program: &Program<'_>) -> BTreeSet<u32> {
    program.entries.iter().flat_map(|entry| &entry.instances).map(|instance| instance.chip).collect()
}

fn bytes_of_fullest(program: &Program<'_>) -> u64 {
    chips_used(program).into_iter().map(|chip| bytes_used(program, chip)).max().unwrap_or_default()
}

/// Tokens a second in the shortest context: of one sequence, and of all that the pipeline holds.
fn rates(program: &Program<'_>) -> [f64; 2] {
    let decode = program.entries.iter().find(|entry| entry.name.starts_with("decode.") && !entry.name.contains('x'));
    let cycles = decode.map_or([0, 0], |entry| [entry.cycles, entry.interval(&program.blocks)]);
    cycles.map(|cycles| program.machine.clock_hertz as f64 / cycles.max(1) as f64)
}
