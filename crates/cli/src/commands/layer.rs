//! `lockstep layer`: the program of a decoder layer alone, with a model's real weights.

use crate::args::LayerArguments;
use crate::load::{path_of, with_contents};
use crate::output::{self, write_file};
use crate::{store, system};
use anyhow::{Context, Result};
use lockstep_compiler::{Options, Part, compile};
use lockstep_models::weights::contract_weights;
use lockstep_program::file;

/// Writes the program of the first layer of a model.
pub fn layer(arguments: &LayerArguments) -> Result<()> {
    let files = store::resolve(&arguments.model)?;
    let system = system::open(&arguments.system)?;
    let positions = system.machine().lanes() as usize;
    let (graph, weights) = with_contents(&files, |contents| {
        let model = contents.model()?.first_layer().context("the model has no decoder layer")?;
        let weights = contract_weights(&model)?;
        Ok((model.graph, weights))
    })
    .with_context(|| path_of(&files).display().to_string())?;
    let options = Options { name: "layer".into(), part: Part::Layer, contexts: vec![positions], ..Options::default() };
    let program = compile(&graph, &weights, system.machine(), &options)?;
    let bytes = file::encode(&program);
    write_file(&arguments.output, &bytes)?;
    let entries: Vec<_> =
        program.entries.iter().map(|entry| format!("{} {} cycles", entry.name, entry.cycles)).collect();
    let (path, size) = (arguments.output.display(), output::bytes(bytes.len() as u64));
    output::note(&format!("{path}: {size}, contexts of up to {positions} tokens, {}", entries.join(", ")));
    Ok(())
}
