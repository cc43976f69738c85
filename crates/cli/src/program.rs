//! Programs from files, compiled or as text.

use crate::map::Map;
use crate::output;
use anyhow::{Context, Result, anyhow, bail};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::text::TextErrors;
use lockstep_program::verify::Violation;
use lockstep_program::{Program, derive, file, text};
use serde_json::{Value, json};
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
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
            return Ok(Self::Read(bytes));
        }
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("{shown}: a folder, not a program: give a program's file, or a text"),
            // A pipe, which cannot be mapped.
            Ok(found) if !found.is_file() => {
                let read = std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
                read.with_context(|| format!("{shown}: cannot be read"))?;
                Ok(Self::Read(bytes))
            }
            _ => Ok(Self::Mapped(Map::open(path)?)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }

    /// Reads a program file, or assembles a text.
    pub fn program(&self) -> Result<Opened<'_>> {
        if self.is_file() {
            return Ok(Opened::Program(file::decode(self.bytes())?));
        }
        Ok(assemble(self.text()?, None))
    }

    /// Assembles a text for another machine than the one that it names.
    pub fn program_for(&self, machine: &MachineSpec) -> Result<Opened<'_>> {
        if self.is_file() {
            bail!("a program file is for the machine that it was made for: give its text");
        }
        Ok(assemble(self.text()?, Some(machine)))
    }

    /// Whether it is a program's file, of any version, or the beginning of one.
    fn is_file(&self) -> bool {
        let (bytes, magic) = (self.bytes(), &file::MAGIC[..6]);
        !bytes.is_empty() && (bytes.starts_with(magic) || magic.starts_with(bytes))
    }

    fn text(&self) -> Result<&str> {
        let bytes = self.bytes();
        if bytes.starts_with(b"GGUF") {
            bail!("a model, not a program: `lockstep layer` makes a program of a model's first layer");
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| anyhow!("neither a program file nor a text: check the path"))?;
        // Some editors begin a text with a mark that nobody sees.
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }
}

fn assemble(text: &str, machine: Option<&MachineSpec>) -> Opened<'static> {
    let parsed = match machine.map_or_else(|| text::parse(text), |machine| text::parse_for(text, machine)) {
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

/// Opens what must be a program; prints what is wrong with it otherwise. As JSON that is all there is to say, and there
/// is no program.
pub fn require<'a>(source: &'a Source, path: &Path, json: bool) -> Result<Option<Program<'a>>> {
    let shown = path.display();
    match source.program().with_context(|| format!("{shown}"))? {
        Opened::Program(program) => Ok(Some(program)),
        Opened::Mistakes(errors) if json => {
            output::print_json(&mistakes_json(&errors))?;
            Ok(None)
        }
        Opened::Violations(_, violations) if json => {
            output::print_json(&json!({ "violations": violations_json(&violations) }))?;
            Ok(None)
        }
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

/// Mistakes of a text for programs.
pub fn mistakes_json(errors: &TextErrors) -> Value {
    let errors = errors.0.iter().map(
        |error| json!({ "line": error.line, "column": error.column, "message": error.message, "hint": error.hint }),
    );
    json!({ "errors": errors.collect::<Vec<_>>() })
}

/// Violations for programs.
pub fn violations_json(violations: &[Violation]) -> Value {
    let violation = |violation: &Violation| {
        json!({
            "kind": violation.kind.to_string(),
            "cycle": violation.cycle,
            "chip": violation.chip,
            "unit": violation.unit.map(|unit| unit.to_string()),
            "instruction": violation.inst,
            "other_unit": violation.other.as_ref().map(|(unit, _)| unit.to_string()),
            "other_instruction": violation.other.as_ref().map(|(_, inst)| inst),
            "message": violation.message,
        })
    };
    violations.iter().map(violation).collect()
}

/// How long the entries of a program take: `main 12 cycles`.
pub fn entries(program: &Program<'_>) -> String {
    if program.entries.is_empty() {
        return "no entries".to_owned();
    }
    let entries = program.entries.iter().map(|e| format!("{} {}", e.name, count(e.cycles as usize, "cycle")));
    entries.collect::<Vec<_>>().join(", ")
}

/// `1 mistake`, `2 mistakes`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
