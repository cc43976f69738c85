//! From a model's files to what runs: graph, packed weights, tokenizer.

use crate::files::ModelFiles;
use crate::map::Map;
use crate::{cache, output};
use anyhow::{Context, Result};
use lockstep_formats::{Gguf, Tensor, hf, safetensors};
use lockstep_graph::Graph;
use lockstep_host::PackedWeights;
use lockstep_models::{Model, ModelConfig};
use lockstep_text::Tokenizer;
use std::path::{Path, PathBuf};

/// What commands know of a model, however it runs. It borrows nothing from its files.
#[derive(Debug)]
pub struct Outline {
    /// The files.
    pub files: ModelFiles,
    /// The hash of what decides its weights.
    pub hash: String,
    /// Sizes and names.
    pub config: ModelConfig,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Names the program version, the arithmetic, weights, vocabulary and template: equal fingerprints give equal bits.
    pub fingerprint: String,
}

/// A model that is ready for the host.
#[derive(Debug)]
pub struct Loaded {
    /// Sizes, names and vocabulary.
    pub outline: Outline,
    /// One step.
    pub graph: Graph,
    /// Its weights, mapped from the cache folder.
    pub weights: PackedWeights,
}

/// Loads a model; packs its weights where that has not been done.
pub fn load(files: &ModelFiles) -> Result<Loaded> {
    with_contents(files, |contents| {
        let model = contents.model()?;
        let outline = outline_of(files, contents, &model)?;
        let weights = packed(&outline.hash, &model)?;
        Ok(Loaded { outline, graph: model.graph, weights })
    })
    .with_context(|| path_of(files).display().to_string())
}

/// Reads all of a model but its weights.
pub fn outline(files: &ModelFiles) -> Result<Outline> {
    with_contents(files, |contents| outline_of(files, contents, &contents.model()?))
        .with_context(|| path_of(files).display().to_string())
}

fn outline_of(files: &ModelFiles, contents: &Contents<'_>, model: &Model<'_>) -> Result<Outline> {
    let tokenizer = contents.tokenizer(files)?;
    tokenizer.check_vocab_size(model.config.vocab_size)?;
    let hash = cache::content_hash(files)?;
    let arithmetic = lockstep_arith::VERSION;
    let identity = identity(files, &hash)?;
    let fingerprint = format!("lockstep-{}-a{arithmetic}-{}", env!("CARGO_PKG_VERSION"), &identity[..12]);
    Ok(Outline { files: files.clone(), hash, config: model.config.clone(), tokenizer, fingerprint })
}

/// The hash of all that decides an answer: of a folder, its vocabulary and template too, which lie beside the weights.
fn identity(files: &ModelFiles, hash: &str) -> Result<String> {
    let ModelFiles::Folder(folder) = files else { return Ok(hash.to_owned()) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(hash.as_bytes());
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"] {
        let bytes = optional(&folder.join(name))?.unwrap_or_default();
        hasher.update(blake3::hash(&bytes).as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn packed(hash: &str, model: &Model<'_>) -> Result<PackedWeights> {
    let path = cache::packed_path(hash)?;
    if !path.exists() {
        cache::sweep();
    }
    let bar = std::sync::OnceLock::new();
    let progress = |done: usize, total: usize| {
        bar.get_or_init(|| output::count_bar("packing weights (once)", total as u64)).set_position(done as u64);
    };
    let weights = PackedWeights::open_or_pack(&path, model, &progress);
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    Ok(weights?)
}

/// The path that a message about the model names.
pub fn path_of(files: &ModelFiles) -> &Path {
    match files {
        ModelFiles::Gguf(path) | ModelFiles::Folder(path) => path,
    }
}

/// A model's files, read.
pub enum Contents<'a> {
    /// A GGUF file.
    Gguf(Gguf<'a>),
    /// config.json and safetensors.
    Folder {
        /// config.json.
        config: serde_json::Value,
        /// generation_config.json, where there is one.
        generation: Option<serde_json::Value>,
        /// The tensors of all files.
        tensors: Vec<Tensor<'a>>,
    },
}

impl<'a> Contents<'a> {
    /// The tensors, in file order.
    pub fn tensors(&self) -> &[Tensor<'a>] {
        match self {
            Self::Gguf(gguf) => &gguf.tensors,
            Self::Folder { tensors, .. } => tensors,
        }
    }

    /// Sizes, graph and bound weights.
    pub fn model(&self) -> Result<Model<'a>> {
        Ok(match self {
            Self::Gguf(gguf) => lockstep_models::from_gguf(gguf)?,
            Self::Folder { config, generation, tensors } => {
                lockstep_models::from_hf(config, generation.as_ref(), tensors)?
            }
        })
    }

    /// The vocabulary; of a folder, from the files beside the weights.
    fn tokenizer(&self, files: &ModelFiles) -> Result<Tokenizer> {
        match (self, files) {
            (Self::Gguf(gguf), _) => Ok(Tokenizer::from_vocab(lockstep_models::vocab::from_gguf(gguf)?)?),
            (Self::Folder { .. }, ModelFiles::Folder(path) | ModelFiles::Gguf(path)) => folder_tokenizer(path),
        }
    }
}

fn folder_tokenizer(folder: &Path) -> Result<Tokenizer> {
    let required = folder.join("tokenizer.json");
    let json = std::fs::read(&required)
        .with_context(|| format!("{}: cannot be read: get it beside the weights", required.display()))?;
    let config = optional(&folder.join("tokenizer_config.json"))?;
    let template = optional(&folder.join("chat_template.jinja"))?;
    let template =
        template.map(String::from_utf8).transpose().context("chat_template.jinja: not UTF-8: get it again")?;
    Ok(Tokenizer::from_hf(&json, config.as_deref(), template.as_deref())?)
}

/// A file that need not be there.
fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

/// Maps and reads a model's files for as long as `use_them` runs: what is mapped counts as memory only that long.
pub fn with_contents<T>(files: &ModelFiles, use_them: impl FnOnce(&Contents<'_>) -> Result<T>) -> Result<T> {
    match files {
        ModelFiles::Gguf(path) => {
            let map = Map::open(path)?;
            use_them(&Contents::Gguf(Gguf::parse(&map)?))
        }
        ModelFiles::Folder(folder) => {
            let config = json(&folder.join("config.json"))?.context("config.json: missing: get it again")?;
            let generation = json(&folder.join("generation_config.json"))?;
            let shards = shard_paths(folder)?;
            let maps = shards.iter().map(|path| Map::open(path)).collect::<Result<Vec<_>>>()?;
            let name = |index: usize| shards[index].file_name().unwrap_or_default().display().to_string();
            let read = |(index, map): (usize, &Map)| safetensors::Header::parse(map).with_context(|| name(index));
            let headers = maps.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
            let mut tensors = Vec::new();
            for (index, (map, header)) in maps.iter().zip(&headers).enumerate() {
                tensors.extend(safetensors::parse(map, header).with_context(|| name(index))?);
            }
            use_them(&Contents::Folder { config, generation, tensors })
        }
    }
}

/// A file with a JSON object, which need not be there.
pub fn json(path: &Path) -> Result<Option<serde_json::Value>> {
    let shown = path.display().to_string();
    Ok(optional(path)?.map(|bytes| hf::parse_config(&shown, &bytes)).transpose()?)
}

fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    match optional(&folder.join("model.safetensors.index.json"))? {
        None => Ok(vec![folder.join("model.safetensors")]),
        Some(index) => Ok(safetensors::index_files(&index)?.iter().map(|name| folder.join(name)).collect()),
    }
}
