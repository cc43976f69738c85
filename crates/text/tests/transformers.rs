//! Ids equal to those of `transformers`, for small vocabularies of every kind, made by tools/reference/text.
//!
//! Each is built twice, from what a GGUF file holds of it and from its tokenizer.json, and both must give the same ids.
#![allow(clippy::unwrap_used, missing_docs)]

use flate2::read::GzDecoder;
use lockstep_text::{EncodeOptions, StreamDecoder, TokenKind, Tokenizer, VocabModel, VocabSpec};
use serde_json::{Value, json};

fn load(compressed: &[u8]) -> Value {
    serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(compressed))).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn spec_of(vocab: &Value) -> VocabSpec {
    let id = |name: &str| vocab[name].as_u64().map(|id| id as u32);
    let model = if vocab["model"] == "gpt2" {
        VocabModel::Bpe { merges: texts(&vocab["merges"]), pre: vocab["pre"].as_str().unwrap().to_owned() }
    } else {
        let scores = vocab["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap() as f32);
        VocabModel::SentencePiece { scores: scores.collect() }
    };
    let kinds = vocab["token_type"].as_array().unwrap().iter();
    VocabSpec {
        model,
        tokens: texts(&vocab["tokens"]),
        token_types: kinds.map(|kind| TokenKind::from_gguf(kind.as_i64().unwrap()).unwrap()).collect(),
        bos: id("bos"),
        eos: id("eos"),
        eot: None,
        unk: id("unk"),
        pad: None,
        add_bos: vocab["add_bos"] == true,
        add_eos: false,
        add_space_prefix: vocab["add_space_prefix"] == true,
        chat_template: None,
    }
}

/// Compares a tokenizer with what transformers made of the strings.
fn compare(name: &str, tokenizer: &Tokenizer, strings: &[String], fixture: &Value) {
    let ids = rows(&fixture["ids"]);
    let ids_special = rows(&fixture["ids_special"]);
    assert!(strings.len() >= 2_000 && ids.len() == strings.len());
    let mut plain_differs = 0;
    for (at, text) in strings.iter().enumerate() {
        let shown: String = text.chars().take(80).collect();
        let encode = |add_special, parse_special| tokenizer.encode(text, EncodeOptions { add_special, parse_special });
        let parsed = encode(false, true);
        assert_eq!(parsed, ids[at], "{name}: string {at} {shown:?}");
        let plain = &fixture["ids_plain"][at.to_string()];
        plain_differs += usize::from(!plain.is_null());
        let expected = if plain.is_null() { ids[at].clone() } else { serde_json::from_value(plain.clone()).unwrap() };
        assert_eq!(encode(false, false), expected, "{name}: plain string {at} {shown:?}");
        if let Some(expected) = ids_special.get(at) {
            assert_eq!(&encode(true, true), expected, "{name}: string {at} {shown:?} with special tokens");
        }
        let mut decoder = StreamDecoder::new(tokenizer);
        let mut streamed: String = parsed.iter().map(|&id| decoder.push(id)).collect();
        streamed.push_str(&decoder.finish());
        assert_eq!(streamed, tokenizer.decode(&parsed, true), "{name}: stream of string {at} {shown:?}");
    }
    for (at, text) in texts(&fixture["decoded"]).iter().enumerate() {
        assert_eq!(&tokenizer.decode(&ids[at], true), text, "{name}: text of string {at}");
    }
    assert!(plain_differs > 20, "{name}: {plain_differs} strings hold special tokens");
}

fn check(name: &str, compressed: &[u8]) {
    let fixture = load(compressed);
    let strings = texts(&load(include_bytes!("fixtures/strings.json.gz")));
    let json = serde_json::to_vec(&fixture["tokenizer_json"]).unwrap();
    compare(&format!("{name} from HF"), &Tokenizer::from_hf(&json, None, None).unwrap(), &strings, &fixture);
    if !fixture["vocab"].is_null() {
        let tokenizer = Tokenizer::from_vocab(spec_of(&fixture["vocab"])).unwrap();
        compare(&format!("{name} from GGUF"), &tokenizer, &strings, &fixture);
    }
}

macro_rules! same_ids {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_bytes!(concat!("fixtures/", stringify!($name), ".json.gz")));
        }
    )*};
}

/// The real vocabulary, whose GGUF file and tokenizer.json hold the same tokens and merges.
#[test]
fn smollm2() {
    let fixture = load(include_bytes!("fixtures/smollm2.json.gz"));
    let strings = texts(&load(include_bytes!("fixtures/strings.json.gz")));
    let merges: Vec<String> = fixture["merges"].as_str().unwrap().lines().map(str::to_owned).collect();
    let special = texts(&fixture["special"]);
    // A number stands for the token that a merge makes.
    let token = |token: &Value| match token.as_u64() {
        Some(merge) => merges[merge as usize].replacen(' ', "", 1),
        None => token.as_str().unwrap().to_owned(),
    };
    let tokens: Vec<String> = fixture["tokens"].as_array().unwrap().iter().map(token).collect();
    assert_eq!((tokens.len(), merges.len(), special.len()), (49_152, 48_900, 17));
    let vocab: serde_json::Map<_, _> = tokens.iter().cloned().zip((0..).map(Value::from)).collect();
    let added = special.iter().map(|text| json!({"id": vocab[text], "content": text, "special": true}));
    let file = json!({
        "added_tokens": added.collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    });
    let config = br#"{"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "add_bos_token": false}"#;
    let from_hf = Tokenizer::from_hf(&serde_json::to_vec(&file).unwrap(), Some(config), None).unwrap();
    compare("SmolLM2 from HF", &from_hf, &strings, &fixture);
    let kind = |text| if special.contains(text) { TokenKind::Control } else { TokenKind::Normal };
    let from_gguf = Tokenizer::from_vocab(VocabSpec {
        model: VocabModel::Bpe { merges, pre: "smollm".to_owned() },
        token_types: tokens.iter().map(kind).collect(),
        tokens,
        bos: Some(1),
        eos: Some(2),
        eot: None,
        unk: Some(0),
        pad: Some(2),
        add_bos: false,
        add_eos: false,
        add_space_prefix: false,
        chat_template: None,
    });
    compare("SmolLM2 from GGUF", &from_gguf.unwrap(), &strings, &fixture);
    assert_eq!((from_hf.bos(), from_hf.eos(), from_hf.end_of_generation()), (Some(1), Some(2), &[0, 2][..]));
}

same_ids!(gpt2 smollm llama3 qwen2 tekken llama metaspace gemma);
