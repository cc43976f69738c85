//! What is wrong with a configuration or its tensors is said in one line that names the thing and the remedy.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Fixture, PLAIN, tensors};
use lockstep_arith::source::SourceType;
use lockstep_formats::Tensor;
use lockstep_models::weights::{FloatWeights, contract_weights};
use lockstep_models::{from_hf, from_hf_config};
use serde_json::{Value, json};

fn fixture(folder: &str) -> &'static Fixture {
    PLAIN.iter().find(|fixture| fixture.folder == folder).unwrap()
}

/// The error of a model whose configuration and tensors were changed, and `expected` in it.
fn check(folder: &str, change: impl FnOnce(&mut Value, &mut Vec<Tensor<'_>>), expected: &str) {
    let shards = fixture(folder).shards();
    let mut tensors = tensors(&shards);
    let mut config = fixture(folder).config();
    change(&mut config, &mut tensors);
    let error = from_hf(&config, None, &tensors).map(|model| model.config).unwrap_err().to_string();
    assert_eq!(error, expected, "{folder}");
    assert!(!error.contains('\n'));
}

fn check_key(folder: &str, key: &str, value: Value, expected: &str) {
    check(folder, |config, _| config[key] = value, expected);
}

fn tensor<'t, 'a>(tensors: &'t mut [Tensor<'a>], name: &str) -> &'t mut Tensor<'a> {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

const NOT_A_MODEL: &str = "the file is damaged or not a language model; get it again or choose another";
const WITHOUT: &str = "is not supported: choose a model without it";

#[test]
fn unknown_architectures_list_the_known() {
    check_key(
        "llama2",
        "architectures",
        json!(["MambaForCausalLM"]),
        "architecture `MambaForCausalLM` is not known: choose a model of one of LlamaForCausalLM, MistralForCausalLM, \
         Qwen2ForCausalLM, Qwen3ForCausalLM, Gemma3ForCausalLM",
    );
    check_key(
        "llama2",
        "architectures",
        Value::Null,
        &format!("architectures: missing, expected a list with one name: {NOT_A_MODEL}"),
    );
}

#[test]
fn sizes_are_checked() {
    let cases = [
        ("num_attention_heads", json!(0), "0, expected at least 1"),
        ("num_key_value_heads", json!(0), "0, expected at least 1"),
        ("num_hidden_layers", json!(0), "0, expected at least 1"),
        ("num_hidden_layers", json!(1u64 << 40), "1099511627776, expected at most 4096"),
        ("hidden_size", json!(u64::MAX), "18446744073709551615, expected at most 16777216"),
        ("hidden_size", json!(-64), "-64, expected a whole number"),
        ("hidden_size", json!("64"), "\"64\", expected a whole number"),
        ("vocab_size", json!(0), "0, expected 1 to 2^32 - 1"),
        ("head_dim", json!(33), "head size 33, expected an even number"),
        ("head_dim", json!(1u64 << 33), "8589934592, expected at most 8192"),
        ("max_position_embeddings", json!(1u64 << 50), "1125899906842624, expected at most 2147483648"),
        ("max_position_embeddings", Value::Null, "missing"),
        ("rms_norm_eps", json!(0), "0.0, expected a finite number above 0"),
        ("rms_norm_eps", json!(1e300), "1e300, expected a finite number above 0"),
        ("rms_norm_eps", json!("NaN"), "\"NaN\", expected a number"),
        ("tie_word_embeddings", json!(1), "1, expected true or false"),
    ];
    for (key, value, expected) in cases {
        check_key("llama2", key, value, &format!("{key}: {expected}: {NOT_A_MODEL}"));
    }
    let expected = format!("num_key_value_heads: 2 does not divide the 3 heads: {NOT_A_MODEL}");
    check_key("qwen3", "num_key_value_heads", json!(2), &expected);
    let undivided = |config: &mut Value, _: &mut Vec<Tensor<'_>>| {
        config["head_dim"] = Value::Null;
        config["num_attention_heads"] = json!(5);
        config["num_key_value_heads"] = json!(5);
    };
    let expected = format!("num_attention_heads: 5 heads do not divide the width 64: {NOT_A_MODEL}");
    check("llama2", undivided, &expected);
}

#[test]
fn what_the_graph_cannot_express_is_refused() {
    check_key("llama3", "mlp_bias", json!(true), &format!("mlp_bias: true {WITHOUT}"));
    check_key("gemma3", "attention_bias", json!(true), &format!("attention_bias: true {WITHOUT}"));
    check_key("llama3", "num_local_experts", json!(8), &format!("num_local_experts: a mixture of experts {WITHOUT}"));
    check_key("llama3", "hidden_act", json!("relu"), &format!("hidden_act: `relu` in place of `silu` {WITHOUT}"));
    check_key(
        "llama3",
        "partial_rotary_factor",
        json!(0.5),
        &format!("partial_rotary_factor: a partly rotated head {WITHOUT}"),
    );
    check_key(
        "llama3",
        "rope_scaling",
        json!({"rope_type": "yarn", "factor": 4.0}),
        &format!("rope_scaling.rope_type: rope scaling `yarn` {WITHOUT}"),
    );
    check_key(
        "llama2",
        "rope_parameters",
        json!({"rope_type": "longrope", "rope_theta": 1e4}),
        &format!("rope_parameters.rope_type: rope scaling `longrope` {WITHOUT}"),
    );
    check_key(
        "llama3",
        "quantization_config",
        json!({"bits": 4}),
        &format!("quantization_config: a quantised safetensors file {WITHOUT}"),
    );
    check_key(
        "qwen3",
        "layer_types",
        json!(["full_attention", "linear_attention"]),
        &format!("layer_types: `linear_attention` {WITHOUT}"),
    );
}

#[test]
fn what_transformers_would_make_up_must_be_stated() {
    let cases = [
        ("mistral", "sliding_window"),
        ("gemma3", "sliding_window"),
        ("gemma3", "head_dim"),
        ("gemma3", "query_pre_attn_scalar"),
        ("qwen3", "head_dim"),
        ("llama2", "rms_norm_eps"),
    ];
    for (folder, key) in cases {
        let remove = |config: &mut Value, _: &mut Vec<Tensor<'_>>| {
            config.as_object_mut().unwrap().remove(key);
        };
        check(folder, remove, &format!("{key}: missing: {NOT_A_MODEL}"));
    }
}

#[test]
fn rope_and_windows_are_checked() {
    check_key(
        "llama2",
        "rope_parameters",
        json!({"rope_theta": 1e4, "partial_rotary_factor": 0.25}),
        &format!("rope_parameters.partial_rotary_factor: a partly rotated head {WITHOUT}"),
    );
    check_key(
        "llama2",
        "rope_parameters",
        json!({"rope_type": "default"}),
        &format!("rope_parameters.rope_theta: missing: {NOT_A_MODEL}"),
    );
    let scaling = json!({"rope_type": "llama3", "factor": 8.0});
    check_key("llama3", "rope_scaling", scaling, &format!("rope_scaling.low_freq_factor: missing: {NOT_A_MODEL}"));
    let backwards = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0,
        "original_max_position_embeddings": 64});
    check_key(
        "llama3",
        "rope_scaling",
        backwards,
        &format!("rope_scaling.high_freq_factor: not above low_freq_factor: {NOT_A_MODEL}"),
    );
    check_key(
        "smollm2",
        "rope_scaling",
        json!({"type": "linear", "factor": 0.0}),
        &format!("rope_scaling.factor: 0.0, expected a finite number above 0: {NOT_A_MODEL}"),
    );
    check_key(
        "smollm2",
        "rope_theta",
        json!(-1.0),
        &format!("rope_theta: -1.0, expected a finite number above 0: {NOT_A_MODEL}"),
    );
    check_key(
        "mistral",
        "sliding_window",
        json!(0),
        &format!("sliding_window: 0, expected at least 1 or null: {NOT_A_MODEL}"),
    );
    check_key(
        "qwen3",
        "layer_types",
        json!(["full_attention"]),
        &format!("layer_types: 1 entries, expected 2: {NOT_A_MODEL}"),
    );
    check_key(
        "qwen3",
        "layer_types",
        json!(["full_attention", "sliding_attention"]),
        &format!("sliding_window: missing, but layer_types asks for it: {NOT_A_MODEL}"),
    );
    check_key(
        "gemma3",
        "query_pre_attn_scalar",
        json!(0),
        &format!("query_pre_attn_scalar: 0.0, expected a finite number above 0: {NOT_A_MODEL}"),
    );
}

#[test]
fn tensors_are_checked() {
    let name = "model.layers.1.self_attn.q_proj.weight";
    let missing = |_: &mut Value, tensors: &mut Vec<Tensor<'_>>| tensors.retain(|tensor| tensor.name != name);
    let expected = format!("tensor {name} is missing: the file is incomplete; get it again or choose another");
    check("qwen2", missing, &expected);
    let reshaped = |_: &mut Value, tensors: &mut Vec<Tensor<'_>>| tensor(tensors, name).shape = vec![80, 40];
    let expected = format!(
        "tensor {name}: shape [80, 40], expected [80, 80]: tensors and configuration disagree; get the file again"
    );
    check("qwen2", reshaped, &expected);
    let quantised = |_: &mut Value, tensors: &mut Vec<Tensor<'_>>| {
        tensor(tensors, "model.norm.weight").ty = SourceType::Q8_0;
    };
    let expected = "tensor model.norm.weight: type Q8_0, expected F32, F16 or BF16: choose a file with another \
                    quantisation";
    check("qwen2", quantised, expected);
    let twice = |_: &mut Value, tensors: &mut Vec<Tensor<'_>>| tensors.push(tensors[0].clone());
    let first = tensors(&fixture("qwen2").shards())[0].name.to_string();
    check("qwen2", twice, &format!("tensor {first} occurs twice: the file is damaged; get it again"));
    // A head that the configuration calls tied may be there too; one that it does not know of may not.
    let untied = |config: &mut Value, _: &mut Vec<Tensor<'_>>| config["tie_word_embeddings"] = json!(true);
    let shards = fixture("llama3").shards();
    let tensors = tensors(&shards);
    let mut config = fixture("llama3").config();
    untied(&mut config, &mut Vec::new());
    assert!(from_hf(&config, None, &tensors).is_ok());
    let other_family = |config: &mut Value, _: &mut Vec<Tensor<'_>>| {
        config["architectures"] = json!(["LlamaForCausalLM"]);
    };
    let expected = "tensor model.layers.0.self_attn.k_norm.weight has no place in a llama model: choose a plain llama \
                    file";
    check("qwen3", other_family, expected);
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let shards = fixture("qwen2").shards();
    let mut tensors = tensors(&shards);
    let name = "model.layers.0.mlp.up_proj.weight";
    let mut bytes = tensor(&mut tensors, name).data.to_vec();
    bytes[2 * (3 * 80 + 5)..][..2].copy_from_slice(&0x7E00u16.to_le_bytes()); // an F16 NaN in row 3
    tensor(&mut tensors, name).data = &bytes;
    let model = from_hf(&fixture("qwen2").config(), None, &tensors).unwrap();
    let expected =
        format!("tensor {name}: element 245 is NaN, expected finite weights: get the file again or choose another");
    assert_eq!(FloatWeights::new(&model).unwrap_err().to_string(), expected);
    let error = contract_weights(&model).unwrap_err().to_string();
    assert!(error.starts_with(&format!("tensor {name}: row 3 ")), "{error}");
}

#[test]
fn settings_without_a_tensor_are_heeded() {
    let scale_of = |folder: &str, change: &dyn Fn(&mut Value)| {
        let shards = fixture(folder).shards();
        let tensors = tensors(&shards);
        let mut config = fixture(folder).config();
        change(&mut config);
        from_hf(&config, None, &tensors).unwrap().graph.to_string()
    };
    let text = scale_of("gemma3", &|config| config["query_pre_attn_scalar"] = json!(64));
    assert_eq!(text.matches(" scale=0.125 ").count(), 6);
    // Plain llama pays no heed to a window, and qwen only if it is switched on.
    let window = |config: &mut Value| config["sliding_window"] = json!(9);
    assert!(!scale_of("llama3", &window).contains("window"));
    assert!(!scale_of("qwen3", &window).contains("window"));
    let switched = scale_of("qwen3", &|config| {
        window(config);
        config["use_sliding_window"] = json!(true);
        config["max_window_layers"] = json!(1);
    });
    assert_eq!(switched.matches("window=9").count(), 1);
    assert!(switched.lines().any(|line| line.contains("layer=1") && line.contains("window=9")));
    let every_third = scale_of("gemma3", &|config| config["sliding_window_pattern"] = json!(3));
    assert_eq!(every_third.matches("window=8").count(), 4);
}

/// Nothing but the configuration says how large a vocabulary is when there are no tensors.
#[test]
fn a_vocabulary_without_tensors_is_bounded() {
    let mut config = fixture("llama2").config();
    config["vocab_size"] = json!(1_u64 << 30);
    let error = from_hf_config(&config).map(|(sizes, _)| sizes).unwrap_err().to_string();
    assert!(error.starts_with("vocab_size: 1073741824, expected at most 16777216"), "{error}");
}

/// Whatever one value is replaced by, the answer is a sound graph or one line; never a panic.
#[test]
fn hostile_configurations_end_in_one_line() {
    let hostile = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e-308),
        json!("text"),
        json!([]),
        json!(vec!["full_attention"; 6]),
        json!({}),
        json!({"rope_type": "llama3", "factor": 1e-300, "low_freq_factor": 1, "high_freq_factor": 4,
            "original_max_position_embeddings": 1e300, "rope_theta": 1e-300}),
        json!({"rope_theta": 10_000.0, "rope_type": "linear", "factor": u64::MAX}),
    ];
    let mut refused = 0;
    for fixture in &PLAIN {
        let shards = fixture.shards();
        let tensors = tensors(&shards);
        let config = fixture.config();
        let extra = ["head_dim", "layer_types", "rope_scaling", "rope_parameters", "attention_bias", "sliding_window"];
        let keys = config.as_object().unwrap().keys().map(String::as_str).chain(extra);
        for key in keys {
            for value in &hostile {
                let mut config = config.clone();
                config[key] = value.clone();
                let with_tensors = from_hf(&config, Some(&config), &tensors).map(|model| model.graph);
                for graph in [with_tensors, from_hf_config(&config).map(|(_, graph)| graph)] {
                    match graph {
                        Ok(graph) => assert!(lockstep_graph::verify(&graph).is_empty(), "{key} = {value}"),
                        Err(error) => {
                            refused += 1;
                            assert!(!error.to_string().contains('\n'), "{key} = {value}: {error}");
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
}
