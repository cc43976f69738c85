//! `lockstep collective`: what chips exchange, compiled, verified and run on simulated chips.

use crate::args::CollectiveArguments;
use crate::output::{self, write_file};
use crate::program::count;
use crate::system;
use anyhow::{Context, Result, anyhow, bail};
use lockstep_compiler::{Collected, Collective, compile_collective};
use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::Format;
use lockstep_program::program::{Binding, BindingKind};
use lockstep_program::text::parse_numbers;
use lockstep_program::{Program, file, verify};
use lockstep_simulator::{Linked, Simulator, UNITS};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What came of it.
struct Outcome<'a> {
    arguments: &'a CollectiveArguments,
    system: String,
    made: &'a Collected,
    /// Cycles of the alignment of the chips, and of what follows it.
    cycles: [u64; 2],
    sent: u64,
    /// What a chip has at the end that has anything.
    bytes: u64,
    trace_digest: String,
}

/// Compiles, verifies, simulates with seeded numbers, and compares what each chip has at the end with what it should
/// have.
pub fn collective(arguments: &CollectiveArguments) -> Result<()> {
    let system = system::open(&arguments.system)?;
    let collective = arguments.collective(system.chips);
    let made = compile_collective(&system, collective, arguments.vectors as usize)?;
    if let Some(violation) = verify(&made.program).first() {
        bail!("the program is not lawful: {violation}");
    }
    let outcome = run(arguments, collective, &made, system.name())?;
    if let Some(path) = &arguments.output {
        write_file(path, &file::encode(&made.program))?;
    }
    if arguments.json {
        output::print_json(&outcome.as_json())?;
    } else {
        output::print(&outcome.as_text())?;
    }
    Ok(())
}

fn run<'a>(
    arguments: &'a CollectiveArguments,
    collective: Collective,
    made: &'a Collected,
    system: String,
) -> Result<Outcome<'a>> {
    let program = &made.program;
    let linked = Linked::new(program)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut simulator = Simulator::new(&linked, Kernels::detect(), threads)?;
    let mut inputs = Vec::new();
    for (chip, binding) in bindings(program, BindingKind::Input).enumerate() {
        let bytes = numbers(binding, arguments.seed.wrapping_add(chip as u32), program.chips)?;
        simulator.write(&binding.name, &bytes)?;
        inputs.push(bytes);
    }
    let report = simulator.run(collective.name())?;
    let expected = expected(collective, &inputs)?;
    for binding in bindings(program, BindingKind::Output) {
        if simulator.read(&binding.name)? != expected {
            bail!("output {}: not what the inputs give; please report this program", binding.name);
        }
    }
    let entry = &program.entries[0];
    let behind = entry.phases.iter().filter(|phase| phase.name == collective.name()).map(|phase| phase.cycles).sum();
    let sends = UNITS.iter().position(|unit| *unit == "send").context("no unit is called send")?;
    Ok(Outcome {
        arguments,
        system,
        made,
        cycles: [report.cycles - behind, behind],
        sent: report.counters.issues[sends],
        bytes: expected.len() as u64,
        trace_digest: output::hex(&report.trace_digest),
    })
}

fn bindings<'a>(program: &'a Program<'_>, kind: BindingKind) -> impl Iterator<Item = &'a Binding> {
    program.bindings.iter().filter(move |binding| binding.kind == kind)
}

/// Numbers of an input by a seed: bytes, or integers of which so many can be summed up.
fn numbers(binding: &Binding, seed: u32, chips: u32) -> Result<Vec<u8>> {
    let [least, most] = match binding.format {
        Format::I32 => [-1, 1].map(|sign| sign * (i32::MAX / chips.max(1) as i32)),
        _ => [i8::MIN, i8::MAX].map(i32::from),
    };
    let rule = format!("random seed={seed} min={least} max={most}");
    parse_numbers(&rule, binding.format, binding.elements).map_err(|error| anyhow!("{error}"))
}

/// The bytes that each output should have: sums as plain integers add up, or what was sent, in the order of the chips.
fn expected(collective: Collective, inputs: &[Vec<u8>]) -> Result<Vec<u8>> {
    if collective != Collective::AllReduce {
        return Ok(inputs.concat());
    }
    let mut sums = vec![0_i64; inputs.first().map_or(0, |input| input.len() / 4)];
    for input in inputs {
        for (sum, bytes) in sums.iter_mut().zip(input.chunks_exact(4)) {
            *sum += i64::from(i32::from_le_bytes(bytes.try_into()?));
        }
    }
    let sums = sums.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(sums.into_iter().flat_map(i32::to_le_bytes).collect())
}

impl Outcome<'_> {
    fn seconds(&self) -> f64 {
        self.cycles[1] as f64 / self.made.program.machine.clock_hertz as f64
    }

    fn as_text(&self) -> String {
        let Collected { program, method, tried, hops } = self.made;
        let [align, cycles] = self.cycles;
        let (clock, lanes) = (program.machine.clock_hertz / 1_000_000, program.machine.lanes());
        let name = self.made.program.name.as_str();
        let of = count(self.arguments.vectors as usize, "vector");
        let mut text = format!("{name} of {of} on {}: {method}\n\n", self.system);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:16} {value}");
        };
        row("cycles", &format!("{cycles}, {:.3} us at {clock} MHz", self.seconds() * 1e6));
        row("alignment", &format!("{align} cycles before"));
        row("hops", &hops.to_string());
        row("vectors sent", &format!("{} of {lanes} bytes", self.sent));
        row("links used", &program.links.len().to_string());
        let rate = output::bytes((self.bytes as f64 / self.seconds()) as u64);
        row("a chip gets", &format!("{} bytes, {rate}/s", self.bytes));
        for (method, cycles) in tried.iter().filter(|_| tried.len() > 1) {
            row("tried", &format!("{method}: {cycles} cycles"));
        }
        row("checked", "every chip has what it should have");
        text
    }

    fn as_json(&self) -> Value {
        let Collected { program, method, tried, hops } = self.made;
        let [align, cycles] = self.cycles;
        let tried = tried.iter().map(|(method, cycles)| json!({ "method": method.to_string(), "cycles": cycles }));
        json!({
            "collective": program.name,
            "system": self.system,
            "chips": program.chips,
            "vectors": self.arguments.vectors,
            "method": method.to_string(),
            "tried": tried.collect::<Vec<_>>(),
            "cycles": cycles,
            "seconds": self.seconds(),
            "align_cycles": align,
            "hops": hops,
            "vectors_sent": self.sent,
            "links_used": program.links.len(),
            "bytes_per_chip": self.bytes,
            "bytes_per_second_per_chip": self.bytes as f64 / self.seconds(),
            "trace_digest": self.trace_digest,
        })
    }
}
