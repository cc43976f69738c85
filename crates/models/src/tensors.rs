//! A file's tensors by canonical name: finds them, checks them, and remembers which were used.

use std::collections::BTreeMap;

use lockstep_arith::source::SourceType;
use lockstep_formats::Tensor;

use crate::Error;
use crate::family::Family;

/// How a file names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The canonical names are GGUF's.
    Gguf,
    /// Hugging Face's `model.layers.3.self_attn.q_proj.weight`.
    Hf,
}

/// All tensors of a model.
pub(crate) struct Tensors<'t, 'a> {
    by_name: BTreeMap<&'t str, (&'t Tensor<'a>, bool)>,
    naming: Naming,
    family: &'static Family,
}

/// Canonical part of a layer, and what Hugging Face calls it.
const HF_PARTS: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl<'t, 'a> Tensors<'t, 'a> {
    pub(crate) fn new(tensors: &'t [Tensor<'a>], naming: Naming, family: &'static Family) -> Result<Self, Error> {
        let mut by_name = BTreeMap::new();
        for tensor in tensors {
            if by_name.insert(tensor.name, (tensor, false)).is_some() {
                return Err(Error::RepeatedTensor { name: tensor.name.to_string() });
            }
        }
        Ok(Self { by_name, naming, family })
    }

    /// Whether norm weights are stored less one.
    pub(crate) fn norms_less_one(&self) -> bool {
        self.naming == Naming::Hf && self.family.hf_norm_less_one
    }

    /// Whether the file has this tensor (canonical name).
    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(self.file_name(name).as_str())
    }

    /// The shape of a tensor (canonical name) that is there.
    pub(crate) fn shape(&self, name: &str) -> Result<&'t [usize], Error> {
        let name = self.file_name(name);
        let found = self.by_name.get(name.as_str());
        found.map(|(tensor, _)| tensor.shape.as_slice()).ok_or(Error::MissingTensor { name })
    }

    /// A tensor (canonical name) of exactly this shape.
    pub(crate) fn take(&mut self, name: &str, expected: &[usize]) -> Result<Tensor<'a>, Error> {
        let name = self.file_name(name);
        let Some((tensor, used)) = self.by_name.get_mut(name.as_str()) else {
            return Err(Error::MissingTensor { name });
        };
        *used = true;
        if tensor.shape != expected {
            return Err(Error::Shape { name, shape: tensor.shape.clone(), expected: expected.to_vec() });
        }
        Ok((*tensor).clone())
    }

    /// A vector (canonical name) of `n` floats.
    pub(crate) fn take_vector(&mut self, name: &str, n: usize) -> Result<Tensor<'a>, Error> {
        let tensor = self.take(name, &[n])?;
        match tensor.ty {
            SourceType::F32 | SourceType::F16 | SourceType::Bf16 => Ok(tensor),
            other => Err(Error::Type { name: self.file_name(name), found: other.name(), expected: "F32, F16 or BF16" }),
        }
    }

    /// Marks a tensor of the file, by its own name, as known and not needed.
    pub(crate) fn ignore(&mut self, file_name: &str) {
        if let Some((_, used)) = self.by_name.get_mut(file_name) {
            *used = true;
        }
    }

    /// The names in the file, in order.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &'t str> + '_ {
        self.by_name.keys().copied()
    }

    /// Fails if the file has a tensor that nobody asked for: what it does would be left out silently.
    pub(crate) fn expect_all_used(&self) -> Result<(), Error> {
        match self.by_name.iter().find(|(_, (_, used))| !used) {
            Some((name, _)) => Err(Error::ExtraTensor { name: (*name).to_owned(), family: self.family.name }),
            None => Ok(()),
        }
    }

    fn file_name(&self, canonical: &str) -> String {
        match self.naming {
            Naming::Gguf => canonical.to_owned(),
            Naming::Hf => hf_name(canonical, self.family),
        }
    }
}

fn hf_name(canonical: &str, family: &Family) -> String {
    match canonical {
        "token_embd.weight" => return "model.embed_tokens.weight".into(),
        "output_norm.weight" => return "model.norm.weight".into(),
        "output.weight" => return "lm_head.weight".into(),
        _ => {}
    }
    let mut pieces = canonical.split('.').skip(1);
    let (layer, part, kind) = (pieces.next(), pieces.next(), pieces.next());
    let (Some(layer), Some(part), Some(kind)) = (layer, part, kind) else { return canonical.to_owned() };
    let part = match part {
        "ffn_norm" if family.post_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        _ => HF_PARTS.iter().find(|(canonical, _)| *canonical == part).map_or(part, |(_, hf)| hf),
    };
    format!("model.layers.{layer}.{part}.{kind}")
}
