//! What is refused, and how.

use serde_json::{Value, json};

use crate::common::default_model::{lockstep, model};
use crate::common::failure;
use crate::http::Answer;
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

#[test]
fn who_cannot_keep_the_form_says_how_far_it_came() {
    let served = Served::start(&[]);
    // It can be begun, but following it takes more work than an answer gets.
    let schema = json!({"type": "string", "pattern": "^(.*a.{20}|.*b.{30}|.*c.{40})$"});
    let format = json!({"type": "json_schema", "json_schema": {"name": "hard", "schema": schema}});
    let asked = with(chat("Write a long sentence in JSON.", 64), &json!({"response_format": format}));
    let whole = served.post("/v1/chat/completions", &asked);
    let error = whole.json()["error"].clone();
    assert_eq!((whole.status, &error["code"]), (422, &json!("constrained_generation_failed")), "{error}");
    let written = error["failed_generation"].as_str().unwrap();
    assert!(written.len() > 1 && written.starts_with('"'), "{error}");
    // A stream has begun with 200, and tells it at its end, in place of `[DONE]`.
    let streamed = served.post("/v1/chat/completions", &with(asked, &json!({"stream": true})));
    let data = streamed.text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(events.pop().unwrap()["error"], error);
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, written);
}

#[test]
fn pages_of_other_origins_ask_only_where_they_were_named() {
    let (ours, other) = ("https://app.example", "https://app.example.org");
    let preflight = |served: &Served, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        served.send("OPTIONS", "/v1/chat/completions", &headers, None).rest()
    };
    let get = |served: &Served, origin: &str| served.send("GET", "/v1/models", &[("origin", origin)], None).rest();
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);

    // Off unless asked for.
    let closed = Served::start(&[]);
    let refused = preflight(&closed, ours);
    assert_eq!((refused.status, allowed(&refused)), (403, None), "{}", refused.text);
    assert_eq!((get(&closed, ours).status, allowed(&get(&closed, ours))), (403, None));

    let served = Served::start(&["--cors-origin", ours, "--api-key", "sk-a"]);
    let answer = preflight(&served, ours);
    assert_eq!((answer.status, allowed(&answer).as_deref()), (200, Some(ours)));
    let lists = |name: &str| answer.header(name).unwrap().to_ascii_lowercase();
    assert_eq!(lists("access-control-allow-methods"), "get,post");
    assert_eq!(lists("access-control-allow-headers"), "authorization,content-type");
    assert!(answer.header("access-control-allow-credentials").is_none());
    // The page learns why it was refused, and what is left of limits.
    let without_key = get(&served, ours);
    assert_eq!((without_key.status, allowed(&without_key).as_deref()), (401, Some(ours)));
    assert!(without_key.header("access-control-expose-headers").unwrap().contains("x-ratelimit-remaining-tokens"));
    // Exact: neither a longer name, nor another scheme or port, nor any.
    for origin in [other, "http://app.example", "https://app.example:8443", "null", "*"] {
        assert_eq!(allowed(&preflight(&served, origin)), None, "{origin}");
        let answer = get(&served, origin);
        assert_eq!((answer.status, allowed(&answer)), (403, None), "{origin}");
    }
    let mut command = lockstep();
    let message = failure(command.args(["serve", "-m", model(), "--addr", "127.0.0.1:0", "--cors-origin", "*"]), 1);
    assert!(message.contains("origin"), "{message}");
}
