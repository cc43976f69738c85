//! From a model file's configuration and named tensors to a graph with its weights bound.
//!
//! In: a parsed GGUF, or config.json with safetensors. Out: a [`Model`] (sizes, [`Graph`], and for each of the graph's
//! weights the tensor that holds it), and the vocabulary for the tokenizer; of config.json alone, sizes and graph. It
//! knows no chips, no backends and no files beyond the bytes it is given. A family is a short description in
//! `family.rs`; start reading there, then
//! `decoder.rs`, the one decoder that all families share; `gguf.rs` and `hf.rs` read the two kinds of configuration.
//! Whatever a file asks for that the graph cannot express is an error, never left out silently.

mod blueprint;
mod decoder;
mod error;
mod family;
mod first_layer;
mod gguf;
mod hf;
mod json;
mod metadata;
mod rope;
mod tensors;
pub mod vocab;
pub mod weights;

use lockstep_formats::{Gguf, Tensor};
use lockstep_graph::Graph;

use crate::blueprint::Blueprint;
use crate::json::Keys;
use crate::metadata::Metadata;
use crate::tensors::{Naming, Tensors};

pub use error::Error;

/// A model that is ready to be planned or compiled; it borrows the file's bytes.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// Sizes and names.
    pub config: ModelConfig,
    /// One step of the model.
    pub graph: Graph,
    /// The tensors that hold the graph's weights, in the order of [`Graph::weights`].
    pub weights: Vec<BoundWeight<'a>>,
}

/// What a model is, in numbers and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The family's name: llama, qwen2, qwen3 or gemma3.
    pub family: &'static str,
    /// The architecture as the file names it.
    pub architecture: String,
    /// The model's own name, where the file has one.
    pub name: Option<String>,
    /// Number of logits and of embedding rows.
    pub vocab_size: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward network.
    pub feed_forward: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads a layer.
    pub heads: usize,
    /// Key and value heads a layer.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_size: usize,
    /// The token that starts a text, where the file names one.
    pub bos_token: Option<u32>,
    /// Tokens that end an answer, as the file's configuration names them (the tokenizer may know more).
    pub end_tokens: Vec<u32>,
}

/// What is done to a tensor's values before they are a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Nothing.
    None,
    /// One is added, rounded to f32 (gemma's norms in Hugging Face files).
    AddOne,
}

/// The tensor that holds a weight. Only vectors have a transform.
#[derive(Clone, Debug)]
pub struct BoundWeight<'a> {
    /// Name, type, shape and bytes in the file.
    pub tensor: Tensor<'a>,
    /// What is done to its values.
    pub transform: Transform,
}

/// The model in a GGUF file.
pub fn from_gguf<'a>(gguf: &Gguf<'a>) -> Result<Model<'a>, Error> {
    let family = gguf::family(gguf)?;
    let keys = Metadata::new(gguf, family.gguf);
    let mut tensors = Tensors::new(&gguf.tensors, Naming::Gguf, family)?;
    let blueprint = gguf::blueprint(&keys, family, &mut tensors)?;
    let general = Metadata::new(gguf, "general");
    let tokenizer = Metadata::new(gguf, "tokenizer.ggml");
    let about = About {
        architecture: family.gguf.to_owned(),
        name: general.string("name")?.map(str::to_owned),
        bos_token: tokenizer.token("bos_token_id")?,
        end_tokens: tokenizer.token("eos_token_id")?.into_iter().chain(tokenizer.token("eot_token_id")?).collect(),
    };
    assemble(&blueprint, about, tensors)
}

/// The model in config.json and safetensors.
///
/// `generation_config` is the file of that name where there is one: its end tokens go before those of config.json.
/// `tensors` are those of all files of the model.
pub fn from_hf<'a>(
    config: &serde_json::Value,
    generation_config: Option<&serde_json::Value>,
    tensors: &[Tensor<'a>],
) -> Result<Model<'a>, Error> {
    let config = Keys::new(config);
    let generation = generation_config.map(Keys::new);
    let (family, architecture) = hf::family(&config)?;
    let mut tensors = Tensors::new(tensors, Naming::Hf, family)?;
    let blueprint = hf::blueprint(&config, family, &architecture, tensors.has("output.weight"))?;
    hf::ignore_leftovers(&mut tensors, blueprint.tied);
    assemble(&blueprint, hf_about(&config, generation.as_ref(), architecture)?, tensors)
}

/// The largest vocabulary that is believed where no tensor shows it.
const VOCABULARY_MAX: usize = 1 << 24;

/// The model that a config.json describes, without tensors: its sizes, and its graph, whose weights have names and
/// shapes.
pub fn from_hf_config(config: &serde_json::Value) -> Result<(ModelConfig, Graph), Error> {
    let config = Keys::new(config);
    let (family, architecture) = hf::family(&config)?;
    let blueprint = hf::blueprint(&config, family, &architecture, false)?;
    if blueprint.vocab_size > VOCABULARY_MAX {
        let what = format!("{}, expected at most {VOCABULARY_MAX}", blueprint.vocab_size);
        return Err(Error::key("vocab_size", what));
    }
    let (graph, _) = decoder::build(&blueprint, None)?;
    Ok((sizes(&blueprint, hf_about(&config, None, architecture)?), graph))
}

fn hf_about(config: &Keys<'_>, generation: Option<&Keys<'_>>, architecture: String) -> Result<About, Error> {
    let of_generation = |key: &str| generation.map_or(Ok(None), |keys| keys.tokens(key));
    Ok(About {
        name: config.string("_name_or_path")?.filter(|name| !name.is_empty()).map(str::to_owned),
        architecture,
        bos_token: of_generation("bos_token_id")?
            .or(config.tokens("bos_token_id")?)
            .and_then(|ids| ids.first().copied()),
        end_tokens: of_generation("eos_token_id")?.or(config.tokens("eos_token_id")?).unwrap_or_default(),
    })
}

/// What a file says about a model beside its arithmetic.
struct About {
    architecture: String,
    name: Option<String>,
    bos_token: Option<u32>,
    end_tokens: Vec<u32>,
}

fn assemble<'a>(blueprint: &Blueprint, about: About, mut tensors: Tensors<'_, 'a>) -> Result<Model<'a>, Error> {
    let (graph, weights) = decoder::build(blueprint, Some(&mut tensors))?;
    tensors.expect_all_used()?;
    Ok(Model { config: sizes(blueprint, about), graph, weights })
}

fn sizes(blueprint: &Blueprint, about: About) -> ModelConfig {
    ModelConfig {
        family: blueprint.family.name,
        architecture: about.architecture,
        name: about.name,
        vocab_size: blueprint.vocab_size,
        context_length: blueprint.context_length,
        hidden: blueprint.hidden,
        feed_forward: blueprint.feed_forward,
        layers: blueprint.layers.len(),
        heads: blueprint.heads,
        kv_heads: blueprint.kv_heads,
        head_size: blueprint.head_size,
        bos_token: about.bos_token,
        end_tokens: about.end_tokens,
    }
}
