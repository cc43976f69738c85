//! Prompts equal to those of `transformers` (tools/reference/text/make_chats.py), and templates that mean harm.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::mpsc::channel;
use std::time::Duration;

use lockstep_text::{ChatTemplate, Error, FunctionCall, Message, ToolCall};
use serde_json::Value;

/// Longest wait for a template to give up: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(5);

fn messages(value: &Value) -> Vec<Message> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let call = |call: &Value| ToolCall {
        function: FunctionCall {
            name: text(&call["function"]["name"]).unwrap(),
            arguments: call["function"]["arguments"].clone(),
        },
        ..ToolCall::new(&text(&call["id"]).unwrap(), "", "")
    };
    let message = |message: &Value| Message {
        role: text(&message["role"]).unwrap(),
        content: text(&message["content"]),
        name: text(&message["name"]),
        tool_calls: message["tool_calls"].as_array().into_iter().flatten().map(call).collect(),
        tool_call_id: text(&message["tool_call_id"]),
    };
    value.as_array().unwrap().iter().map(message).collect()
}

fn render(source: &str) -> Result<String, Error> {
    let messages = [Message::new("user", "Hi")];
    ChatTemplate::new(source, "<s>", "</s>")?.render(&messages, None, true, "2026-02-03")
}

#[test]
fn prompts_equal_the_reference() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/chats.json")).unwrap();
    let date = fixture["date"].as_str().unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 90);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let template = ChatTemplate::new(fixture["templates"][name].as_str().unwrap(), "<s>", "</s>").unwrap();
        let tools = Some(&case["tools"]).filter(|tools| !tools.is_null());
        let prompt = template.render(&messages(&case["messages"]), tools, case["generation"] == true, date);
        if let Some(expected) = case["prompt"].as_str() {
            assert_eq!(prompt.unwrap(), expected, "{name}");
        } else {
            let (message, expected) = (prompt.unwrap_err().to_string(), case["prompt"]["error"].as_str().unwrap());
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}

#[test]
fn a_faulty_template_is_one_line_that_says_where() {
    for (source, words) in [
        ("{% for m in messages %}\n{{ m.role }", "line 2"),
        ("\n\n{{ messages[0].role.nothing() }}", "line 3"),
        ("{{ raise_exception('only\ntwo roles') }}", "only two roles"),
        ("{{ strftime_now('%Q') }}", "%Q"),
        ("{% include 'other' %}", "other"),
        ("{{ x | tojson(ensure_ascii=true) }}", "ensure_ascii"),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.starts_with("chat template: ") && message.lines().count() == 1, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_hostile_template_ends_in_an_error() {
    let doubling = "{% set ns = namespace(x='x' * 1000) %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}";
    let capture = "{% set x %}{{ 'x' * 100000 }}{% endset %}{% for i in range(600) %}{% set y %}{{ x }}{{ x }}{% endset %}{{ y }}{% endfor %}";
    for source in [
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000000) %}{% endfor %}",
        "{{ 'x' * 90000000 }}",
        "{{ ('x' * 90000) | replace('x', 'y' * 90000) }}",
        "{{ (range(9999) | list * 9999) | join }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ (range(9999) | list * 9999) | tojson }}",
        "{{ (range(9999) | list * 9999) | tojson(sort_keys=true) }}",
        "{{ {'a': range(9999) | list * 9999} | tojson(indent=16) | length }}",
        doubling,
        capture,
    ] {
        let (send, rendered) = channel();
        let owned = source.to_owned();
        std::thread::spawn(move || send.send(render(&owned).map(|prompt| prompt.len())));
        let result = rendered.recv_timeout(PATIENCE).expect(source);
        let message = result.expect_err(source).to_string();
        assert!(message.starts_with("chat template: ") && message.lines().count() == 1, "{message}");
    }
    let nested = format!("{}1{}", "{{ ".to_owned() + &"(".repeat(100_000), ")".repeat(100_000) + " }}");
    assert!(render(&nested).is_err());
    assert!(render(&"x".repeat(2 << 20)).is_err());
}

#[test]
fn a_long_chat_has_fuel_enough() {
    let source = "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + '\n' }}{% endfor %}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let message = Message::new("user", &"word ".repeat(2_000));
    let prompt = template.render(&vec![message; 2_000], None, true, "2026-02-03").unwrap();
    assert!(prompt.len() > 19_000_000);
}
