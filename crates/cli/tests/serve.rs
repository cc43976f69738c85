//! `lockstep serve` as a process, on the default model, over plain sockets.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod serving;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serving::{Served, events};

fn chat(text: &str, tokens: u32) -> Value {
    json!({
        "model": "smollm2",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "seed": 7,
    })
}

fn with(mut body: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn an_answer_is_the_same_whole_streamed_and_among_others() {
    let served = Served::start(&[]);
    let asked = with(chat("Name three colours.", 16), &json!({"logprobs": true, "top_logprobs": 2}));
    let alone = served.post("/v1/chat/completions", &asked);
    assert_eq!(alone.status, 200, "{}", alone.text);
    let alone = alone.json();
    let message = &alone["choices"][0];
    assert_eq!((&alone["object"], &alone["service_tier"]), (&json!("chat.completion"), &json!("default")));
    assert!(alone["choices"][0]["message"].as_object().unwrap()["refusal"].is_null());
    assert_eq!(alone["x_groq"]["seed"], 7);
    let usage = &alone["usage"];
    assert_eq!(usage["total_tokens"].as_u64(), Some(usage["prompt_tokens"].as_u64().unwrap() + 16));
    let times = ["prompt_time", "completion_time", "total_time"].map(|name| usage[name].as_f64().unwrap());
    assert!((times[0] + times[1] - times[2]).abs() < 1e-9, "{usage}");

    std::thread::scope(|scope| {
        for number in 0..5 {
            let served = &served;
            scope.spawn(move || served.post("/v1/chat/completions", &chat(&format!("Count to {number}."), 24)));
        }
        let streamed = served.post("/openai/v1/chat/completions", &with(asked, &json!({"stream": true})));
        let chunks = events(&streamed.text);
        let said = |at: fn(&Value) -> &Value| chunks.iter().map(at).cloned().collect::<Vec<_>>();
        let text: String =
            said(|c| &c["choices"][0]["delta"]["content"]).iter().filter_map(|text| text.as_str()).collect();
        assert_eq!(Value::from(text), message["message"]["content"]);
        let logprobs: Vec<Value> = said(|c| &c["choices"][0]["logprobs"]["content"][0]);
        let logprobs: Vec<Value> = logprobs.into_iter().filter(|logprob| !logprob.is_null()).collect();
        assert_eq!(Value::from(logprobs), message["logprobs"]["content"]);
        let (first, last) = (&chunks[0], &chunks[chunks.len() - 1]);
        assert_eq!((&first["choices"][0]["delta"]["role"], &first["x_groq"]["seed"]), (&json!("assistant"), &json!(7)));
        assert_eq!(last["choices"][0]["finish_reason"], "length");
        assert_eq!(last["x_groq"]["usage"]["completion_tokens"], 16);
        assert_eq!(last["x_lockstep"]["output_digest"], alone["x_lockstep"]["output_digest"]);
        assert_eq!((&last["service_tier"], chunks.len()), (&json!("on_demand"), 18));
    });
}

#[test]
fn what_is_wrong_is_named() {
    let served = Served::start(&[]);
    let cases = [
        (json!({"model": null}), 400, "model"),
        (json!({"model": "../../etc/passwd"}), 404, "model"),
        (json!({"messages": []}), 400, "messages"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), 400, "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), 400, "messages[0].content[0]"),
        (json!({"temperature": 2.5}), 400, "temperature"),
        (json!({"temperature": "hot"}), 400, "temperature"),
        (json!({"max_tokens": 0}), 400, "max_tokens"),
        (json!({"max_tokens": -1}), 400, "max_tokens"),
        (json!({"max_completion_tokens": 1e30}), 400, "max_completion_tokens"),
        (json!({"n": 1_000_000_000}), 400, "n"),
        (json!({"stop": vec!["x"; 10_000]}), 400, "stop"),
        (json!({"stop": "x".repeat(100_000)}), 400, "stop"),
        (json!({"top_logprobs": 3}), 400, "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), 400, "top_logprobs"),
        (json!({"logit_bias": {"x": 1}}), 400, "logit_bias"),
        (json!({"logit_bias": {"99999999": 1}}), 400, "logit_bias"),
        (json!({"stop_token_ids": [99_999_999]}), 400, "stop_token_ids"),
        (json!({"stream_options": {"include_usage": true}}), 400, "stream_options"),
        (json!({"service_tier": "gold"}), 400, "service_tier"),
        (json!({"reasoning_effort": "heroic"}), 400, "reasoning_effort"),
        (json!({"reasoning_format": "xml"}), 400, "reasoning_format"),
        (json!({"tool_choice": "required"}), 400, "tool_choice"),
        (json!({"tools": [{"type": "function"}]}), 400, "tools"),
        (json!({"response_format": {"type": "xml"}}), 400, "response_format.type"),
        (json!({"messages": [{"role": "user", "content": "word ".repeat(20_000)}]}), 400, "messages"),
    ];
    for (change, status, param) in cases {
        let answer = served.post("/v1/chat/completions", &with(chat("Hello", 2), &change));
        let shown: String = change.to_string().chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{shown}: {error}");
        assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    }
    // Null is the same as absent, and what is not known does not matter.
    let nulls = json!({"stop": null, "n": null, "tools": null, "temperature": null, "stream": null, "frobnicate": 1});
    assert_eq!(served.post("/v1/chat/completions", &with(chat("Hello", 2), &nulls)).status, 200);
    assert_eq!(served.get("/v1/nothing").json()["error"]["code"], "unknown_url");
    assert_eq!(served.get("/v1/chat/completions").status, 405);
}

#[test]
fn strict_servers_refuse_what_they_do_not_know() {
    let served = Served::start(&["--strict-params"]);
    let answer = served.post("/v1/chat/completions", &with(chat("Hello", 2), &json!({"frobnicate": 1})));
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("frobnicate")));
    assert_eq!(served.post("/v1/chat/completions", &chat("Hello", 2)).status, 200);
}

#[test]
fn hostile_requests_are_refused_and_harm_nobody() {
    let served = Served::start(&[]);
    let post = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let with_body = |body: &[u8]| [format!("{post}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    let deep = "[".repeat(100_000);
    let cases: [(Vec<u8>, u16); 12] = [
        (with_body(b"{"), 400),
        (with_body(b"[1]"), 400),
        (with_body(deep.as_bytes()), 400),
        (with_body(b"{\"model\": \"\xFF\"}"), 400),
        (with_body(b"{\"model\": 1e999999}"), 400),
        (format!("{post}content-length: 5000000\r\n\r\n").into_bytes(), 413),
        (b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec(), 403),
        (b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\r\n".to_vec(), 403),
        (b"GET /v1/models HTTP/1.1\r\n\r\n".to_vec(), 400),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000)).into_bytes(), 431),
        (post.replace("application/json", "text/plain").into_bytes().into_iter().chain(*b"\r\n").collect(), 400),
        (b"GARBAGE\r\n\r\n".to_vec(), 400),
    ];
    for (index, (bytes, status)) in cases.iter().enumerate() {
        assert_eq!(served.raw(bytes).status, *status, "case {index}");
    }
    assert_eq!(served.get("/ready").status, 200);
}

#[test]
fn heads_that_do_not_end_are_cut_off() {
    let served = Served::start(&[]);
    let start = Instant::now();
    let answer = served.raw(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx: ");
    assert!(answer.status == 0 || answer.status == 408, "{}", answer.status);
    assert!(start.elapsed() > Duration::from_secs(5), "cut off before it could be sent");
    assert_eq!(served.get("/ready").status, 200);
}

#[test]
fn who_leaves_frees_the_slot() {
    let served = Served::start(&["--parallel", "1"]);
    let long = with(chat("Write a very long story.", 4000), &json!({"stream": true, "ignore_eos": true}));
    let stream = served.open("/v1/chat/completions", &long);
    let waited = served.eventually(|served| served.metric("lockstep_requests_running") == 1.0);
    assert!(waited, "it never ran");
    let flex = served.post("/v1/chat/completions", &with(chat("Hello", 2), &json!({"service_tier": "flex"})));
    assert_eq!((flex.status, &flex.json()["error"]["type"]), (498, &json!("capacity_exceeded")));
    drop(stream);
    assert!(served.eventually(|served| served.metric("lockstep_requests_running") == 0.0), "the slot is still taken");
    assert_eq!(served.post("/v1/chat/completions", &chat("Hello", 2)).status, 200);
}

#[cfg(unix)]
#[test]
fn a_server_that_ends_finishes_its_answers() {
    let mut served = Served::start(&[]);
    let long = with(chat("Write a long story.", 120), &json!({"stream": true, "ignore_eos": true}));
    let stream = served.open("/v1/chat/completions", &long);
    assert!(served.eventually(|served| served.metric("lockstep_requests_running") == 1.0), "it never ran");
    served.terminate();
    let refused = std::iter::repeat_with(|| served.post("/v1/chat/completions", &chat("Hello", 2)));
    let refused = refused.take(50).inspect(|_| std::thread::sleep(Duration::from_millis(5)));
    let refused = refused.into_iter().find(|answer| answer.status == 503).expect("a server that ends refuses");
    assert!(refused.header("retry-after").is_some());
    let text = stream.rest();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    assert_eq!(events(&text).iter().filter(|c| c["choices"][0]["delta"]["content"].is_string()).count(), 121);
    assert!(served.ends(), "it does not end");
}

#[test]
fn addresses_that_others_reach_need_a_key() {
    let mut command = common::default_model::lockstep();
    let message =
        common::failure(command.args(["serve", "-m", common::default_model::model(), "--addr", "0.0.0.0:0"]), 1);
    assert!(message.contains("--api-key") && message.contains("--insecure"), "{message}");
}

#[test]
fn completions_and_responses_say_what_chats_say() {
    let served = Served::start(&["--alias", "org/model"]);
    assert_eq!(served.get("/v1/models/org/model").json()["id"], "org/model");
    let asked = json!({"model": "org/model", "prompt": "The sky is", "max_tokens": 6, "temperature": 0, "logprobs": 1,
        "echo": true});
    let whole = served.post("/v1/completions", &asked).json();
    let choice = &whole["choices"][0];
    assert!(choice["text"].as_str().unwrap().starts_with("The sky is"), "{choice}");
    let logprobs = &choice["logprobs"];
    assert!(logprobs["token_logprobs"][0].is_null() && logprobs["token_logprobs"][1].is_f64(), "{logprobs}");
    let streamed = served.post("/v1/completions", &with(asked, &json!({"stream": true})));
    let chunks = events(&streamed.text);
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, choice["text"].as_str().unwrap());
    let offsets = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array());
    let offsets: Vec<Value> = offsets.flatten().cloned().collect();
    assert_eq!(Value::from(offsets), logprobs["text_offset"]);

    let asked = json!({"model": "smollm2", "input": "Say hi", "max_output_tokens": 8, "temperature": 0});
    let response = served.post("/v1/responses", &asked).json();
    let said = served.post("/v1/chat/completions", &chat("Say hi", 8)).json();
    assert_eq!(response["output"][0]["content"][0]["text"], said["choices"][0]["message"]["content"]);
    assert_eq!(response["x_lockstep"]["output_digest"], said["x_lockstep"]["output_digest"]);
    for stateful in [json!({"store": true}), json!({"previous_response_id": "resp_1"}), json!({"background": true})] {
        assert_eq!(served.post("/v1/responses", &with(asked.clone(), &stateful)).status, 400);
    }
    let tokens = served.post("/tokenize", &json!({"prompt": "Grüße an alle"})).json()["tokens"].clone();
    assert_eq!(served.post("/detokenize", &json!({"tokens": tokens})).json()["prompt"], "Grüße an alle");
}

#[test]
fn tools_and_schemas_are_held() {
    let served = Served::start(&[]);
    let tool = json!({"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer", "maximum": 99}}, "required": ["a"],
        "additionalProperties": false}}});
    let asked = with(
        chat("What is 1 + 2?", 48),
        &json!({"tools": [tool], "tool_choice": "required", "parallel_tool_calls": false}),
    );
    let whole = served.post("/v1/chat/completions", &asked).json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
    let call = &choice["message"]["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(call["name"] == "add" && arguments["a"].is_i64() && choice["message"]["content"].is_null(), "{choice}");
    let streamed = served.post("/v1/chat/completions", &with(asked, &json!({"stream": true})));
    let deltas = events(&streamed.text);
    let pieces =
        deltas.iter().filter_map(|c| c["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), call["arguments"].as_str().unwrap());
    assert_eq!(deltas[deltas.len() - 1]["choices"][0]["finish_reason"], "tool_calls");

    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false}}});
    let answer = served.post("/v1/chat/completions", &with(chat("Is it?", 40), &json!({"response_format": format})));
    let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(serde_json::from_str::<Value>(&text).unwrap()["ok"].is_boolean(), "{text}");
}
