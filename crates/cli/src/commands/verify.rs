//! `lockstep verify PROGRAM`: all that is wrong with a program, before it runs.

use crate::args::VerifyArguments;
use crate::program::{self, Opened, Source, count, print_mistakes};
use crate::{output, system};
use anyhow::{Context, Result, bail};
use lockstep_program::Program;
use lockstep_program::verify::{Violation, bytes_used, verify as violations_of};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Prints all violations; exit 1 if there are any.
pub fn verify(arguments: &VerifyArguments) -> Result<ExitCode> {
    let shown = arguments.program.display();
    let source = Source::open(&arguments.program)?;
    let (program, violations) = match source.program().with_context(|| format!("{shown}"))? {
        Opened::Program(program) => {
            let violations = violations_of(&program);
            (program, violations)
        }
        Opened::Violations(program, violations) => (program, violations),
        Opened::Mistakes(errors) if arguments.json => {
            output::print_json(&program::mistakes_json(&errors))?;
            return Ok(ExitCode::FAILURE);
        }
        Opened::Mistakes(errors) => {
            print_mistakes(&arguments.program, &errors);
            bail!("{shown}: {} in the text", count(errors.0.len(), "mistake"));
        }
    };
    system::require(&program, arguments.system.as_deref())?;
    if arguments.json {
        output::print_json(&as_json(&program, &violations))?;
    } else {
        violations.iter().try_for_each(|violation| output::print(&format!("{violation}\n")))?;
        match violations.len() {
            0 => output::print(&format!("{shown}: sound; {}\n", program::entries(&program)))?,
            some => output::note(&format!("error: {shown}: {}", count(some, "violation"))),
        }
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(program: &Program<'_>, violations: &[Violation]) -> Value {
    let entries = program.entries.iter().map(|entry| json!({ "name": entry.name, "cycles": entry.cycles }));
    json!({
        "program": program.name,
        "machine": program.machine.name,
        "chips": program.chips,
        "sound": violations.is_empty(),
        "entries": entries.collect::<Vec<_>>(),
        "bytes_used": if violations.is_empty() { (0..program.chips).map(|chip| bytes_used(program, chip)).collect() } else { Vec::new() },
        "violations": program::violations_json(violations),
    })
}
