//! What is refused, and how.

use serde_json::json;

use crate::common::default_model::{lockstep, model};
use crate::common::failure;
use crate::served::Served;
use crate::{chat, with};

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
fn addresses_that_others_reach_need_a_key() {
    let mut command = lockstep();
    let message = failure(command.args(["serve", "-m", model(), "--addr", "0.0.0.0:0"]), 1);
    assert!(message.contains("--api-key") && message.contains("--insecure"), "{message}");
}
