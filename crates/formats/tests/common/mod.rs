//! Small files of every kind, and random numbers by seed.
#![allow(dead_code)] // each test binary uses its part

use lockstep_arith::source::SourceType;
use lockstep_formats::Value;
use lockstep_formats::gguf::Writer;

/// GGUF with every kind of value, lists in lists, and a tensor of every type.
pub(crate) fn gguf() -> Vec<u8> {
    let mut writer = Writer::new(3)
        .value("general.architecture", &Value::String("llama"))
        .value("unsigned", &Value::Unsigned(7))
        .value("signed", &Value::Signed(-7))
        .value("float", &Value::Float(0.5))
        .value("flag", &Value::Bool(true))
        .raw("small", 0, &[9])
        .strings("tokens", &["a", "b", "a longer one", "日本"])
        .floats("scores", &[0.0, -1.0, -2.5])
        .integers("kinds", &[1, 1, 6])
        .array("flags", 7, 3, &[0, 1, 1])
        .array("lists", 9, 2, &[inner_list(&[1, 2]), inner_list(&[])].concat());
    for ty in SourceType::ALL {
        let shape = [2, ty.block_weights()];
        writer = writer.tensor(ty.name(), ty, &shape, &vec![1; 2 * ty.block_bytes()]);
    }
    writer.finish()
}

/// The bytes of a list of `u8`.
pub(crate) fn inner_list(elements: &[u8]) -> Vec<u8> {
    [&0u32.to_le_bytes()[..], &(elements.len() as u64).to_le_bytes(), elements].concat()
}

/// A safetensors file of this header and so many bytes of data.
pub(crate) fn safetensors_of(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.resize(out.len() + data_bytes, 0);
    out
}

/// safetensors with each type, a scalar, names with escapes, and metadata.
pub(crate) fn safetensors() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]},"caf\u00e9":{"dtype":"F16","shape":[1,1,2],"data_offsets":[26,30]}}  "#;
    safetensors_of(header, 30)
}

/// The index of a model in two files.
pub(crate) const INDEX: &str = r#"{"metadata":{"total_size":30},"weight_map":{
    "a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors","c":"model-00001-of-00002.safetensors"}}"#;

/// A configuration with what the known ones hold.
pub(crate) const CONFIG: &str = r#"{"architectures":["LlamaForCausalLM"],"eos_token_id":[1,2],"rope_theta":1e5,
    "rope_scaling":{"type":"linear","factor":2.0},"tie_word_embeddings":true,"sliding_window":null}"#;

/// splitmix64: equal seeds give equal mutants everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
