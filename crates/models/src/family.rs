//! The model families: what distinguishes them, as data. Everything else is the same decoder (`decoder.rs`).

use lockstep_graph::RotaryPairs;

/// Where a projection has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    /// On the projections to queries, keys and values.
    QueryKeyValue,
    /// On all four attention projections where the configuration (or, in GGUF, the presence of the tensor) says so.
    IfConfigured,
    /// Nowhere.
    Never,
}

/// The function inside the feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    GeluTanh,
}

/// One family of decoders.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // a table of yes and no, one row a family
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// `general.architecture` in GGUF.
    pub(crate) gguf: &'static str,
    /// `architectures` in config.json.
    pub(crate) hf: &'static [&'static str],
    /// How GGUF orders the rows of q and k; Hugging Face files always pair halves.
    pub(crate) gguf_pairs: RotaryPairs,
    pub(crate) bias: Bias,
    pub(crate) activation: Activation,
    /// RMS norms on each head of q and k.
    pub(crate) head_norms: bool,
    /// RMS norms on the outputs of attention and feed-forward network, before they are added.
    pub(crate) post_norms: bool,
    /// Embeddings times the square root of the width.
    pub(crate) scaled_embedding: bool,
    /// Norm weights are stored less one in Hugging Face files (in GGUF the one has been added).
    pub(crate) hf_norm_less_one: bool,
    /// Whether the head shares the embedding where config.json does not say.
    pub(crate) tied_by_default: bool,
    /// Architectures of config.json that pay no heed to its `sliding_window`.
    pub(crate) hf_without_window: &'static [&'static str],
    /// In config.json the window counts only if `use_sliding_window` is true, from layer `max_window_layers` on.
    pub(crate) hf_window_switch: bool,
    /// Every n-th layer sees everything where the file does not say which layers have the window; 1: all layers
    /// have it.
    pub(crate) global_every: usize,
}

pub(crate) const FAMILIES: [Family; 4] = [LLAMA, QWEN2, QWEN3, GEMMA3];

/// Llama 2 and 3, Mistral, `SmolLM2`.
const LLAMA: Family = Family {
    name: "llama",
    gguf: "llama",
    hf: &["LlamaForCausalLM", "MistralForCausalLM"],
    gguf_pairs: RotaryPairs::Adjacent,
    bias: Bias::IfConfigured,
    activation: Activation::Silu,
    head_norms: false,
    post_norms: false,
    scaled_embedding: false,
    hf_norm_less_one: false,
    tied_by_default: false,
    hf_without_window: &["LlamaForCausalLM"],
    hf_window_switch: false,
    global_every: 1,
};

/// Qwen 2 and 2.5.
const QWEN2: Family = Family {
    name: "qwen2",
    gguf: "qwen2",
    hf: &["Qwen2ForCausalLM"],
    gguf_pairs: RotaryPairs::Halves,
    bias: Bias::QueryKeyValue,
    hf_window_switch: true,
    ..LLAMA
};

/// Qwen 3, dense.
const QWEN3: Family = Family {
    name: "qwen3",
    gguf: "qwen3",
    hf: &["Qwen3ForCausalLM"],
    gguf_pairs: RotaryPairs::Halves,
    head_norms: true,
    hf_window_switch: true,
    ..LLAMA
};

/// Gemma 3, text.
const GEMMA3: Family = Family {
    name: "gemma3",
    gguf: "gemma3",
    hf: &["Gemma3ForCausalLM"],
    gguf_pairs: RotaryPairs::Halves,
    bias: Bias::Never,
    activation: Activation::GeluTanh,
    head_norms: true,
    post_norms: true,
    scaled_embedding: true,
    hf_norm_less_one: true,
    tied_by_default: true,
    hf_without_window: &[],
    hf_window_switch: false,
    global_every: 6,
};
