//! GGUF metadata: what is heeded, what is refused, and how. Files are made from the fixtures with keys changed.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Fixture, PLAIN, QUANTISED};
use lockstep_formats::{Gguf, Tensor, Value};
use lockstep_models::{ModelConfig, from_gguf, vocab};
use lockstep_text::{TokenKind, Tokenizer, VocabModel};

const NOT_A_MODEL: &str = "the file is damaged or not a language model; get it again or choose another";
const WITHOUT: &str = "is not supported: choose a model without it";

/// A value to put into a file.
#[derive(Clone, Debug)]
enum New {
    Absent,
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    Text(&'static str),
    Bools(Vec<bool>),
}

fn fixture(folder: &str) -> &'static Fixture {
    PLAIN.iter().find(|fixture| fixture.folder == folder).unwrap()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The type number of a value and its bytes; `None` for lists, which are not copied.
fn encode(value: &Value<'_>) -> Option<(u32, Vec<u8>)> {
    Some(match value {
        Value::Unsigned(number) => (10, number.to_le_bytes().to_vec()),
        Value::Signed(number) => (11, number.to_le_bytes().to_vec()),
        Value::Float(number) => (12, number.to_le_bytes().to_vec()),
        Value::Bool(flag) => (7, vec![u8::from(*flag)]),
        Value::String(text) => {
            let mut bytes = Vec::new();
            put_text(&mut bytes, text);
            (8, bytes)
        }
        Value::Array(_) => return None,
    })
}

fn encode_new(value: &New) -> Option<(u32, Vec<u8>)> {
    match value {
        New::Absent => None,
        New::Unsigned(number) => encode(&Value::Unsigned(*number)),
        New::Float(number) => encode(&Value::Float(*number)),
        New::Bool(flag) => encode(&Value::Bool(*flag)),
        New::Text(text) => encode(&Value::String(text)),
        New::Bools(flags) => {
            let mut bytes = 7u32.to_le_bytes().to_vec();
            bytes.extend((flags.len() as u64).to_le_bytes());
            bytes.extend(flags.iter().map(|&flag| u8::from(flag)));
            Some((9, bytes))
        }
    }
}

/// A GGUF of these tensors, with the fixture's keys except for the changed ones.
fn write(gguf: &Gguf<'_>, tensors: &[Tensor<'_>], changes: &[(&str, New)]) -> Vec<u8> {
    let kept = gguf.metadata().iter().filter(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    let pairs: Vec<_> = kept
        .filter_map(|(key, value)| Some((*key, encode(value)?)))
        .chain(changes.iter().filter_map(|(key, value)| Some((*key, encode_new(value)?))))
        .collect();
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((pairs.len() as u64).to_le_bytes());
    for (key, (kind, bytes)) in pairs {
        put_text(&mut out, key);
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    }
    let mut offset = 0;
    for tensor in tensors {
        put_text(&mut out, tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|&n| out.extend((n as u64).to_le_bytes()));
        out.extend(
            [("F32", 0u32), ("F16", 1), ("BF16", 30)]
                .iter()
                .find(|(name, _)| *name == tensor.ty.name())
                .unwrap()
                .1
                .to_le_bytes(),
        );
        out.extend((offset as u64).to_le_bytes());
        offset = (offset + tensor.data.len()).next_multiple_of(32);
    }
    for tensor in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(tensor.data);
    }
    out
}

/// The graph's text, or the error, of a fixture with changed keys and tensors.
fn changed(
    folder: &str,
    changes: &[(&str, New)],
    change: impl FnOnce(&mut Vec<Tensor<'_>>),
) -> Result<(String, ModelConfig), String> {
    let bytes = fixture(folder).read("model.gguf");
    let gguf = Gguf::parse(&bytes).unwrap();
    let mut tensors = gguf.tensors.clone();
    change(&mut tensors);
    let bytes = write(&gguf, &tensors, changes);
    let gguf = Gguf::parse(&bytes).map_err(|error| error.to_string())?;
    let model = from_gguf(&gguf).map_err(|error| error.to_string())?;
    Ok((model.graph.to_string(), model.config))
}

fn check(folder: &str, key: &str, value: New, expected: &str) {
    let error = changed(folder, &[(key, value)], |_| {}).unwrap_err();
    assert_eq!(error, expected, "{folder}");
}

#[test]
fn an_unchanged_copy_gives_the_same_graph() {
    for fixture in &PLAIN {
        let bytes = fixture.read("model.gguf");
        let expected = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap().graph.to_string();
        assert_eq!(changed(fixture.folder, &[], |_| {}).unwrap().0, expected);
    }
}

#[test]
fn quantised_files_have_the_plain_file_s_graph() {
    let graph = |fixture: &Fixture| {
        let bytes = fixture.read(fixture.gguf);
        from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap().graph.to_string()
    };
    for quantised in &QUANTISED {
        assert_eq!(graph(quantised), graph(fixture("smollm2")));
    }
}

#[test]
fn unknown_architectures_list_the_known() {
    let expected = "architecture `mamba` is not known: choose a model of one of llama, qwen2, qwen3, gemma3";
    check("llama2", "general.architecture", New::Text("mamba"), expected);
    let expected = expected.replace("mamba", "two\\nlines");
    check("llama2", "general.architecture", New::Text("two\nlines"), &expected);
    check("llama2", "general.architecture", New::Absent, &format!("general.architecture: missing: {NOT_A_MODEL}"));
    let expected = format!("general.architecture: 7, expected a string: {NOT_A_MODEL}");
    check("llama2", "general.architecture", New::Unsigned(7), &expected);
}

#[test]
fn sizes_are_checked() {
    let cases = [
        ("attention.head_count", New::Unsigned(0), "0, expected at least 1"),
        ("attention.head_count_kv", New::Unsigned(0), "0, expected at least 1"),
        ("attention.head_count_kv", New::Bools(vec![true]), "a list of 1, expected a whole number"),
        ("block_count", New::Unsigned(u64::MAX), "18446744073709551615, expected at most 4096"),
        ("block_count", New::Absent, "missing"),
        ("embedding_length", New::Unsigned(1 << 60), "1152921504606846976, expected at most 16777216"),
        ("context_length", New::Unsigned(0), "0, expected at least 1"),
        ("attention.layer_norm_rms_epsilon", New::Float(f64::NAN), "NaN, expected a finite number above 0"),
        ("attention.layer_norm_rms_epsilon", New::Absent, "missing"),
        ("rope.freq_base", New::Float(f64::INFINITY), "inf, expected a finite number above 0"),
        ("rope.dimension_count", New::Unsigned(31), "31, expected an even number up to the head size 32"),
        ("rope.dimension_count", New::Unsigned(64), "64, expected an even number up to the head size 32"),
        ("vocab_size", New::Unsigned(100), "100, but token_embd.weight has 288 rows"),
    ];
    for (key, value, expected) in cases {
        let key = format!("llama.{key}");
        check("smollm2", &key, value, &format!("{key}: {expected}: {NOT_A_MODEL}"));
    }
    let expected = format!("qwen3.attention.key_length: head size 33, expected an even number: {NOT_A_MODEL}");
    let both = [("qwen3.attention.key_length", New::Unsigned(33)), ("qwen3.attention.value_length", New::Absent)];
    assert_eq!(changed("qwen3", &both, |_| {}).unwrap_err(), expected);
    let one_layer_more = changed("qwen3", &[("qwen3.block_count", New::Unsigned(3))], |_| {}).unwrap_err();
    let remedy = "the file is incomplete; get it again or choose another";
    assert_eq!(one_layer_more, format!("tensor blk.2.attn_norm.weight is missing: {remedy}"));
    let one_less = changed("qwen3", &[("qwen3.block_count", New::Unsigned(1))], |_| {}).unwrap_err();
    assert_eq!(one_less, "tensor blk.1.attn_k.weight has no place in a qwen3 model: choose a plain qwen3 file");
}

#[test]
fn what_the_graph_cannot_express_is_refused() {
    let cases = [
        ("expert_count", New::Unsigned(8), "8"),
        ("attention.clamp_kqv", New::Float(8.0), "8"),
        ("attention.max_alibi_bias", New::Float(8.0), "8"),
        ("logit_scale", New::Float(0.5), "0.5"),
        ("attention.causal", New::Bool(false), "false"),
        ("use_parallel_residual", New::Bool(true), "true"),
        ("rope.scaling.type", New::Text("yarn"), "rope scaling `yarn`"),
        ("rope.scaling.attn_factor", New::Float(1.5), "1.5"),
    ];
    for (key, value, expected) in cases {
        let key = format!("llama.{key}");
        check("llama2", &key, value, &format!("{key}: {expected} {WITHOUT}"));
    }
    let expected = format!("qwen3.attention.value_length: 64 where keys have 32 {WITHOUT}");
    check("qwen3", "qwen3.attention.value_length", New::Unsigned(64), &expected);
    let second = [("llama.rope.scaling.factor", New::Float(4.0))];
    let expected = format!("rope_freqs.weight: a second rope scaling beside the linear one {WITHOUT}");
    assert_eq!(changed("llama3", &second, |_| {}).unwrap_err(), expected);
}

#[test]
fn tensors_are_checked() {
    let find = |tensors: &mut Vec<Tensor<'_>>, name: &str| tensors.iter().position(|t| t.name == name).unwrap();
    let negative = (-1.0f32).to_le_bytes().repeat(16);
    let bytes = fixture("llama3").read("model.gguf");
    let gguf = Gguf::parse(&bytes).unwrap();
    let mut tensors = gguf.tensors.clone();
    let at = find(&mut tensors, "rope_freqs.weight");
    tensors[at].data = &negative;
    let file = write(&gguf, &tensors, &[]);
    let error = from_gguf(&Gguf::parse(&file).unwrap()).unwrap_err().to_string();
    let remedy = "get the file again or choose another";
    assert_eq!(error, format!("tensor rope_freqs.weight: -1, expected factors above 0: {remedy}"));

    let flattened = |tensors: &mut Vec<Tensor<'_>>| {
        let at = find(tensors, "blk.1.ffn_up.weight");
        tensors[at].shape = vec![64 * 64];
    };
    let expected = "tensor blk.1.ffn_up.weight: shape [4096], expected [64, 64]: tensors and configuration disagree; \
                    get the file again";
    assert_eq!(changed("llama2", &[], flattened).unwrap_err(), expected);
    let renamed = |tensors: &mut Vec<Tensor<'_>>| {
        let at = find(tensors, "blk.1.ffn_up.weight");
        tensors[at].name = "blk.1.ffn_up_exps.weight";
    };
    let expected = "tensor blk.1.ffn_up.weight is missing: the file is incomplete; get it again or choose another";
    assert_eq!(changed("llama2", &[], renamed).unwrap_err(), expected);
    let more = |tensors: &mut Vec<Tensor<'_>>| {
        let mut extra = tensors[0].clone();
        extra.name = "blk.0.attn_sinks.weight";
        tensors.push(extra);
    };
    let expected = "tensor blk.0.attn_sinks.weight has no place in a llama model: choose a plain llama file";
    assert_eq!(changed("llama2", &[], more).unwrap_err(), expected);
}

#[test]
fn optional_keys_are_heeded() {
    let text = |folder: &str, changes: &[(&str, New)]| changed(folder, changes, |_| {}).unwrap().0;
    let pattern = New::Bools(vec![true, false, true, false, false, false]);
    let windows = text("gemma3", &[("gemma3.attention.sliding_window_pattern", pattern)]);
    let windowed: Vec<bool> =
        windows.lines().filter(|line| line.contains("= attention")).map(|line| line.contains("window=8")).collect();
    assert_eq!(windowed, [true, false, true, false, false, false]);
    let every_second = text("gemma3", &[("gemma3.attention.sliding_window_pattern", New::Unsigned(2))]);
    assert_eq!(every_second.matches("window=8").count(), 3);
    // A base for the windowed layers alone: the global table, second in the text, stays.
    let plain = text("gemma3", &[]);
    let other_base = text("gemma3", &[("gemma3.rope.freq_base_swa", New::Float(20_000.0))]);
    let table =
        |text: &str, index: usize| text.lines().find(|l| l.starts_with(&format!("rotary {index}"))).map(str::to_owned);
    assert_ne!(table(&plain, 0), table(&other_base, 0));
    assert_eq!(table(&plain, 1), table(&other_base, 1));
    // Half of each head is rotated.
    let partial = text("llama2", &[("llama.rope.dimension_count", New::Unsigned(16))]);
    assert!(table(&partial, 0).unwrap().starts_with("rotary 0 adjacent size=16 "));
    // Caps of 0 and scales of 0 or 1 say nothing.
    let idle = [
        ("llama.final_logit_softcapping", New::Float(0.0)),
        ("llama.logit_scale", New::Float(1.0)),
        ("llama.expert_count", New::Unsigned(0)),
        ("llama.attention.sliding_window", New::Unsigned(0)),
    ];
    assert_eq!(text("llama2", &idle), text("llama2", &[]));
    assert!(text("llama2", &[("llama.final_logit_softcapping", New::Float(12.0))]).contains("cap=12.0"));
    let scaled = text("qwen2", &[("qwen2.attention.scale", New::Float(0.25))]);
    assert_eq!(scaled.matches(" scale=0.25").count(), 2);
    // A factor without a type is linear, as in llama.cpp.
    let untyped = [("llama.rope.scaling.type", New::Absent)];
    assert_eq!(text("smollm2", &untyped), text("smollm2", &[]));
}

/// Whatever one value is replaced by, the answer is a sound graph or one line; never a panic.
#[test]
fn hostile_metadata_ends_in_one_line() {
    let hostile = [
        New::Absent,
        New::Unsigned(0),
        New::Unsigned(1),
        New::Unsigned(3),
        New::Unsigned(u64::MAX),
        New::Float(f64::NAN),
        New::Float(-1e-300),
        New::Float(1e300),
        New::Bool(true),
        New::Text("\n"),
        New::Bools(vec![true; 6]),
    ];
    let mut refused = 0;
    for fixture in &PLAIN {
        let bytes = fixture.read("model.gguf");
        let gguf = Gguf::parse(&bytes).unwrap();
        for (key, _) in gguf.metadata().iter().filter(|(key, _)| !key.starts_with("tokenizer")) {
            for value in &hostile {
                let file = write(&gguf, &gguf.tensors, &[(key, value.clone())]);
                let Ok(parsed) = Gguf::parse(&file) else { continue };
                match from_gguf(&parsed) {
                    Ok(model) => assert!(lockstep_graph::verify(&model.graph).is_empty(), "{key} = {value:?}"),
                    Err(error) => {
                        refused += 1;
                        assert!(!error.to_string().contains('\n'), "{key} = {value:?}: {error}");
                    }
                }
            }
        }
    }
    assert!(refused > 300, "only {refused} were refused");
}

#[test]
fn vocabularies_are_read() {
    let bytes = fixture("llama2").read("model.gguf");
    let spec = vocab::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    assert!(matches!(&spec.model, VocabModel::SentencePiece { scores } if scores.len() == 288 && scores[260] == -1.0));
    assert_eq!((spec.tokens.len(), spec.tokens[1].as_str(), spec.tokens[3].as_str()), (288, "<s>", "<0x00>"));
    assert_eq!(spec.token_types[..4], [TokenKind::Unknown, TokenKind::Control, TokenKind::Control, TokenKind::Byte]);
    assert_eq!((spec.bos, spec.eos, spec.unk, spec.pad), (Some(1), Some(2), Some(0), None));
    assert!(spec.add_bos && spec.add_space_prefix && !spec.add_eos);
    assert!(Tokenizer::from_vocab(spec).is_ok());

    let bytes = fixture("smollm2").read("model.gguf");
    let spec = vocab::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    assert!(matches!(&spec.model, VocabModel::Bpe { merges, pre } if merges[0] == "t h" && pre == "smollm"));
    assert!(!spec.add_bos && !spec.add_space_prefix);
    assert!(spec.chat_template.as_deref().is_some_and(|template| template.contains("<|im_start|>")));
    assert!(Tokenizer::from_vocab(spec).is_ok());
}

#[test]
fn vocabularies_without_their_parts_are_refused() {
    // Lists are not copied, so these files have no tokens, merges or scores.
    let error = |changes: &[(&str, New)]| {
        let bytes = fixture("smollm2").read("model.gguf");
        let gguf = Gguf::parse(&bytes).unwrap();
        let file = write(&gguf, &gguf.tensors, changes);
        vocab::from_gguf(&Gguf::parse(&file).unwrap()).unwrap_err().to_string()
    };
    let model = "tokenizer.ggml.model";
    assert_eq!(error(&[]), format!("tokenizer.ggml.merges: missing: {NOT_A_MODEL}"));
    assert_eq!(error(&[(model, New::Text("llama"))]), format!("tokenizer.ggml.scores: missing: {NOT_A_MODEL}"));
    assert_eq!(error(&[(model, New::Absent)]), format!("{model}: missing: {NOT_A_MODEL}"));
    assert_eq!(
        error(&[(model, New::Text("bert"))]),
        format!("{model}: a tokenizer of kind `bert` (known: gpt2, llama) {WITHOUT}")
    );
    let flags = [("tokenizer.ggml.merges", New::Bools(vec![true]))];
    assert_eq!(error(&flags), format!("tokenizer.ggml.merges: a list of 1, expected a list of strings: {NOT_A_MODEL}"));
}
