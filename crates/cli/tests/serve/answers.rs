//! What the routes answer, whole and streamed.

use serde_json::{Value, json};

use crate::served::Served;
use crate::{chat, with};

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
        let chunks = streamed.events();
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
    let chunks = streamed.events();
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

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["a"],
        "additionalProperties": false}}})
}

fn format() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false}}})
}

#[test]
fn tools_and_schemas_are_held() {
    let served = Served::start(&[]);
    let asked = with(
        chat("What is 1 + 2?", 48),
        &json!({"tools": [tool()], "tool_choice": "required", "parallel_tool_calls": false}),
    );
    let whole = served.post("/v1/chat/completions", &asked).json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
    let call = &choice["message"]["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(call["name"] == "add" && arguments["a"].is_i64() && choice["message"]["content"].is_null(), "{choice}");
    // It may go on calling, and would go on with text.
    let free = served.post("/v1/chat/completions", &with(asked.clone(), &json!({"parallel_tool_calls": null}))).json();
    let calls = free["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["function"]), (1, call), "{free}");
    let streamed = served.post("/v1/chat/completions", &with(asked, &json!({"stream": true})));
    let deltas = streamed.events();
    let pieces =
        deltas.iter().filter_map(|c| c["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), call["arguments"].as_str().unwrap());
    assert_eq!(deltas[deltas.len() - 1]["choices"][0]["finish_reason"], "tool_calls");

    let answer = served.post("/v1/chat/completions", &with(chat("Is it?", 40), &json!({"response_format": format()})));
    let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(serde_json::from_str::<Value>(&text).unwrap()["ok"].is_boolean(), "{text}");
}

#[test]
fn a_form_and_tools_go_together() {
    let served = Served::start(&[]);
    let mark = served.post("/tokenize", &json!({"prompt": "<"})).json()["tokens"][0].to_string();
    // A model that always, or never, wants to call.
    let ask = |bias: i32, changes: &Value| {
        let asked = with(chat("What is 1 + 2?", 900), &json!({"tools": [tool()], "logit_bias": {mark.as_str(): bias}}));
        let answer = served.post("/v1/chat/completions", &with(asked, changes));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let choice = answer.json()["choices"][0].clone();
        let calls = choice["message"]["tool_calls"].as_array().map_or(0, Vec::len);
        let reason = if calls > 0 { "tool_calls" } else { "stop" };
        assert_eq!(choice["finish_reason"], reason, "{choice}");
        (choice["message"]["content"].as_str().map(str::to_owned), calls)
    };
    let formed = json!({"response_format": format()});
    let (text, calls) = ask(-100, &formed);
    assert_eq!(calls, 0);
    assert!(serde_json::from_str::<Value>(&text.unwrap()).unwrap()["ok"].is_boolean());
    assert_eq!(ask(100, &formed), (None, 16), "no more calls than that");
    let one = with(formed.clone(), &json!({"parallel_tool_calls": false}));
    assert_eq!(ask(100, &one), (None, 1));
    assert_eq!(ask(-100, &with(one, &json!({"tool_choice": "required"}))), (None, 1), "whatever it wants");
    let (text, calls) = ask(100, &with(formed, &json!({"tool_choice": "none"})));
    assert_eq!(calls, 0);
    assert!(text.unwrap().starts_with('{'));
}
