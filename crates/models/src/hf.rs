//! Reads Hugging Face's config.json into a [`Blueprint`]. Two generations of keys are in use: `rope_theta` with
//! `rope_scaling`, and (since transformers 5) `rope_parameters`.

use lockstep_graph::{Rotary, RotaryPairs};

use crate::Error;
use crate::blueprint::{Blueprint, Layer, Sizes, inverse_root, positive, rotary};
use crate::family::{Activation, Bias, FAMILIES, Family};
use crate::json::Keys;
use crate::rope::{Llama3, Scaling};
use crate::tensors::Tensors;

/// The family that config.json names, and the name.
pub(crate) fn family(config: &Keys<'_>) -> Result<(&'static Family, String), Error> {
    let found = match config.strings("architectures")?.as_deref() {
        Some([only]) => only.clone(),
        Some(several) => several.join(", "),
        None => return Err(Error::key("architectures", "missing, expected a list with one name")),
    };
    let known = || FAMILIES.iter().flat_map(|family| family.hf).copied().collect::<Vec<_>>().join(", ");
    let family = FAMILIES.iter().find(|family| family.hf.contains(&found.as_str()));
    match family {
        Some(family) => Ok((family, found)),
        None => Err(Error::UnknownArchitecture { found, known: known() }),
    }
}

/// The whole configuration; `has_head` says whether there is a tensor for the head, where the configuration does not.
pub(crate) fn blueprint(
    config: &Keys<'_>,
    family: &'static Family,
    architecture: &str,
    has_head: bool,
) -> Result<Blueprint, Error> {
    refuse_unsupported(config, family)?;
    let heads = config.required_u64("num_attention_heads")?;
    let kv_heads = config.u64("num_key_value_heads")?.unwrap_or(heads);
    let sizes = Sizes {
        context_length: ("max_position_embeddings", config.required_u64("max_position_embeddings")?),
        hidden: ("hidden_size", config.required_u64("hidden_size")?),
        feed_forward: ("intermediate_size", config.required_u64("intermediate_size")?),
        layers: ("num_hidden_layers", config.required_u64("num_hidden_layers")?),
        heads: ("num_attention_heads", heads),
        kv_heads: ("num_key_value_heads", kv_heads),
        head_size: config.u64("head_dim")?.map(|size| ("head_dim", size)),
    };
    // Where these families leave it out, transformers takes a constant of its own.
    if family.head_norms && sizes.head_size.is_none() {
        return Err(config.missing("head_dim"));
    }
    let head_size = sizes.check()?;
    let windows = windows(config, family, architecture, sizes.layers.1 as usize)?;
    let (rotaries, layers) = rotaries(config, family, head_size, &windows)?;
    let biased = config.bool("attention_bias")?.unwrap_or(false);
    Ok(Blueprint {
        family,
        vocab_size: config.required_size("vocab_size")?,
        context_length: sizes.context_length.1 as usize,
        hidden: sizes.hidden.1 as usize,
        feed_forward: sizes.feed_forward.1 as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        head_size,
        norm_eps: positive("rms_norm_eps", config.required_f64("rms_norm_eps")?)? as f32,
        attention_scale: attention_scale(config, family, head_size)?,
        score_cap: cap(config, "attn_logit_softcapping")?,
        logit_cap: cap(config, "final_logit_softcapping")?,
        query_key_value_bias: family.bias == Bias::QueryKeyValue || biased,
        output_bias: family.bias == Bias::IfConfigured && biased,
        tied: match config.bool("tie_word_embeddings")? {
            Some(tied) => tied,
            None => family.tied_by_default && !has_head,
        },
        layers,
        rotaries,
    })
}

/// gemma3 states what it scales by; the others scale by their head size.
fn attention_scale(config: &Keys<'_>, family: &Family, head_size: usize) -> Result<f32, Error> {
    const STATED: &str = "query_pre_attn_scalar";
    if family.scaled_embedding {
        return Ok(inverse_root(positive(STATED, config.required_f64(STATED)?)?));
    }
    Ok(inverse_root(head_size as f64))
}

/// The first windowed layer of a Qwen model whose config.json does not say.
const QWEN_WINDOW_FIRST: u64 = 28;

fn refuse_unsupported(config: &Keys<'_>, family: &'static Family) -> Result<(), Error> {
    let expected = match family.activation {
        Activation::Silu => "silu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    };
    // gemma3 states its function in `hidden_activation`; `hidden_act` is a leftover there.
    let key = if family.activation == Activation::GeluTanh { "hidden_activation" } else { "hidden_act" };
    if let Some(found) = config.string(key)?.filter(|found| *found != expected) {
        return Err(Error::unsupported(key, format!("`{found}` in place of `{expected}`")));
    }
    for key in ["mlp_bias", "use_bidirectional_attention"] {
        if config.bool(key)? == Some(true) {
            return Err(Error::unsupported(key, "true"));
        }
    }
    if family.bias != Bias::IfConfigured && config.bool("attention_bias")? == Some(true) {
        return Err(Error::unsupported("attention_bias", "true"));
    }
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        if config.u64(key)?.is_some_and(|count| count > 0) {
            return Err(Error::unsupported(key, "a mixture of experts"));
        }
    }
    refuse_partial_rotation(config)?;
    if config.has("quantization_config") {
        return Err(Error::unsupported("quantization_config", "a quantised safetensors file"));
    }
    Ok(())
}

fn refuse_partial_rotation(keys: &Keys<'_>) -> Result<(), Error> {
    const FACTOR: &str = "partial_rotary_factor";
    match keys.f64(FACTOR)?.filter(|&factor| factor != 1.0) {
        Some(_) => Err(Error::unsupported(&keys.path(FACTOR), "a partly rotated head")),
        None => Ok(()),
    }
}

fn cap(config: &Keys<'_>, key: &str) -> Result<Option<f32>, Error> {
    config.f64(key)?.map(|cap| positive(key, cap).map(|cap| cap as f32)).transpose()
}

/// For each layer its window, if it has one.
fn windows(config: &Keys<'_>, family: &Family, architecture: &str, layers: usize) -> Result<Vec<Option<usize>>, Error> {
    let switched_on = !family.hf_window_switch || config.bool("use_sliding_window")? == Some(true);
    let heeded = switched_on && !family.hf_without_window.contains(&architecture);
    if heeded && !family.hf_window_switch && !config.states("sliding_window") {
        return Err(config.missing("sliding_window"));
    }
    let window = match config.u64("sliding_window")?.filter(|_| heeded) {
        Some(0) => return Err(Error::key("sliding_window", "0, expected at least 1 or null")),
        window => window.map(|window| window as usize),
    };
    if let Some(types) = config.strings("layer_types")? {
        if types.len() != layers {
            return Err(Error::key("layer_types", format!("{} entries, expected {layers}", types.len())));
        }
        let of_type = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" if window.is_some() => Ok(window),
            "sliding_attention" => Err(Error::key("sliding_window", "missing, but layer_types asks for it")),
            other => Err(Error::unsupported("layer_types", format!("`{other}`"))),
        };
        return types.iter().map(of_type).collect();
    }
    // Qwen's windowed layers begin at `max_window_layers`; gemma3's global ones come every n-th layer.
    let stated_first = config.u64("max_window_layers")?.unwrap_or(QWEN_WINDOW_FIRST) as usize;
    let first = if family.hf_window_switch { stated_first } else { 0 };
    let every = config.u64("sliding_window_pattern")?.map_or(family.global_every, |every| every as usize);
    if every == 0 {
        return Err(Error::key("sliding_window_pattern", "0, expected at least 1"));
    }
    let windowed = |layer: usize| layer >= first && (family.global_every == 1 || !(layer + 1).is_multiple_of(every));
    Ok((0..layers).map(|layer| window.filter(|_| windowed(layer))).collect())
}

/// Rotary tables and, with them, the layers. gemma3 has a second table for its windowed layers.
fn rotaries(
    config: &Keys<'_>,
    family: &Family,
    head_size: usize,
    windows: &[Option<usize>],
) -> Result<(Vec<Rotary>, Vec<Layer>), Error> {
    let two_tables = family.global_every != 1;
    let table = |key: &str, base: f64, scaling: &Scaling| rotary(key, RotaryPairs::Halves, head_size, base, scaling);
    let global;
    let mut local = None;
    match config.object("rope_parameters")? {
        Some(parameters) if two_tables && parameters.has("full_attention") => {
            let of = |kind: &str| {
                let missing = || Error::key(&format!("rope_parameters.{kind}"), "missing");
                let parameters = parameters.object(kind)?.ok_or_else(missing)?;
                let base = parameters.required_f64("rope_theta")?;
                table(&parameters.path("rope_theta"), base, &scaling(&parameters)?)
            };
            global = of("full_attention")?;
            local = Some(of("sliding_attention")?);
        }
        Some(parameters) => {
            let base = match config.f64("rope_theta")? {
                Some(base) if !parameters.has("rope_theta") => base,
                _ => parameters.required_f64("rope_theta")?,
            };
            global = table(&parameters.path("rope_theta"), base, &scaling(&parameters)?)?;
        }
        None => {
            let base = config.f64("rope_theta")?.unwrap_or(if two_tables { 1_000_000.0 } else { 10_000.0 });
            let scaling = config.object("rope_scaling")?.map_or(Ok(Scaling::None), |keys| scaling(&keys))?;
            global = table("rope_theta", base, &scaling)?;
        }
    }
    if two_tables && local.is_none() {
        let base = config.f64("rope_local_base_freq")?.unwrap_or(10_000.0);
        local = Some(table("rope_local_base_freq", base, &Scaling::None)?);
    }
    let layer = |window: &Option<usize>| Layer { window: *window, rotary: usize::from(two_tables && window.is_some()) };
    Ok((std::iter::once(global).chain(local).collect(), windows.iter().map(layer).collect()))
}

fn scaling(keys: &Keys<'_>) -> Result<Scaling, Error> {
    refuse_partial_rotation(keys)?;
    let kind = match keys.string("rope_type")? {
        Some(kind) => Some(kind),
        None => keys.string("type")?,
    };
    let number = |key: &str| positive(&keys.path(key), keys.required_f64(key)?);
    match kind {
        None | Some("default") => Ok(Scaling::None),
        Some("linear") => Ok(Scaling::Linear(number("factor")?)),
        Some("llama3") => {
            let scaling = Llama3 {
                factor: number("factor")?,
                low_frequency_factor: number("low_freq_factor")?,
                high_frequency_factor: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            };
            if scaling.high_frequency_factor <= scaling.low_frequency_factor {
                let what = "not above low_freq_factor";
                return Err(Error::key(&keys.path("high_freq_factor"), what));
            }
            Ok(Scaling::Llama3(scaling))
        }
        Some(other) => Err(Error::unsupported(&keys.path("rope_type"), format!("rope scaling `{other}`"))),
    }
}

/// Marks what older exporters wrote and nobody reads: rotary tables, and the copy of a shared head.
pub(crate) fn ignore_leftovers(tensors: &mut Tensors<'_, '_>, tied: bool) {
    let names: Vec<&str> = tensors.file_names().collect();
    for name in names {
        if name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight") {
            tensors.ignore(name);
        }
    }
}
