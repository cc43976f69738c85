//! Reads GGUF metadata into a [`Blueprint`]. Keys and defaults are those of llama.cpp.

use lockstep_formats::Gguf;
use lockstep_graph::Rotary;

use crate::Error;
use crate::blueprint::{Blueprint, Layer, Sizes, inverse_root, positive, rotary};
use crate::family::{Bias, FAMILIES, Family};
use crate::metadata::Metadata;
use crate::rope::Scaling;
use crate::tensors::Tensors;
use crate::{BoundWeight, Transform, weights};

/// The family that `general.architecture` names.
pub(crate) fn family(gguf: &Gguf<'_>) -> Result<&'static Family, Error> {
    let found = Metadata::new(gguf, "general").required_string("architecture")?;
    let family = FAMILIES.iter().find(|family| family.gguf == found);
    family.ok_or_else(|| Error::UnknownArchitecture {
        found: found.to_owned(),
        known: FAMILIES.iter().map(|family| family.gguf).collect::<Vec<_>>().join(", "),
    })
}

/// The whole configuration.
pub(crate) fn blueprint(
    keys: &Metadata<'_, '_>,
    family: &'static Family,
    tensors: &mut Tensors<'_, '_>,
) -> Result<Blueprint, Error> {
    refuse_unsupported(keys)?;
    let path = |key: &str| keys.path(key);
    let heads = keys.required_u64("attention.head_count")?;
    let kv_heads = keys.u64("attention.head_count_kv")?.unwrap_or(heads);
    let head_size = head_size(keys)?;
    let names = SizeNames::new(keys);
    let sizes = Sizes {
        context_length: (&names.context_length, keys.required_u64("context_length")?),
        hidden: (&names.hidden, keys.required_u64("embedding_length")?),
        feed_forward: (&names.feed_forward, keys.required_u64("feed_forward_length")?),
        layers: (&names.layers, keys.required_u64("block_count")?),
        heads: (&names.heads, heads),
        kv_heads: (&names.kv_heads, kv_heads),
        head_size: head_size.map(|size| (names.head_size.as_str(), size)),
    };
    let head_size = sizes.check()?;
    let layer_count = sizes.layers.1 as usize;
    let windows = windows(keys, family, layer_count)?;
    let (rotaries, layers) = rotaries(keys, family, head_size, &windows, tensors)?;
    let eps = "attention.layer_norm_rms_epsilon";
    let biased = family.bias == Bias::IfConfigured && tensors.has("blk.0.attn_q.bias");
    Ok(Blueprint {
        family,
        vocab_size: vocab_size(keys, tensors)?,
        context_length: sizes.context_length.1 as usize,
        hidden: sizes.hidden.1 as usize,
        feed_forward: sizes.feed_forward.1 as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        head_size,
        norm_eps: positive(&path(eps), keys.required_f64(eps)?)? as f32,
        attention_scale: attention_scale(keys, family, &sizes, head_size)?,
        score_cap: cap(keys, "attn_logit_softcapping")?,
        logit_cap: cap(keys, "final_logit_softcapping")?,
        query_key_value_bias: family.bias == Bias::QueryKeyValue || biased,
        output_bias: family.bias == Bias::IfConfigured && tensors.has("blk.0.attn_output.bias"),
        tied: !tensors.has("output.weight"),
        layers,
        rotaries,
    })
}

/// The keys of the sizes, spelled out for messages.
struct SizeNames {
    context_length: String,
    hidden: String,
    feed_forward: String,
    layers: String,
    heads: String,
    kv_heads: String,
    head_size: String,
}

impl SizeNames {
    fn new(keys: &Metadata<'_, '_>) -> Self {
        Self {
            context_length: keys.path("context_length"),
            hidden: keys.path("embedding_length"),
            feed_forward: keys.path("feed_forward_length"),
            layers: keys.path("block_count"),
            heads: keys.path("attention.head_count"),
            kv_heads: keys.path("attention.head_count_kv"),
            head_size: keys.path("attention.key_length"),
        }
    }
}

/// Keys that change what is computed in a way that the graph does not express, with the values that change nothing.
const NEUTRAL: [(&str, f64); 9] = [
    ("expert_count", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("embedding_scale", 1.0),
    ("attention.output_scale", 1.0),
    ("rope.scaling.attn_factor", 1.0),
    ("attention.temperature_scale", 0.0),
];

fn refuse_unsupported(keys: &Metadata<'_, '_>) -> Result<(), Error> {
    for (key, neutral) in NEUTRAL {
        // Some writers state 0 for "not used" where the neutral value is 1.
        if let Some(value) = keys.f64(key)?.filter(|&value| value != neutral && value != 0.0) {
            return Err(Error::unsupported(&keys.path(key), format!("{value}")));
        }
    }
    if keys.bool("attention.causal")? == Some(false) {
        return Err(Error::unsupported(&keys.path("attention.causal"), "false"));
    }
    if keys.bool("use_parallel_residual")? == Some(true) {
        return Err(Error::unsupported(&keys.path("use_parallel_residual"), "true"));
    }
    Ok(())
}

fn head_size(keys: &Metadata<'_, '_>) -> Result<Option<u64>, Error> {
    let key = keys.u64("attention.key_length")?;
    let value = keys.u64("attention.value_length")?;
    match (key, value) {
        (Some(key), Some(value)) if key != value => {
            let what = format!("{value} where keys have {key}");
            Err(Error::unsupported(&keys.path("attention.value_length"), what))
        }
        (key, value) => Ok(key.or(value)),
    }
}

fn vocab_size(keys: &Metadata<'_, '_>, tensors: &Tensors<'_, '_>) -> Result<usize, Error> {
    let shape = tensors.shape("token_embd.weight")?;
    let rows = shape.first().copied().unwrap_or_default();
    match keys.u64("vocab_size")? {
        Some(stated) if stated != rows as u64 => {
            let what = format!("{stated}, but token_embd.weight has {rows} rows");
            Err(Error::key(&keys.path("vocab_size"), what))
        }
        _ => Ok(rows),
    }
}

fn cap(keys: &Metadata<'_, '_>, key: &str) -> Result<Option<f32>, Error> {
    // 0 says that there is none.
    let cap = keys.f64(key)?.filter(|&cap| cap != 0.0);
    cap.map(|cap| positive(&keys.path(key), cap).map(|cap| cap as f32)).transpose()
}

/// gemma3's 27B model scales by its width shared out over its heads, not by its head size; GGUF does not say so, and
/// like llama.cpp we know it by its number of layers.
fn attention_scale(
    keys: &Metadata<'_, '_>,
    family: &Family,
    sizes: &Sizes<'_>,
    head_size: usize,
) -> Result<f32, Error> {
    const GEMMA3_27B_LAYERS: u64 = 62;
    if let Some(scale) = keys.f64("attention.scale")?.filter(|&scale| scale != 0.0) {
        return Ok(positive(&keys.path("attention.scale"), scale)? as f32);
    }
    if family.scaled_embedding && sizes.layers.1 == GEMMA3_27B_LAYERS {
        return Ok(inverse_root((sizes.hidden.1 / sizes.heads.1) as f64));
    }
    Ok(inverse_root(head_size as f64))
}

/// For each layer its window, if it has one.
fn windows(keys: &Metadata<'_, '_>, family: &Family, layers: usize) -> Result<Vec<Option<usize>>, Error> {
    let window = keys.u64("attention.sliding_window")?.filter(|&window| window > 0).map(|window| window as usize);
    let pattern = "attention.sliding_window_pattern";
    if let Some(windowed) = keys.bools(pattern)? {
        if windowed.len() != layers {
            let what = format!("{} entries, expected {layers}", windowed.len());
            return Err(Error::key(&keys.path(pattern), what));
        }
        return Ok(windowed.into_iter().map(|windowed| window.filter(|_| windowed)).collect());
    }
    let every = keys.u64(pattern)?.unwrap_or(family.global_every as u64) as usize;
    let windowed = |layer: usize| every <= 1 || !(layer + 1).is_multiple_of(every);
    Ok((0..layers).map(|layer| window.filter(|_| windowed(layer))).collect())
}

/// Rotary tables and, with them, the layers. gemma3 has a second, unscaled table for its windowed layers.
fn rotaries(
    keys: &Metadata<'_, '_>,
    family: &Family,
    head_size: usize,
    windows: &[Option<usize>],
    tensors: &mut Tensors<'_, '_>,
) -> Result<(Vec<Rotary>, Vec<Layer>), Error> {
    let size = keys.u64("rope.dimension_count")?.unwrap_or(head_size as u64);
    if size == 0 || size % 2 != 0 || size > head_size as u64 {
        let what = format!("{size}, expected an even number up to the head size {head_size}");
        return Err(Error::key(&keys.path("rope.dimension_count"), what));
    }
    let size = size as usize;
    let scaling = scaling(keys, size, tensors)?;
    let base = keys.f64("rope.freq_base")?.unwrap_or(10_000.0);
    let mut rotaries = vec![rotary(&keys.path("rope.freq_base"), family.gguf_pairs, size, base, &scaling)?];
    let two_tables = family.global_every != 1 && windows.iter().any(Option::is_some);
    if two_tables {
        let base = keys.f64("rope.freq_base_swa")?.unwrap_or(10_000.0);
        let key = keys.path("rope.freq_base_swa");
        rotaries.push(rotary(&key, family.gguf_pairs, size, base, &Scaling::None)?);
    }
    let layer = |window: &Option<usize>| Layer { window: *window, rotary: usize::from(two_tables && window.is_some()) };
    Ok((rotaries, windows.iter().map(layer).collect()))
}

/// The tensor that holds a divisor for each frequency.
const FACTORS: &str = "rope_freqs.weight";

fn scaling(keys: &Metadata<'_, '_>, size: usize, tensors: &mut Tensors<'_, '_>) -> Result<Scaling, Error> {
    let kind = keys.string("rope.scaling.type")?;
    let legacy = keys.f64("rope.scale_linear")?.filter(|&factor| factor != 0.0);
    let factor = keys.f64("rope.scaling.factor")?.filter(|&factor| factor != 0.0).or(legacy);
    let factor = factor.map(|factor| positive(&keys.path("rope.scaling.factor"), factor)).transpose()?;
    let linear = match (kind, factor) {
        // As in llama.cpp, a factor without a type is linear.
        (None | Some("linear"), Some(factor)) if factor != 1.0 => Some(factor),
        (None | Some("linear" | "none"), _) => None,
        (Some(other), _) => {
            return Err(Error::unsupported(&keys.path("rope.scaling.type"), format!("rope scaling `{other}`")));
        }
    };
    if !tensors.has(FACTORS) {
        return Ok(linear.map_or(Scaling::None, Scaling::Linear));
    }
    if linear.is_some() {
        return Err(Error::unsupported(FACTORS, "a second rope scaling beside the linear one"));
    }
    let tensor = tensors.take_vector(FACTORS, size / 2)?;
    let factors = weights::dequantize(&BoundWeight { tensor, transform: Transform::None })?;
    match factors.iter().find(|factor| **factor <= 0.0) {
        Some(factor) => {
            let what = format!("{factor}, expected factors above 0");
            Err(Error::Values { name: FACTORS.to_owned(), what })
        }
        None => Ok(Scaling::Factors(factors)),
    }
}
