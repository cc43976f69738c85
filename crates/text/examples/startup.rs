//! Time to build tokenizers and to encode with them; medians of several runs.
//!
//!     cargo run --release -p lockstep-text --example startup
//!
//! SmolLM2's real vocabulary (49,152 tokens, from the tests' fixture), and made-up ones of 256,000 tokens: with one score
//! a token as in Gemma's GGUF, and as a tokenizer.json with 512,000 merges.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use lockstep_text::{EncodeOptions, Tokenizer, VocabModel, VocabSpec};
use serde_json::{Value, json};

const LARGE: usize = 256_000;

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..7).map(|_| run()).collect();
    times.sort();
    times[3]
}

fn spec(model: VocabModel, tokens: Vec<String>) -> VocabSpec {
    VocabSpec {
        model,
        tokens,
        token_types: Vec::new(),
        bos: None,
        eos: None,
        eot: None,
        unk: None,
        pad: None,
        add_bos: false,
        add_eos: false,
        add_space_prefix: false,
        chat_template: None,
    }
}

fn smollm2() -> VocabSpec {
    let compressed = include_bytes!("../tests/fixtures/smollm2.json.gz").as_slice();
    let fixture: Value = serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(compressed))).unwrap();
    let merges: Vec<String> = fixture["merges"].as_str().unwrap().lines().map(str::to_owned).collect();
    let token = |token: &Value| match token.as_u64() {
        Some(merge) => merges[merge as usize].replacen(' ', "", 1),
        None => token.as_str().unwrap().to_owned(),
    };
    let tokens = fixture["tokens"].as_array().unwrap().iter().map(token).collect();
    spec(VocabModel::Bpe { merges, pre: "smollm".to_owned() }, tokens)
}

/// Tokens and merges as training could have left them: every token but the letters is made of two earlier ones.
fn made_up() -> (Vec<String>, Vec<[String; 2]>) {
    let mut tokens: Vec<String> = ('a'..='z').chain(['▁']).map(String::from).collect();
    let mut ids: HashMap<String, usize> = tokens.iter().cloned().zip(0..).collect();
    let mut merges = Vec::new();
    let mut state = 7u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % limit
    };
    while merges.len() < 2 * LARGE {
        let pair = [tokens[below(tokens.len())].clone(), tokens[below(tokens.len().min(2_000))].clone()];
        let joined = pair.concat();
        let known = ids.contains_key(&joined);
        if joined.len() > 14 || (!known && tokens.len() == LARGE && merges.len() < LARGE) {
            continue;
        }
        if !known && tokens.len() < LARGE {
            ids.insert(joined.clone(), tokens.len());
            tokens.push(joined);
            merges.push(pair);
        } else if known || merges.len() >= LARGE {
            let token = &tokens[below(LARGE.min(tokens.len()))];
            if let Some(cut) = (1..token.len()).find(|&cut| {
                token.is_char_boundary(cut) && ids.contains_key(&token[..cut]) && ids.contains_key(&token[cut..])
            }) {
                merges.push([token[..cut].to_owned(), token[cut..].to_owned()]);
            }
        }
    }
    (tokens, merges)
}

fn report(name: &str, build: impl Fn() -> (Duration, Tokenizer)) {
    let (_, tokenizer) = build();
    let built = median(|| build().0);
    let text = "The quick brown fox jumps over the lazy dog, 42 times; then it sleeps.\n".repeat(1_400);
    let mut tokens = 0;
    let encoded = median(|| {
        let start = Instant::now();
        tokens = tokenizer.encode(&text, EncodeOptions::default()).len();
        start.elapsed()
    });
    println!("{name}: built in {built:.1?}; {} bytes to {tokens} tokens in {encoded:.1?}", text.len());
}

fn main() {
    let small = smollm2();
    report("SmolLM2, 49,152 tokens, GGUF", || {
        let spec = small.clone();
        let start = Instant::now();
        let tokenizer = Tokenizer::from_vocab(spec).unwrap();
        (start.elapsed(), tokenizer)
    });
    let (tokens, merges) = made_up();
    let scores = (0..tokens.len()).map(|id| -(id as f32)).collect();
    let large = spec(VocabModel::SentencePiece { scores }, tokens.clone());
    report("made up, 256,000 tokens with scores, GGUF", || {
        let spec = large.clone();
        let start = Instant::now();
        let tokenizer = Tokenizer::from_vocab(spec).unwrap();
        (start.elapsed(), tokenizer)
    });
    let vocab: serde_json::Map<_, _> = tokens.into_iter().zip((0..).map(Value::from)).collect();
    let normalizer = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let file = json!({"normalizer": normalizer, "model": {"type": "BPE", "vocab": vocab, "merges": merges}});
    let bytes = serde_json::to_vec_pretty(&file).unwrap();
    report(
        &format!("made up, 256,000 tokens, {} merges, tokenizer.json of {} bytes", merges.len(), bytes.len()),
        || {
            let start = Instant::now();
            let tokenizer = Tokenizer::from_hf(&bytes, None, None).unwrap();
            (start.elapsed(), tokenizer)
        },
    );
}
