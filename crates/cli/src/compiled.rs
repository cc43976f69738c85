//! Compiled models: made of a model's files for a system, checked, and kept in the cache folder.

use crate::args::Spread;
use crate::cache;
use crate::files::ModelFiles;
use crate::load::{Outline, path_of, with_contents};
use crate::map::Map;
use crate::output;
use anyhow::{Context, Result, bail, ensure};
use lockstep_compiler::{Error, Options, compile};
use lockstep_machine::system::SystemSpec;
use lockstep_models::weights::contract_weights;
use lockstep_program::verify::{Violation, ViolationKind};
use lockstep_program::{Program, file, verify};
use std::path::{Path, PathBuf};

/// The context that is compiled for where none is given: one vector of positions.
pub const CONTEXT: usize = 256;

/// Tokens of a step that reads a prompt.
const BATCH: u32 = 128;

/// A model that is to be compiled.
pub struct Recipe<'a> {
    /// Its files.
    pub files: &'a ModelFiles,
    /// The hash of what decides its weights.
    pub hash: &'a str,
    /// For which system.
    pub system: SystemSpec,
    /// The longest sequence.
    pub context: usize,
    /// How it is spread over the system's chips.
    pub spread: Spread,
    /// Sequences in flight at once.
    pub sequences: usize,
}

impl<'a> Recipe<'a> {
    /// A recipe for a system.
    pub fn new(outline: &'a Outline, system: SystemSpec, context: usize, spread: Spread) -> Self {
        Self { files: &outline.files, hash: &outline.hash, system, context, spread, sequences: 1 }
    }

    /// Contexts of the entries: whole vectors times powers of two, up to the first that holds the longest sequence.
    pub fn contexts(&self) -> Vec<usize> {
        contexts(self.system.machine().lanes() as usize, self.context)
    }

    /// Compiles and verifies.
    pub fn make(&self) -> Result<Program<'static>> {
        let contexts = self.contexts();
        let bar = output::spinner("importing weights");
        let (program, violations) = with_contents(self.files, |contents| {
            let model = contents.model()?;
            let most = model.config.context_length;
            ensure!(
                self.context <= most,
                "--context {} is above the {most} tokens of the model: lower it",
                self.context
            );
            let weights = contract_weights(&model)?;
            let name = model.config.name.clone().unwrap_or_else(|| model.config.family.to_owned());
            let sound = |batch| {
                bar.set_message("compiling");
                let (split, objective) = (self.spread.split.into(), self.spread.objective.into());
                let (name, contexts) = (name.clone(), contexts.clone());
                let sequences = self.sequences;
                let options = Options { name, contexts, batch, split, objective, sequences, ..Options::default() };
                let program = compile(&model.graph, &weights, &self.system, &options)?;
                bar.set_message("verifying");
                let violations = verify(&program);
                Ok((program, violations))
            };
            let made = sound(if self.system.chips == 1 { BATCH } else { 0 });
            // Without steps of many tokens there may be code, and there is more room.
            let made = if needs_less(&made) { sound(0) } else { made };
            Ok(made?)
        })
        .with_context(|| path_of(self.files).display().to_string())?;
        bar.finish_and_clear();
        if let Some(first) = violations.first() {
            bail!("the compiled program is not sound, please report this: {first}");
        }
        Ok(program)
    }

    /// The program from the cache folder, made first where it is not there.
    pub fn kept(&self) -> Result<Program<'static>> {
        let path = self.path()?;
        if let Ok(program) = open(&path) {
            return Ok(program);
        }
        cache::sweep();
        let program = self.make()?;
        // Nothing is lost but time.
        if let Err(error) = cache::keep_program(&path, &file::encode(&program)) {
            output::note(&format!("{error:#}"));
        }
        Ok(program)
    }

    /// The same where it takes a moment at most; none where it takes longer or the model cannot be compiled. That it
    /// cannot is remembered.
    pub fn kept_soon(&self) -> Option<Program<'static>> {
        let path = self.path().ok()?;
        if let Ok(program) = open(&path) {
            return Some(program);
        }
        // What does not fit the chip by far is not worth importing.
        let memory = self.system.machine().sram_bytes() * u64::from(self.system.chips);
        let is_small = self.files.bytes().is_ok_and(|bytes| bytes <= 2 * memory);
        if !is_small || cache::is_hopeless(&path) {
            return None;
        }
        let made = self.kept().ok();
        if made.is_none() {
            cache::remember_hopeless(&path);
        }
        made
    }

    fn path(&self) -> Result<PathBuf> {
        let (system, machine) = (self.system.name(), self.system.machine().canonical_text());
        let (contexts, spread) = (self.contexts(), self.spread);
        let cables = self.system.cables();
        cache::program_path(&format!(
            "{}\n{contexts:?}\n{BATCH}\n{spread:?}\n{system}\n{machine}\n{cables:?}",
            self.hash
        ))
    }
}

/// Whether the machine lacks code for a program, or room for it or its text.
fn needs_less(made: &Result<(Program<'_>, Vec<Violation>), Error>) -> bool {
    match made {
        Ok((_, violations)) => violations.iter().any(|violation| violation.kind == ViolationKind::TextOverflow),
        Err(error) => matches!(
            error,
            Error::Unsupported { .. }
                | Error::Memory { .. }
                | Error::Capacity { .. }
                | Error::Layers { .. }
                | Error::NoSlot { .. }
        ),
    }
}

/// The file stays mapped for as long as this process lives: its program is what the process is there for, and there is
/// one.
fn open(path: &Path) -> Result<Program<'static>> {
    let map: &'static Map = Box::leak(Box::new(Map::open(path)?));
    Ok(file::decode(map)?)
}

fn contexts(lanes: usize, longest: usize) -> Vec<usize> {
    let mut contexts = vec![lanes];
    while let Some(last) = contexts.last().copied().filter(|last| *last < longest) {
        contexts.push(2 * last);
    }
    contexts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_end_with_the_first_that_holds_the_longest_sequence() {
        assert_eq!(contexts(320, 1), [320]);
        assert_eq!(contexts(320, 320), [320]);
        assert_eq!(contexts(320, 321), [320, 640]);
        assert_eq!(contexts(320, 1280), [320, 640, 1280]);
    }
}
