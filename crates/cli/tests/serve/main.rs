//! `lockstep serve` as a process, on the default model, over plain sockets.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod http;
mod said;
mod served;

mod answers;
mod ending;
mod keyed;
mod leaving;
mod refusals;
mod same_bits;

use serde_json::{Value, json};

fn chat(text: &str, tokens: u32) -> Value {
    json!({
        "model": "smollm2",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "seed": 7,
    })
}

/// A body with some fields replaced.
fn with(mut body: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}
