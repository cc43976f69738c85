//! Compiled models: made of a model's files for a system, checked, and kept in the cache folder.

use crate::args::Spread;
use crate::cache;
use crate::files::ModelFiles;
use crate::load::{Outline, json, path_of, with_contents};
use crate::map::Map;
use crate::output;
use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use lockstep_arith::matrix::Format;
use lockstep_compiler::{Error, Options, Weights, compile};
use lockstep_graph::Graph;
use lockstep_graph::contract::ContractWeight;
use lockstep_machine::system::SystemSpec;
use lockstep_models::ModelConfig;
use lockstep_models::weights::contract_weights;
use lockstep_program::verify::{Violation, ViolationKind};
use lockstep_program::{Program, file, verify};
use std::path::{Path, PathBuf};

/// The context that is compiled for where none is given: one vector of positions.
pub const CONTEXT: usize = 256;

/// Tokens of a step that reads a prompt.
const BATCH: u32 = 128;

/// What models are compiled for.
pub struct Target {
    /// The system.
    pub system: SystemSpec,
    /// The longest sequence.
    pub context: usize,
    /// How they are spread over the system's chips.
    pub spread: Spread,
    /// Sequences in flight at once.
    pub sequences: usize,
}

/// A compiled model.
pub struct Made {
    /// The program.
    pub program: Program<'static>,
    /// How its weights are stored: formats by name.
    pub weight_format: String,
    /// Bits of a weight of its matrices, on average.
    pub bits_per_weight: f64,
}

impl Target {
    /// Contexts of the entries: whole vectors times powers of two, up to the first that holds the longest sequence.
    pub fn contexts(&self) -> Vec<usize> {
        contexts(self.system.machine().lanes() as usize, self.context)
    }

    fn check(&self, config: &ModelConfig) -> Result<()> {
        let (most, context) = (config.context_length, self.context);
        ensure!(context <= most, "--context {context} is above the {most} tokens of the model: lower it");
        Ok(())
    }

    /// Compiles a model and verifies the program; `bar` says what is being done.
    fn make(
        &self,
        config: &ModelConfig,
        graph: &Graph,
        weights: Weights<'_>,
        contexts: &[usize],
        bar: &ProgressBar,
    ) -> Result<Made> {
        let sound = |batch| {
            bar.set_message("compiling");
            let options = Options {
                name: config.name.clone().unwrap_or_else(|| config.family.to_owned()),
                contexts: contexts.to_vec(),
                batch,
                split: self.spread.split.into(),
                objective: self.spread.objective.into(),
                sequences: self.sequences,
                ..Options::default()
            };
            let program = compile(graph, weights, &self.system, &options)?;
            bar.set_message("verifying");
            let violations = verify(&program);
            Ok((program, violations))
        };
        let made = sound(if self.system.chips == 1 { BATCH } else { 0 });
        // Without steps of many tokens there may be code, and there is more room.
        let made = if needs_less(&made) { sound(0) } else { made };
        let (program, violations) = made?;
        bar.finish_and_clear();
        if let Some(first) = violations.first() {
            bail!("the compiled program is not sound, please report this: {first}");
        }
        let (weight_format, bits_per_weight) = precision(graph, weights);
        Ok(Made { program, weight_format, bits_per_weight })
    }

    /// Compiles the model that a config.json describes, every matrix in one format, for the longest sequence: a program
    /// to be timed, not run.
    pub fn make_shapes(&self, config: &Path, format: Format) -> Result<Made> {
        let make = || {
            let json = json(config)?.context("not there")?;
            let (sizes, graph) = lockstep_models::from_hf_config(&json)?;
            self.check(&sizes)?;
            self.make(&sizes, &graph, format.into(), &[self.context], &output::spinner("compiling"))
        };
        make().with_context(|| config.display().to_string())
    }
}

/// Formats of all matrices, and bits of a weight on average.
fn precision(graph: &Graph, weights: Weights<'_>) -> (String, f64) {
    let matrices = graph.weights.iter().enumerate().filter(|(_, weight)| weight.shape.len() == 2);
    let (mut formats, mut all, mut bits) = (Vec::new(), 0.0, 0.0);
    for (index, weight) in matrices {
        let format = match weights {
            Weights::Shapes(format) => format,
            Weights::Values(values) => match &values[index] {
                ContractWeight::Matrix(matrix) => matrix.format,
                ContractWeight::Vector(_) => continue,
            },
        };
        let count = weight.shape.iter().map(|size| *size as f64).product::<f64>();
        (all, bits) = (all + count, bits + count * format.bits_per_weight());
        if !formats.contains(&format.name()) {
            formats.push(format.name());
        }
    }
    (formats.join(", "), bits / all)
}

/// A model's files, and what it is to be compiled for.
pub struct Recipe<'a> {
    /// Its files.
    pub files: &'a ModelFiles,
    /// The hash of what decides its weights.
    pub hash: &'a str,
    /// For what.
    pub target: Target,
}

impl<'a> Recipe<'a> {
    /// A recipe for a system.
    pub fn new(outline: &'a Outline, system: SystemSpec, context: usize, spread: Spread) -> Self {
        let target = Target { system, context, spread, sequences: 1 };
        Self { files: &outline.files, hash: &outline.hash, target }
    }

    /// Compiles and verifies.
    pub fn make(&self) -> Result<Made> {
        let bar = output::spinner("importing weights");
        with_contents(self.files, |contents| {
            let model = contents.model()?;
            self.target.check(&model.config)?;
            let weights = contract_weights(&model)?;
            self.target.make(&model.config, &model.graph, (&weights).into(), &self.target.contexts(), &bar)
        })
        .with_context(|| path_of(self.files).display().to_string())
    }

    /// The program from the cache folder, made first where it is not there.
    pub fn kept(&self) -> Result<Program<'static>> {
        let path = self.path()?;
        if let Ok(program) = open(&path) {
            return Ok(program);
        }
        cache::sweep();
        let Made { program, .. } = self.make()?;
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
        let memory = self.target.system.machine().sram_bytes() * u64::from(self.target.system.chips);
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
        let Target { system, spread, .. } = &self.target;
        let (name, machine, cables) = (system.name(), system.machine().canonical_text(), system.cables());
        let (contexts, places) = (self.target.contexts(), system.places());
        let system = format!("{name}\n{machine}\n{places:?}\n{cables:?}");
        cache::program_path(&format!("{}\n{contexts:?}\n{BATCH}\n{spread:?}\n{system}", self.hash))
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
