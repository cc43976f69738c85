//! What a model is, whichever kind of file said so: the common form that both configuration readers fill in.

use lockstep_graph::{Rotary, RotaryPairs};

use crate::Error;
use crate::family::Family;
use crate::rope::{Scaling, frequencies};

/// Everything that the decoder needs to know.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) family: &'static Family,
    pub(crate) vocab_size: usize,
    pub(crate) context_length: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) norm_eps: f32,
    pub(crate) attention_scale: f32,
    pub(crate) score_cap: Option<f32>,
    pub(crate) logit_cap: Option<f32>,
    pub(crate) query_key_value_bias: bool,
    pub(crate) output_bias: bool,
    pub(crate) tied: bool,
    /// One a layer.
    pub(crate) layers: Vec<Layer>,
    /// What [`Layer::rotary`] points into.
    pub(crate) rotaries: Vec<Rotary>,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Positions that are visible, the token itself included.
    pub(crate) window: Option<usize>,
    /// Index into [`Blueprint::rotaries`].
    pub(crate) rotary: usize,
}

/// Bounds that keep every later product far from overflow; real models are well inside.
const LAYERS_MAX: u64 = 4096;
const WIDTH_MAX: u64 = 1 << 24;
const HEAD_SIZE_MAX: u64 = 8192;
const CONTEXT_MAX: u64 = 1 << 31;

/// The sizes as a file states them, each with the key it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes<'a> {
    pub(crate) context_length: (&'a str, u64),
    pub(crate) hidden: (&'a str, u64),
    pub(crate) feed_forward: (&'a str, u64),
    pub(crate) layers: (&'a str, u64),
    pub(crate) heads: (&'a str, u64),
    pub(crate) kv_heads: (&'a str, u64),
    /// Where the file does not say, the width is shared out evenly.
    pub(crate) head_size: Option<(&'a str, u64)>,
}

impl Sizes<'_> {
    /// Checks each size alone and against the others; gives the head size.
    pub(crate) fn check(&self) -> Result<usize, Error> {
        let bounded = |(key, value): (&str, u64), max: u64| match value {
            0 => Err(Error::key(key, "0, expected at least 1")),
            _ if value > max => Err(Error::key(key, format!("{value}, expected at most {max}"))),
            _ => Ok(()),
        };
        bounded(self.context_length, CONTEXT_MAX)?;
        bounded(self.hidden, WIDTH_MAX)?;
        bounded(self.feed_forward, WIDTH_MAX)?;
        bounded(self.layers, LAYERS_MAX)?;
        bounded(self.heads, WIDTH_MAX)?;
        bounded(self.kv_heads, WIDTH_MAX)?;
        let ((heads_key, heads), (kv_key, kv_heads), (_, hidden)) = (self.heads, self.kv_heads, self.hidden);
        if heads % kv_heads != 0 {
            return Err(Error::key(kv_key, format!("{kv_heads} does not divide the {heads} heads")));
        }
        let (key, head_size) = match self.head_size {
            Some(stated) => stated,
            None if hidden % heads != 0 => {
                return Err(Error::key(heads_key, format!("{heads} heads do not divide the width {hidden}")));
            }
            None => (heads_key, hidden / heads),
        };
        bounded((key, head_size), HEAD_SIZE_MAX)?;
        bounded((heads_key, heads * head_size), WIDTH_MAX)?;
        if head_size % 2 != 0 {
            return Err(Error::key(key, format!("head size {head_size}, expected an even number")));
        }
        Ok(head_size as usize)
    }
}

/// A rotary table from a file's base and scaling.
pub(crate) fn rotary(
    key: &str,
    pairs: RotaryPairs,
    rotary_size: usize,
    base: f64,
    scaling: &Scaling,
) -> Result<Rotary, Error> {
    positive(key, base)?;
    let plain = frequencies(base, rotary_size);
    Ok(Rotary { pairs, rotary_size, frequencies: scaling.apply(&plain) })
}

/// A configuration number that must be finite and above zero.
pub(crate) fn positive(key: &str, value: f64) -> Result<f64, Error> {
    // As f32 too, since that is how the graph holds it.
    if value.is_finite() && value > 0.0 && (value as f32).is_finite() && value as f32 > 0.0 {
        return Ok(value);
    }
    Err(Error::key(key, format!("{value:?}, expected a finite number above 0")))
}

/// `1 / sqrt(n)` in one rounding from f64.
pub(crate) fn inverse_root(n: f64) -> f32 {
    (1.0 / n.sqrt()) as f32
}
