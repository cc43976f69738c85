//! `lockstep info FILE`: what a model file holds and how exactly its weights are imported.

use crate::args::InfoArguments;
use crate::commands::report;
use crate::load::{Contents, path_of, with_contents};
use crate::{output, store};
use anyhow::{Context, Result};
use lockstep_arith::import::{ImportReport, target};
use lockstep_arith::matrix::Format;
use lockstep_formats::{Tensor, Value};
use lockstep_models::ModelConfig;
use serde_json::json;
use std::fmt::Write;

/// Texts and lists are cut here in the table; `--json` has texts whole.
const SHOWN_MAX: usize = 60;

/// Prints what is asked for.
pub fn info(arguments: &InfoArguments) -> Result<()> {
    let name = arguments.file.as_deref().or(arguments.model.as_deref()).unwrap_or(store::DEFAULT);
    let files = store::resolve(name)?;
    let shown = path_of(&files).display().to_string();
    let text = with_contents(&files, |contents| {
        if arguments.graph {
            return Ok(contents.model()?.graph.to_string());
        }
        let reports = report::reports(contents.tensors())?;
        // A file that cannot run can still be described.
        let config = contents.model().map(|model| model.config);
        if arguments.json {
            Ok(format!("{}\n", as_json(contents, &reports, &config)))
        } else {
            Ok(as_text(contents, &reports, &config))
        }
    });
    output::print(&text.with_context(|| shown.clone())?)?;
    Ok(())
}

fn container(contents: &Contents<'_>) -> String {
    match contents {
        Contents::Gguf(gguf) => format!("GGUF version {}", gguf.version),
        Contents::Folder { .. } => "safetensors".into(),
    }
}

/// The block format that a tensor is imported into.
fn imported(tensor: &Tensor<'_>) -> &'static str {
    match tensor.shape[..] {
        [_, _] => match target(tensor.ty) {
            Format::Lb4 { has_offset: true, .. } => "LB4+O",
            Format::Lb4 { has_offset: false, .. } => "LB4",
            Format::Lb8 => "LB8",
        },
        _ => "F32",
    }
}

fn as_text(contents: &Contents<'_>, reports: &[Option<ImportReport>], config: &Result<ModelConfig>) -> String {
    let mut out = format!("{}\n", container(contents));
    match config {
        Ok(config) => push_config(&mut out, config),
        Err(error) => push(&mut out, format_args!("cannot be run: {error:#}")),
    }
    out.push('\n');
    for (key, value) in metadata(contents) {
        push(&mut out, format_args!("{key} = {}", shortened(&value.to_string())));
    }
    let tensors = contents.tensors();
    let width = tensors.iter().map(|tensor| plain(tensor.name).chars().count()).max().unwrap_or(0).max(6);
    let headings = ["tensor", "type", "shape", "bytes", "import", "rms", "largest"];
    let [name, ty, shape, bytes, import, rms, largest] = headings;
    push(
        &mut out,
        format_args!("\n{name:width$}  {ty:6}  {shape:>16}  {bytes:>11}  {import:6}  {rms:>9}  {largest:>9}"),
    );
    for (tensor, report) in tensors.iter().zip(reports) {
        let (ty, shape) = (tensor.ty.name(), shape_text(&tensor.shape));
        let (name, bytes, import) = (plain(tensor.name), tensor.data.len(), imported(tensor));
        let step = |steps: fn(&ImportReport) -> f64| report.as_ref().map_or("-".into(), |r| format!("{:.6}", steps(r)));
        let (rms, largest) = (step(ImportReport::rms), step(|report| report.largest));
        push(
            &mut out,
            format_args!("{name:width$}  {ty:6}  {shape:>16}  {bytes:>11}  {import:6}  {rms:>9}  {largest:>9}"),
        );
    }
    push_summary(&mut out, tensors, reports);
    out
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

fn push_config(out: &mut String, config: &ModelConfig) {
    let name = config.name.as_deref().unwrap_or("unnamed");
    push(out, format_args!("{} ({}, family {})", plain(name), plain(&config.architecture), config.family));
    let ModelConfig { layers, hidden, feed_forward, heads, kv_heads, head_size, .. } = config;
    push(out, format_args!("{layers} layers, hidden {hidden}, feed-forward {feed_forward}"));
    push(out, format_args!("{heads} heads and {kv_heads} key-value heads of {head_size}"));
    push(out, format_args!("{} tokens of context, vocabulary of {}", config.context_length, config.vocab_size));
}

/// Differences over all matrices, and whether the import loses anything.
fn push_summary(out: &mut String, tensors: &[Tensor<'_>], reports: &[Option<ImportReport>]) {
    let mut all = ImportReport::default();
    reports.iter().flatten().for_each(|report| all.merge(report));
    let bytes: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
    push(out, format_args!("\n{} tensors, {}", tensors.len(), output::bytes(bytes as u64)));
    let verdict = match all.largest {
        0.0 => "exact".to_owned(),
        largest => format!("lossy: rms {:.6}, largest {largest:.6} quantisation steps", all.rms()),
    };
    push(out, format_args!("import of {} weights: {verdict}", all.weights));
}

fn as_json(
    contents: &Contents<'_>,
    reports: &[Option<ImportReport>],
    config: &Result<ModelConfig>,
) -> serde_json::Value {
    let mut all = ImportReport::default();
    reports.iter().flatten().for_each(|report| all.merge(report));
    let tensors = contents.tensors().iter().zip(reports).map(|(tensor, report)| {
        json!({
            "name": tensor.name,
            "type": tensor.ty.name(),
            "shape": tensor.shape,
            "bytes": tensor.data.len(),
            "imported_as": imported(tensor),
            "import": report.as_ref().map(report::json),
        })
    });
    let model = config.as_ref().ok().map(|config| {
        json!({
            "name": config.name,
            "architecture": config.architecture,
            "family": config.family,
            "layers": config.layers,
            "hidden": config.hidden,
            "feed_forward": config.feed_forward,
            "heads": config.heads,
            "kv_heads": config.kv_heads,
            "head_size": config.head_size,
            "context_length": config.context_length,
            "vocab_size": config.vocab_size,
        })
    });
    json!({
        "container": container(contents),
        "model": model,
        "cannot_run": config.as_ref().err().map(|error| format!("{error:#}")),
        "metadata": metadata(contents).into_iter().collect::<serde_json::Map<_, _>>(),
        "tensors": tensors.collect::<Vec<_>>(),
        "import": report::json(&all),
    })
}

/// Metadata as JSON; a list stands as its length.
fn metadata(contents: &Contents<'_>) -> Vec<(String, serde_json::Value)> {
    match contents {
        Contents::Gguf(gguf) => gguf.metadata().iter().map(|(key, value)| (plain(key), value_json(value))).collect(),
        Contents::Folder { config, .. } => {
            let object = config.as_object().cloned().unwrap_or_default();
            object.into_iter().map(|(key, value)| (plain(&key), value)).collect()
        }
    }
}

fn value_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Unsigned(number) => json!(number),
        Value::Signed(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::String(text) => json!(text),
        Value::Array(array) if array.len() <= 8 => array.iter().map(|value| value_json(&value)).collect(),
        Value::Array(array) => json!(format!("list of {}", array.len())),
    }
}

fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// A name from a file, made fit for one line of a terminal.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn shortened(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}... ({} characters)", &text[..at], text.chars().count()),
        None => text,
    }
}
