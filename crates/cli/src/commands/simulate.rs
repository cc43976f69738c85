//! `lockstep simulate PROGRAM`: a program on simulated chips.

use crate::args::{ConditionArguments, SimulateArguments};
use crate::commands::chip::in_cycles;
use crate::output::{self, write_file};
use crate::program::{self, Source, count};
use crate::system;
use anyhow::{Context, Result, anyhow, bail};
use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::system::SystemSpec;
use lockstep_program::Program;
use lockstep_program::program::{Binding, BindingKind, Content, Entry, Word};
use lockstep_program::text::parse_numbers;
use lockstep_simulator::{Conditions, Error, Fault, Linked, Report, Simulator, UNITS, write_trace};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

/// Numbers of an output that the terminal shows.
const SHOWN_MAX: usize = 8;

/// What a run came to.
struct Outcome {
    report: Report,
    /// Seconds to link all blocks and to check all entries.
    link_seconds: f64,
    /// Seconds of each repetition: of a run, of linking, or of an expanded run.
    seconds: Vec<f64>,
    outputs: Vec<(String, Format, Vec<u8>)>,
}

/// Links and runs an entry; a fault is exit 1.
pub fn simulate(arguments: &SimulateArguments) -> Result<ExitCode> {
    let source = Source::open(&arguments.program)?;
    let Some(program) = program::require(&source, &arguments.program, arguments.json)? else {
        return Ok(ExitCode::FAILURE);
    };
    let system = system::require(&program, arguments.system.as_deref())?;
    let conditions = conditions(arguments, &program, system.as_ref())?;
    let entry = match &arguments.entry {
        Some(entry) => entry.clone(),
        None => program.entries.first().map(|entry| entry.name.clone()).context("the program has no entry to run")?,
    };
    match run(arguments, &program, &entry, &conditions) {
        Ok(outcome) => {
            if arguments.json {
                output::print_json(&as_json(arguments, &program, &entry, &outcome))?;
            } else {
                output::print(&as_text(arguments, &program, &entry, &outcome))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.downcast_ref::<Fault>() {
            Some(fault) if arguments.json => {
                output::print_json(&json!({ "fault": {
                    "kind": fault.kind.to_string(),
                    "cycle": fault.cycle,
                    "chip": fault.chip,
                    "unit": fault.unit.to_string(),
                    "message": fault.message,
                }}))?;
                Ok(ExitCode::FAILURE)
            }
            _ => Err(error),
        },
    }
}

/// The conditions of the run. Where the system is given, chips of it that are wired alike stand in for dead ones.
fn conditions(arguments: &SimulateArguments, program: &Program<'_>, system: Option<&SystemSpec>) -> Result<Conditions> {
    let mut conditions = arguments.conditions.conditions(arguments.seed);
    if arguments.timing_only && conditions.link_errors + conditions.link_losses > 0 {
        bail!(
            "errors and losses on links change what arrives, and with --timing-only nothing is sent: leave out one of them"
        );
    }
    let Some(outage) = &arguments.dead else { return Ok(conditions) };
    conditions.outage = outage.clone();
    if let Some(system) = system {
        // For its complaint about what is not there.
        system.check(outage)?;
        conditions.placement = system.place(program.chips, &program.links, outage).unwrap_or_default();
    }
    Ok(conditions)
}

fn run(arguments: &SimulateArguments, program: &Program<'_>, entry: &str, conditions: &Conditions) -> Result<Outcome> {
    let absent = program.images.iter().find(|image| image.content == Content::Absent);
    if let Some(image) = absent.filter(|_| !arguments.timing_only) {
        return Err(anyhow!(Error::Absent(image.name.clone())).context("--timing-only is missing"));
    }
    let inputs = inputs(arguments, program)?;
    let files = arguments.output.iter().map(|text| named(text, "--output", "FILE")).collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|(name, _)| find(program, BindingKind::Output, name).map(|_| ()))?;
    let begun = Instant::now();
    let threads = arguments.threads.into();
    let linked = if arguments.timing_only { Linked::for_timing(program, threads)? } else { Linked::new(program)? };
    let link_seconds = begun.elapsed().as_secs_f64();
    if let Some(path) = &arguments.trace {
        let mut bytes = Vec::new();
        plain(write_trace(&linked, entry, &mut bytes))??;
        write_file(path, &bytes)?;
    }
    if arguments.timing_only {
        return time(arguments, &linked, entry, conditions, link_seconds);
    }
    let mut simulator = plain(Simulator::new(&linked, Kernels::detect(), threads))?;
    inputs.iter().try_for_each(|(name, bytes)| plain(simulator.write(name, bytes)))?;
    flip(&mut simulator, program, arguments);
    simulator.set_conditions(conditions.clone());
    let replays = arguments.conditions.replays;
    let report = plain(simulator.run_replaying(entry, replays))?;
    files.iter().try_for_each(|(name, path)| write_file(path.as_ref(), &plain(simulator.read(name))?))?;
    let all = program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output);
    let outputs = all.map(|b| Ok((b.name.clone(), b.format, plain(simulator.read(&b.name))?)));
    let outputs = outputs.collect::<Result<Vec<_>>>()?;
    let mut seconds = vec![report.run_time.as_secs_f64()];
    for _ in 1..arguments.repeat {
        inputs.iter().try_for_each(|(name, bytes)| plain(simulator.write(name, bytes)))?;
        seconds.push(plain(simulator.run_replaying(entry, replays))?.run_time.as_secs_f64());
    }
    Ok(Outcome { report, link_seconds, seconds, outputs })
}

/// An entry without values, expanded if that is asked for.
fn time(
    arguments: &SimulateArguments,
    linked: &Linked<'_>,
    entry: &str,
    conditions: &Conditions,
    link_seconds: f64,
) -> Result<Outcome> {
    let threads = arguments.threads.into();
    let (mut report, mut seconds) = (plain(linked.time_under(entry, conditions))?, Vec::new());
    if !arguments.expand {
        seconds.push(link_seconds);
    }
    while seconds.len() < arguments.repeat as usize {
        if arguments.expand {
            report = plain(linked.time_expanded(entry, conditions, threads))?;
            seconds.push(report.run_time.as_secs_f64());
        } else {
            let begun = Instant::now();
            Linked::for_timing(linked.program(), threads)?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    Ok(Outcome { report, link_seconds, seconds, outputs: Vec::new() })
}

/// A fault as an error of its own, so that it can be told apart.
fn plain<T>(result: Result<T, Error>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Fault(fault) => fault.into(),
        error => error.into(),
    })
}

fn named<'a>(text: &'a str, flag: &str, what: &str) -> Result<(&'a str, &'a str)> {
    text.split_once('=').with_context(|| format!("{flag} {text:?} has no =: write {flag} 'NAME={what}'"))
}

fn find<'a>(program: &'a Program<'_>, kind: BindingKind, name: &str) -> Result<&'a Binding> {
    let of_kind = || program.bindings.iter().filter(move |binding| binding.kind == kind);
    of_kind().find(|binding| binding.name == name).ok_or_else(|| {
        let known = of_kind().map(|b| format!("{} ({} x {})", b.name, b.elements, b.format)).collect::<Vec<_>>();
        let what = if kind == BindingKind::Input { "input" } else { "output" };
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        anyhow!("the program has no {what} {name:?}; it has: {known}")
    })
}

/// The bytes of all inputs; every one must be given unless only time is asked for.
fn inputs(arguments: &SimulateArguments, program: &Program<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut given: Vec<(String, Vec<u8>)> = Vec::new();
    for text in &arguments.input {
        let (name, numbers) = named(text, "--input", "NUMBERS")?;
        let binding = find(program, BindingKind::Input, name)?;
        if given.iter().any(|(known, _)| known == name) {
            bail!("input {name} is given twice: give it once, with all its numbers");
        }
        let bytes = match numbers.strip_prefix('@') {
            Some(path) => file_numbers(path, binding).with_context(|| format!("input {name}: {path}"))?,
            None => {
                parse_numbers(numbers, binding.format, binding.elements).map_err(|e| anyhow!("input {name}: {e}"))?
            }
        };
        given.push((name.to_owned(), bytes));
    }
    let missing = |b: &&Binding| b.kind == BindingKind::Input && !given.iter().any(|(name, _)| *name == b.name);
    let missing: Vec<_> = program.bindings.iter().filter(missing).collect();
    if !missing.is_empty() && !arguments.timing_only {
        let list = missing.iter().map(|b| format!("{} ({} x {})", b.name, b.elements, b.format)).collect::<Vec<_>>();
        let first = &missing[0].name;
        bail!("inputs without numbers: {}; give each, such as --input '{first}=fill 0'", list.join(", "));
    }
    Ok(given)
}

/// The bytes of a file that has exactly an input's numbers.
fn file_numbers(path: &str, binding: &Binding) -> Result<Vec<u8>> {
    let wanted = u64::from(binding.elements) * u64::from(binding.format.streams());
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(wanted + 1).read_to_end(&mut bytes)?;
    let (is, elements, format) = (bytes.len() as u64, binding.elements, binding.format);
    if is != wanted {
        let is = if is > wanted { "more".to_owned() } else { is.to_string() };
        bail!("{elements} numbers of {format} are {wanted} bytes, the file has {is}");
    }
    Ok(bytes)
}

/// Flips bits of words that images fill: which ones, the seed decides.
fn flip(simulator: &mut Simulator<'_>, program: &Program<'_>, arguments: &SimulateArguments) {
    let filled = |content: &Content<'_>| !matches!(content, Content::Absent);
    let images: Vec<_> = program.images.iter().filter(|image| filled(&image.content)).collect();
    let vectors: u64 = images.iter().map(|image| u64::from(image.vectors)).sum();
    if vectors == 0 {
        return;
    }
    let mut state = arguments.seed;
    let mut draw = |below: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * u128::from(below)) >> 64) as u64
    };
    for _ in 0..arguments.flip_bits {
        let mut vector = draw(vectors);
        let (superlane, bit) = (draw(program.machine.superlanes.into()) as u8, draw(137) as u8);
        for image in &images {
            if vector < u64::from(image.vectors) {
                let word = Word { word: image.first.word + vector as u16, ..image.first };
                simulator.flip(word, superlane, bit);
                break;
            }
            vector -= u64::from(image.vectors);
        }
    }
}

/// Chip-cycles a second, the median's, of what is repeated.
fn rate(arguments: &SimulateArguments, program: &Program<'_>, outcome: &Outcome) -> f64 {
    let mut seconds = outcome.seconds.clone();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    if arguments.timing_only && !arguments.expand {
        return instanced_rate(program, median);
    }
    (outcome.report.cycles * u64::from(program.chips)) as f64 / median.max(1e-9)
}

/// Chip-cycles a second of linking each block once and checking the instances of all entries.
fn instanced_rate(program: &Program<'_>, seconds: f64) -> f64 {
    let cycles: u64 = program.entries.iter().map(|entry| entry.cycles).sum();
    (cycles * u64::from(program.chips)) as f64 / seconds.max(1e-9)
}

/// What was done how fast.
fn speed(arguments: &SimulateArguments, program: &Program<'_>, entry: &str, outcome: &Outcome) -> String {
    let simulated = |rate: f64, how: &str| format!("simulated at {rate:.0} chip-cycles a second, {how}");
    let rate = rate(arguments, program, outcome);
    if !arguments.timing_only {
        return simulated(rate, "with values");
    }
    let instances = |of: &mut dyn Iterator<Item = &Entry>| of.map(|entry| entry.instances.len()).sum::<usize>();
    let threads = count(arguments.threads.into(), "thread");
    let (blocks, all) = (count(program.blocks.len(), "block"), instances(&mut program.entries.iter()));
    let instanced = format!("instanced: {blocks} linked once, {} checked, on {threads}", count(all, "instance"));
    if !arguments.expand {
        return simulated(rate, &instanced);
    }
    let one = instances(&mut program.entries.iter().filter(|known| known.name == entry));
    let issues = outcome.report.counters.issues.iter().sum::<u64>();
    let expanded = format!(
        "expanded: each of {} linked anew and checked, {}, on {threads}",
        count(one, "instance"),
        count(issues as usize, "instruction"),
    );
    let instanced = simulated(instanced_rate(program, outcome.link_seconds), &instanced);
    format!("{instanced}\n{}", simulated(rate, &expanded))
}

fn numbers(format: Format, bytes: &[u8]) -> Vec<Value> {
    let width = usize::from(format.streams());
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        match format {
            Format::I8 => json!(bits as i8),
            Format::I16 => json!(bits as i16),
            Format::I32 => json!(bits as i32),
            Format::I64 => json!(bits as i64),
            // JSON has no infinities and no NaN: these are strings.
            Format::F32 => match f32::from_bits(bits as u32) {
                number if number.is_finite() => json!(number),
                other => json!(other.to_string()),
            },
            Format::U8 | Format::U16 => json!(bits),
        }
    };
    bytes.chunks_exact(width).map(number).collect()
}

/// A number as people write it: an f32 with the digits that tell it apart from others.
fn plainly(number: &Value) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(real) => format!("{:?}", real as f32),
        None => number.as_str().map_or_else(|| number.to_string(), str::to_owned),
    }
}

fn as_json(arguments: &SimulateArguments, program: &Program<'_>, entry: &str, outcome: &Outcome) -> Value {
    let Outcome { report, link_seconds, seconds, outputs } = outcome;
    let counters = &report.counters;
    let by_unit = |value: &dyn Fn(usize) -> Value| -> Map<String, Value> {
        UNITS.iter().enumerate().map(|(at, unit)| ((*unit).to_owned(), value(at))).collect()
    };
    let outputs: Map<String, Value> =
        outputs.iter().map(|(name, format, bytes)| (name.clone(), numbers(*format, bytes).into())).collect();
    let clock = program.machine.clock_hertz as f64;
    let mut value = json!({
        "entry": entry,
        "machine": program.machine.name,
        "chips": program.chips,
        "cycles_predicted": report.cycles_predicted,
        "cycles": report.cycles,
        "seconds_on_chip": report.cycles as f64 / clock,
        "trace_digest": output::hex(&report.trace_digest),
        "chip_cycles_per_second": rate(arguments, program, outcome),
        "values": !arguments.timing_only,
        "threads": arguments.threads,
        "link_seconds": link_seconds,
        "run_seconds": seconds,
        "elapsed_min": in_cycles(report.elapsed.least),
        "elapsed_max": in_cycles(report.elapsed.most),
        "replays": report.replays,
        "corrected_vectors": report.link_corrected,
        "corrected_words": report.corrected,
        "issues": by_unit(&|at| json!(counters.issues[at])),
        "utilisation": by_unit(&|at| json!(counters.utilisation[at])),
        "vectors_read": counters.reads,
        "vectors_written": counters.writes,
        "multiply_adds": counters.multiply_adds,
        "sram_bandwidth_used": counters.sram_bandwidth,
        "stream_bandwidth_used": counters.stream_bandwidth,
        "energy_estimate_joules": {
            "total": counters.energy.total(),
            "idle": counters.energy.idle,
            "mem": counters.energy.mem,
            "streams": counters.energy.streams,
            "mxm": counters.energy.mxm,
            "vxm": counters.energy.vxm,
            "sxm": counters.energy.sxm,
            "c2c": counters.energy.c2c,
        },
        "outputs": outputs,
    });
    if arguments.timing_only {
        value["expanded"] = json!(arguments.expand);
        value["instanced_chip_cycles_per_second"] = json!(instanced_rate(program, *link_seconds));
    }
    value
}

fn as_text(arguments: &SimulateArguments, program: &Program<'_>, entry: &str, outcome: &Outcome) -> String {
    let report = &outcome.report;
    let counters = &report.counters;
    let mut lines = Vec::new();
    for (name, format, bytes) in &outcome.outputs {
        let all = numbers(*format, bytes);
        let shown = all.iter().take(SHOWN_MAX).map(plainly).collect::<Vec<_>>().join(" ");
        let more = if all.len() > SHOWN_MAX { format!(" ... ({} {format})", all.len()) } else { String::new() };
        lines.push(format!("{name}: {shown}{more}"));
    }
    let (cycles, clock) = (report.cycles, program.machine.clock_hertz as f64);
    let micro = cycles as f64 / clock * 1e6;
    lines.push(format!(
        "{entry}: {}, {} predicted, {micro:.3} us on {}",
        count(cycles as usize, "cycle"),
        report.cycles_predicted,
        program.machine.name
    ));
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let busy: Vec<String> = UNITS
        .iter()
        .zip(counters.utilisation)
        .filter(|(_, share)| *share > 0.0)
        .map(|(unit, share)| format!("{unit} {}", percent(share)))
        .collect();
    let busy = if busy.is_empty() { "none".to_owned() } else { busy.join(", ") };
    lines.push(format!("queues busy: {busy}"));
    lines.push(format!(
        "SRAM bandwidth used {}, streams {}; {} multiply-adds",
        percent(counters.sram_bandwidth),
        percent(counters.stream_bandwidth),
        counters.multiply_adds
    ));
    let energy = &counters.energy;
    lines.push(format!("energy {:.3e} J, of which idle {:.3e} J (estimate)", energy.total(), energy.idle));
    if report.corrected > 0 || arguments.flip_bits > 0 {
        lines.push(format!("{} corrected", count(report.corrected as usize, "word")));
    }
    let ConditionArguments { link_error_rate, link_loss_rate, .. } = arguments.conditions;
    if link_error_rate + link_loss_rate > 0.0 {
        let (vectors, replays) =
            (count(report.link_corrected as usize, "vector"), count(report.replays as usize, "run"));
        lines.push(format!("{vectors} corrected on links, {replays} made again"));
    }
    if arguments.conditions.drift_ppm > 0 {
        let [least, most] = [report.elapsed.least, report.elapsed.most].map(in_cycles);
        lines.push(format!("chips end {least:.6} to {most:.6} cycles of reference time after the start"));
    }
    lines.push(format!("trace digest {}", output::hex(&report.trace_digest)));
    lines.push(speed(arguments, program, entry, outcome));
    lines.join("\n") + "\n"
}
