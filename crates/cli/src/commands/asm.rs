//! `lockstep asm` and `lockstep disasm`: programs from text and back.

use crate::args::{AsmArguments, DisasmArguments};
use crate::output::{self, write_file};
use crate::program::{self, Opened, Source, count, print_mistakes};
use crate::system;
use anyhow::{Context, Result, bail};
use lockstep_program::Program;
use lockstep_program::{file, text};
use serde_json::json;
use std::process::ExitCode;

/// Writes the program of a text; nothing is written if anything is wrong.
pub fn asm(arguments: &AsmArguments) -> Result<ExitCode> {
    let shown = arguments.file.display();
    let source = Source::open(&arguments.file)?;
    let opened = match &arguments.system {
        Some(system) => source.program_for(system::open(system)?.machine()),
        None => source.program(),
    };
    match opened.with_context(|| format!("{shown}"))? {
        Opened::Program(program) => {
            system::require(&program, arguments.system.as_deref())?;
            write(&program, arguments)?;
        }
        Opened::Mistakes(errors) if arguments.json => {
            output::print_json(&program::mistakes_json(&errors))?;
            return Ok(ExitCode::FAILURE);
        }
        Opened::Mistakes(errors) => {
            print_mistakes(&arguments.file, &errors);
            bail!("{shown}: {} in the text, nothing is written", count(errors.0.len(), "mistake"));
        }
        Opened::Violations(_, violations) if arguments.json => {
            output::print_json(&json!({ "violations": program::violations_json(&violations) }))?;
            return Ok(ExitCode::FAILURE);
        }
        Opened::Violations(_, violations) => {
            program::print_violations(&violations);
            bail!("{shown}: {}, nothing is written", count(violations.len(), "violation"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(program: &Program<'_>, arguments: &AsmArguments) -> Result<()> {
    let bytes = file::encode(program);
    write_file(&arguments.output, &bytes)?;
    if arguments.json {
        let hash = output::hex(&file::content_hash(program));
        let entries = program.entries.iter().map(|entry| json!({ "name": entry.name, "cycles": entry.cycles }));
        let entries: Vec<_> = entries.collect();
        output::print_json(
            &json!({ "program": arguments.output, "bytes": bytes.len(), "content_hash": hash, "entries": entries }),
        )?;
        return Ok(());
    }
    let (path, size) = (arguments.output.display(), output::bytes(bytes.len() as u64));
    output::note(&format!("{path}: {size}, {}", program::entries(program)));
    Ok(())
}

/// Prints a program as text.
pub fn disasm(arguments: &DisasmArguments) -> Result<()> {
    let source = Source::open(&arguments.program)?;
    if let Some(program) = program::require(&source, &arguments.program, false)? {
        output::print(&text::print(&program))?;
    }
    Ok(())
}
