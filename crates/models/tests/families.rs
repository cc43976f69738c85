//! Every family against `transformers`, from both kinds of file, in plain floats and in the contract.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Fixture, PLAIN, QUANTISED, divergence, largest_difference, rms_difference, tensors};
use lockstep_formats::Gguf;
use lockstep_graph::{Graph, Op, RotaryPairs, contract, interpret, verify};
use lockstep_models::weights::{FloatWeights, contract_weights};
use lockstep_models::{Model, ModelConfig, Transform, from_gguf, from_hf, from_hf_config};

/// Largest difference of float logits, over the largest logit.
const FLOAT_BOUND: f32 = 1e-4;

fn with_gguf<R>(fixture: &Fixture, check: impl FnOnce(&Model<'_>) -> R) -> R {
    let bytes = fixture.read(fixture.gguf);
    check(&from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap())
}

fn with_hf<R>(fixture: &Fixture, check: impl FnOnce(&Model<'_>) -> R) -> R {
    let shards = fixture.shards();
    let tensors = tensors(&shards);
    check(&from_hf(&fixture.config(), Some(&fixture.generation_config()), &tensors).unwrap())
}

fn float_logits(model: &Model<'_>, graph: &Graph, tokens: &[u32]) -> Vec<Vec<f32>> {
    interpret::logits(graph, &FloatWeights::new(model).unwrap(), tokens).unwrap()
}

#[test]
fn float_logits_equal_transformers() {
    for fixture in PLAIN.iter().chain(&QUANTISED) {
        let reference = fixture.reference();
        let difference = |model: &Model<'_>| {
            largest_difference(&float_logits(model, &model.graph, &reference.tokens), &reference.logits)
        };
        let found = with_gguf(fixture, difference);
        assert!(found < FLOAT_BOUND, "{fixture:?}, GGUF: off by {found}");
        if fixture.logits == "logits" {
            let found = with_hf(fixture, difference);
            assert!(found < FLOAT_BOUND, "{fixture:?}, safetensors: off by {found}");
        }
    }
}

#[test]
fn contract_logits_stay_close_to_transformers() {
    // Random weights of width 64 to 96 amplify more than trained ones; measured: divergence 1e-6 to 4.7e-3 nats,
    // rms 1.6 to 3.5 percent.
    for fixture in PLAIN.iter().chain(&QUANTISED) {
        let reference = fixture.reference();
        let found = with_gguf(fixture, |model| {
            contract::logits(&model.graph, &contract_weights(model).unwrap(), &reference.tokens).unwrap()
        });
        let (nats, rms) = (divergence(&found, &reference.logits), rms_difference(&found, &reference.logits));
        assert!(nats < 0.01, "{fixture:?}: {nats} nats");
        assert!(rms < 0.05, "{fixture:?}: rms {rms}");
    }
}

/// Exact sums do not see that GGUF orders llama's query and key rows differently, nor which float type held a value.
#[test]
fn both_files_give_the_same_bits() {
    for fixture in &PLAIN {
        let tokens = fixture.reference().tokens;
        let bits = |model: &Model<'_>| {
            let logits = contract::logits(&model.graph, &contract_weights(model).unwrap(), &tokens).unwrap();
            logits.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        // Llama 3's frequencies differ in the last bits (see `both_files_give_the_same_graph`).
        if fixture.folder != "llama3" {
            assert_eq!(with_hf(fixture, bits), with_gguf(fixture, bits), "{fixture:?}");
        }
    }
}

#[test]
fn both_files_give_the_same_graph() {
    for fixture in &PLAIN {
        let hf = with_hf(fixture, |model| (model.graph.clone(), model.config.clone()));
        let gguf = with_gguf(fixture, |model| (model.graph.clone(), model.config.clone()));
        let (mut expected, mut found) = (hf.0, gguf.0);
        let is_llama = gguf.1.family == "llama";
        for (left, right) in expected.rotaries.iter_mut().zip(&mut found.rotaries) {
            assert_eq!(left.pairs, RotaryPairs::Halves, "{fixture:?}");
            let pairs = if is_llama { RotaryPairs::Adjacent } else { RotaryPairs::Halves };
            assert_eq!(right.pairs, pairs, "{fixture:?}");
            left.pairs = right.pairs;
            // GGUF holds Llama 3's scaling as f32 factors.
            for (x, y) in left.frequencies.iter().zip(&right.frequencies) {
                assert!((x / y - 1.0).abs() < 1e-7, "{fixture:?}: {x} and {y}");
            }
            left.frequencies.clone_from(&right.frequencies);
        }
        assert_eq!(expected.to_string(), found.to_string(), "{fixture:?}");
        assert_eq!(expected, found, "{fixture:?}");
        assert_eq!(hf.1.vocab_size, gguf.1.vocab_size);
        assert_eq!((hf.1.bos_token, hf.1.end_tokens), (Some(1), vec![2, 0]), "generation_config.json");
        assert_eq!((gguf.1.bos_token, gguf.1.end_tokens), (Some(1), vec![2]), "tokenizer.ggml.eos_token_id");
    }
}

#[test]
fn a_configuration_alone_gives_the_same_graph() {
    for fixture in &PLAIN {
        let (sizes, graph) = from_hf_config(&fixture.config()).unwrap();
        with_hf(fixture, |model| {
            assert_eq!(graph, model.graph, "{}", fixture.folder);
            // What ends an answer may stand in another file.
            let end_tokens = sizes.end_tokens.clone();
            assert_eq!(sizes, ModelConfig { end_tokens, ..model.config.clone() }, "{}", fixture.folder);
        });
    }
}

#[test]
fn graphs_survive_their_text_form() {
    for fixture in &PLAIN {
        with_gguf(fixture, |model| {
            let text = model.graph.to_string();
            assert_eq!(lockstep_graph::parse_graph(&text).unwrap(), model.graph, "{fixture:?}");
            assert!(lockstep_graph::verify(&model.graph).is_empty());
        });
    }
}

/// Without this the comparison with `transformers` could not see that a feature is left out.
#[test]
fn every_feature_shows_in_the_logits() {
    type Change = fn(&mut Graph);
    fn attention(graph: &mut Graph, change: impl Fn(&mut Option<usize>, &mut Option<f32>)) {
        for node in &mut graph.nodes {
            if let Op::Attention { window, soft_cap, .. } = &mut node.op {
                change(window, soft_cap);
            }
        }
    }
    let no_window: Change = |graph| attention(graph, |window, _| *window = None);
    let wider: Change = |graph| attention(graph, |window, _| *window = window.map(|window| window + 1));
    let no_score_cap: Change = |graph| attention(graph, |_, cap| *cap = None);
    // Llama 3's scaling divides this frequency by 8, the linear one by 2.
    let unscaled: Change = |graph| graph.rotaries[0].frequencies[3] *= 2.0;
    let global_base: Change = |graph| graph.rotaries[1].frequencies = graph.rotaries[0].frequencies.clone();
    let no_bias: Change = |graph| {
        for node in &mut graph.nodes {
            if let Op::MatMul { bias, .. } = &mut node.op {
                *bias = None;
            }
        }
    };
    let no_factor: Change = |graph| {
        if let Op::Embed { factor, .. } = &mut graph.nodes[0].op {
            *factor = None;
        }
    };
    let changes = [
        ("mistral", no_window),
        ("mistral", wider),
        ("llama3", unscaled),
        ("smollm2", unscaled),
        ("qwen2", no_bias),
        ("gemma3", no_window),
        ("gemma3", no_score_cap),
        ("gemma3", global_base),
        ("gemma3", no_factor),
    ];
    for (index, (folder, change)) in changes.iter().enumerate() {
        let fixture = PLAIN.iter().find(|fixture| fixture.folder == *folder).unwrap();
        let reference = fixture.reference();
        let found = with_gguf(fixture, |model| {
            let mut graph = model.graph.clone();
            change(&mut graph);
            assert_ne!(graph, model.graph, "change {index}");
            largest_difference(&float_logits(model, &graph, &reference.tokens), &reference.logits)
        });
        assert!(found > 10.0 * FLOAT_BOUND, "change {index} of {folder} shows only {found}");
    }
}

#[test]
fn weights_are_bound_in_the_order_of_the_graph() {
    for fixture in &PLAIN {
        with_hf(fixture, |model| {
            assert_eq!(model.weights.len(), model.graph.weights.len());
            for (bound, weight) in model.weights.iter().zip(&model.graph.weights) {
                assert_eq!(bound.tensor.shape, weight.shape, "{}", weight.name);
                let less_one = model.config.family == "gemma3" && weight.shape.len() == 1;
                let expected = if less_one { Transform::AddOne } else { Transform::None };
                assert_eq!(bound.transform, expected, "{}", weight.name);
            }
        });
        with_gguf(fixture, |model| {
            for (bound, weight) in model.weights.iter().zip(&model.graph.weights) {
                assert_eq!(bound.tensor.name, weight.name);
                assert_eq!(bound.transform, Transform::None);
            }
        });
    }
}

#[test]
fn the_first_layer_alone_has_the_values_of_the_whole() {
    for fixture in &PLAIN {
        with_gguf(fixture, |model| {
            let layer = model.first_layer().unwrap();
            assert_eq!((verify(&layer.graph), layer.graph.layers()), (Vec::new(), 1), "{fixture:?}");
            let mut whole = model.graph.clone();
            whole.output = layer.graph.output;
            let tokens = fixture.reference().tokens;
            let values = |model: &Model<'_>, graph: &Graph| {
                contract::logits(graph, &contract_weights(model).unwrap(), &tokens).unwrap()
            };
            assert!(values(&layer, &layer.graph) == values(model, &whole), "{fixture:?}");
        });
    }
}

#[test]
fn a_tied_head_is_the_embedding() {
    let tied: Vec<&str> = PLAIN
        .iter()
        .filter(|fixture| {
            with_gguf(fixture, |model| {
                let mut tables = model.graph.nodes.iter().filter_map(|node| match node.op {
                    Op::Embed { table, .. } => Some(table),
                    _ => None,
                });
                let head = model.graph.nodes.iter().rev().find_map(|node| match node.op {
                    Op::MatMul { weight, .. } => Some(weight),
                    _ => None,
                });
                tables.next() == head
            })
        })
        .map(|fixture| fixture.folder)
        .collect();
    assert_eq!(tied, ["smollm2", "qwen2", "gemma3"]);
}

#[test]
fn a_layer_reads_like_this() {
    let text = with_gguf(&PLAIN[6], |model| model.graph.to_string());
    let nodes: Vec<&str> = text.lines().filter(|line| line.starts_with('%') || line.starts_with("out")).collect();
    let expected = "\
%0 = embed token_embd.weight factor=8.0
%1 = rms_norm %0 blk.0.attn_norm.weight group=64 eps=1e-6
%2 = matmul %1 blk.0.attn_q.weight
%3 = matmul %1 blk.0.attn_k.weight
%4 = matmul %1 blk.0.attn_v.weight
%5 = rms_norm %2 blk.0.attn_q_norm.weight group=32 eps=1e-6
%6 = rms_norm %3 blk.0.attn_k_norm.weight group=32 eps=1e-6
%7 = rotary %5 head_size=32 rotary=0
%8 = rotary %6 head_size=32 rotary=0
%9 = attention %7 %8 %4 layer=0 heads=2 kv_heads=1 head_size=32 scale=0.17677669 window=8 soft_cap=20.0
%10 = matmul %9 blk.0.attn_output.weight
%11 = rms_norm %10 blk.0.post_attention_norm.weight group=64 eps=1e-6
%12 = add %0 %11
%13 = rms_norm %12 blk.0.ffn_norm.weight group=64 eps=1e-6
%14 = matmul %13 blk.0.ffn_gate.weight
%15 = matmul %13 blk.0.ffn_up.weight
%16 = gelu %14
%17 = mul %16 %15
%18 = matmul %17 blk.0.ffn_down.weight
%19 = rms_norm %18 blk.0.post_ffw_norm.weight group=64 eps=1e-6
%20 = add %12 %19";
    assert_eq!(nodes[..21].join("\n"), expected);
    let expected = "\
%121 = rms_norm %120 output_norm.weight group=64 eps=1e-6
%122 = matmul %121 token_embd.weight
%123 = soft_cap %122 cap=30.0
output %123";
    assert_eq!(nodes[121..].join("\n"), expected);
    let global = nodes.iter().filter(|line| line.contains("= attention") && !line.contains("window")).count();
    assert_eq!(global, 1, "of six layers the last sees everything");
}

#[test]
fn sizes_are_told() {
    let config = with_hf(&PLAIN[5], |model| model.config.clone());
    assert_eq!((config.family, config.architecture.as_str()), ("qwen3", "Qwen3ForCausalLM"));
    let sizes = (config.vocab_size, config.context_length, config.hidden, config.feed_forward, config.layers);
    assert_eq!(sizes, (96, 256, 64, 64, 2));
    assert_eq!((config.heads, config.kv_heads, config.head_size), (3, 1, 32));
    let name = with_gguf(&PLAIN[5], |model| model.config.name.clone());
    assert_eq!(name.as_deref(), Some("tiny qwen3"));
}
