//! The tiny models that `tools/reference/models/make_tiny.py` wrote, and measures on logits.
#![allow(dead_code)] // each test file uses its own part

use std::path::PathBuf;

use lockstep_formats::Tensor;
use lockstep_formats::safetensors::{self, Header};

/// One fixture: which folder, which GGUF in it, and which of the reference's logits belong to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixture {
    pub(crate) folder: &'static str,
    pub(crate) gguf: &'static str,
    pub(crate) logits: &'static str,
}

/// One a family and feature, every weight exact in both files.
pub(crate) const PLAIN: [Fixture; 7] = [
    plain("llama2"),
    plain("llama3"),
    plain("mistral"),
    plain("smollm2"),
    plain("qwen2"),
    plain("qwen3"),
    plain("gemma3"),
];

/// GGUF only, matrices quantised; the reference used the dequantised values.
pub(crate) const QUANTISED: [Fixture; 2] = [
    Fixture { folder: "smollm2", gguf: "model-q8_0.gguf", logits: "logits_q8_0" },
    Fixture { folder: "smollm2", gguf: "model-q4_0.gguf", logits: "logits_q4_0" },
];

const fn plain(folder: &'static str) -> Fixture {
    Fixture { folder, gguf: "model.gguf", logits: "logits" }
}

/// A prompt and the logits that `transformers` computed for it, `[tokens][vocabulary]`.
pub(crate) struct Reference {
    pub(crate) tokens: Vec<u32>,
    pub(crate) logits: Vec<Vec<f32>>,
}

impl Fixture {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", self.folder, file].iter().collect()
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        let path = self.path(file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// All safetensors files, in the order of their names.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        let names = ["model.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        names.iter().filter(|name| self.path(name).exists()).map(|name| Shard::new(self.read(name))).collect()
    }

    pub(crate) fn reference(&self) -> Reference {
        let file = [Shard::new(self.read("reference.safetensors"))];
        let tensors = tensors(&file);
        let floats = |name: &str| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
            tensor.data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
        };
        let logits = floats(self.logits);
        let tokens: Vec<u32> = floats("tokens").iter().map(|&token| token as u32).collect();
        Reference { logits: logits.chunks_exact(logits.len() / tokens.len()).map(<[f32]>::to_vec).collect(), tokens }
    }

    pub(crate) fn config(&self) -> serde_json::Value {
        serde_json::from_slice(&self.read("config.json")).unwrap()
    }

    pub(crate) fn generation_config(&self) -> serde_json::Value {
        serde_json::from_slice(&self.read("generation_config.json")).unwrap()
    }
}

/// One safetensors file.
pub(crate) struct Shard {
    bytes: Vec<u8>,
    header: Header,
}

impl Shard {
    fn new(bytes: Vec<u8>) -> Self {
        Self { header: Header::parse(&bytes).unwrap(), bytes }
    }
}

/// The tensors of all files of a model.
pub(crate) fn tensors(shards: &[Shard]) -> Vec<Tensor<'_>> {
    shards.iter().flat_map(|shard| safetensors::parse(&shard.bytes, &shard.header).unwrap()).collect()
}

/// Largest difference over the largest reference logit.
pub(crate) fn largest_difference(found: &[Vec<f32>], reference: &[Vec<f32>]) -> f32 {
    let (found, reference) = (found.concat(), reference.concat());
    assert_eq!(found.len(), reference.len());
    let largest = reference.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    // NaN must not pass as small.
    found
        .iter()
        .zip(&reference)
        .map(|(x, y)| (x - y).abs() / largest)
        .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// Root mean square of the difference over that of the reference.
pub(crate) fn rms_difference(found: &[Vec<f32>], reference: &[Vec<f32>]) -> f64 {
    let (found, reference) = (found.concat(), reference.concat());
    let squares: f64 = found.iter().zip(&reference).map(|(x, y)| f64::from(x - y).powi(2)).sum();
    (squares / reference.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>()).sqrt()
}

/// Mean over the positions of the Kullback-Leibler divergence of `found`'s token distribution from the reference's,
/// in nats.
pub(crate) fn divergence(found: &[Vec<f32>], reference: &[Vec<f32>]) -> f64 {
    let log_softmax = |logits: &[f32]| {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
        logits.iter().map(|&x| f64::from(x - largest) - total.ln()).collect::<Vec<_>>()
    };
    let one = |(found, reference): (&Vec<f32>, &Vec<f32>)| -> f64 {
        let (q, p) = (log_softmax(found), log_softmax(reference));
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    found.iter().zip(reference).map(one).sum::<f64>() / reference.len() as f64
}
