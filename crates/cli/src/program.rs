//! Programs from files, compiled or as text.

use crate::map::Map;
use crate::output;
use anyhow::{Context, Result, anyhow};
use lockstep_program::text::TextErrors;
use lockstep_program::verify::Violation;
use lockstep_program::{Program, derive, file, text};
use std::io::Read;
use std::path::Path;

/// The bytes of a program's file, or of a text.
pub enum Source {
    Mapped(Map),
    Read(Vec<u8>),
}

/// What became of a file that should be a program.
pub enum Opened<'a> {
    Program(Program<'a>),
    /// A text with mistakes.
    Mistakes(TextErrors),
    /// A text without mistakes, whose instructions cannot run: they leave it open who produces what.
    Violations(Program<'a>, Vec<Violation>),
}

impl Source {
    /// The file at a path, `-` being standard input.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
            return Ok(Self::Read(bytes));
        }
        Ok(Self::Mapped(Map::open(path)?))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }

    /// Reads a program file, or assembles a text.
    pub fn program(&self) -> Result<Opened<'_>> {
        let bytes = self.bytes();
        if bytes.starts_with(&file::MAGIC) {
            return Ok(Opened::Program(file::decode(bytes)?));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| anyhow!("neither a program file nor a text: check the path"))?;
        Ok(assemble(text))
    }
}

fn assemble(text: &str) -> Opened<'static> {
    let parsed = match text::parse(text) {
        Ok(parsed) => parsed,
        Err(errors) => return Opened::Mistakes(errors),
    };
    let mut program = parsed.program;
    if parsed.derive
        && let Err(violations) = derive(&mut program)
    {
        return Opened::Violations(program, violations);
    }
    Opened::Program(program)
}

/// Opens what must be a sound program; prints what is wrong with it otherwise.
pub fn require<'a>(source: &'a Source, path: &Path) -> Result<Program<'a>> {
    let shown = path.display();
    match source.program().with_context(|| format!("{shown}"))? {
        Opened::Program(program) => Ok(program),
        Opened::Mistakes(errors) => {
            print_mistakes(path, &errors);
            Err(anyhow!("{shown}: {} in the text", count(errors.0.len(), "mistake")))
        }
        Opened::Violations(_, violations) => {
            print_violations(&violations);
            Err(anyhow!("{shown}: {}", count(violations.len(), "violation")))
        }
    }
}

/// Prints mistakes of a text as editors understand them.
pub fn print_mistakes(path: &Path, errors: &TextErrors) {
    for error in &errors.0 {
        output::note(&format!("{}:{error}", path.display()));
    }
}

/// Prints violations, one a line.
pub fn print_violations(violations: &[Violation]) {
    for violation in violations {
        output::note(&violation.to_string());
    }
}

/// `1 mistake`, `2 mistakes`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
