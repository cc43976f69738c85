//! Calls out of an answer's text, however it is cut, and what is none.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::calls::{FORMATS, ONE, TWO, answer, owned, parse, read};
use common::tiny;
use lockstep_grammar::{ToolFormat, ToolParser};
use lockstep_text::StreamDecoder;
use serde_json::Value;

#[test]
fn calls_are_read_however_they_are_cut() {
    for format in FORMATS {
        assert_eq!(parse(format, &answer(format, ONE)), (String::new(), owned(ONE)), "{format:?}");
        assert_eq!(parse(format, &answer(format, TWO)), (String::new(), owned(TWO)), "{format:?}");
        let text = " Plain text: {\"name\": \"x\"}, [1] <b> <tool_cal [TOOL_ <|python \n";
        assert_eq!(parse(format, text), (text.to_owned(), Vec::new()), "{format:?}");
        if format != ToolFormat::Llama {
            let spoken = format!(" I look.\n\n{}\n", answer(format, TWO));
            assert_eq!(parse(format, &spoken), (" I look.".to_owned(), owned(TWO)), "{format:?}");
        }
    }
    let tagged = r#"<|python_tag|>{"name": "now", "parameters": {}}"#;
    assert_eq!(parse(ToolFormat::Llama, tagged), (String::new(), owned(&[("now", "{}")])));
    let numbered = r#"[TOOL_CALLS][{"name": "now", "arguments": {}, "id": "abcdefghi"}]"#;
    assert_eq!(parse(ToolFormat::Mistral, numbered), (String::new(), owned(&[("now", "{}")])));
    let numbered = r#"[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{"a": [1]}"#;
    assert_eq!(parse(ToolFormat::MistralArgs, numbered), (String::new(), owned(&[("now", r#"{"a": [1]}"#)])));
}

#[test]
fn what_models_write_amiss_is_still_read() {
    let hermes = |text: &str| parse(ToolFormat::Hermes, text);
    let call = |arguments: &str| (String::new(), owned(&[("now", arguments)]));
    for (text, arguments) in [
        (r#"<tool_call>{"arguments": {"a": 1}, "name": "now"}</tool_call>"#, r#"{"a": 1}"#),
        (r#"<tool_call>{"name": "now", "arguments": "{\"a\": 1}"}</tool_call>"#, r#"{"a": 1}"#),
        (r#"<tool_call>{"name": "now"}</tool_call>"#, "{}"),
        (r#"<tool_call>{"name": "now", "arguments": null}</tool_call>"#, "{}"),
        (
            r#"<tool_call>{"type": "function", "n": -1.5, "name": "now", "parameters": {"a": 1}}</tool_call>"#,
            r#"{"a": 1}"#,
        ),
        (r#"<tool_call>{"name": "now", "arguments": {}}"#, "{}"),
        (r#"<tool_call>{"name": "now", "arguments": {"a": "b"#, r#"{"a": "b"#),
        (r#"<tool_call>{"name": "now", "arguments": {}} </tool"#, "{}"),
    ] {
        assert_eq!(hermes(text), call(arguments), "{text}");
    }
}

#[test]
fn what_is_no_call_is_content() {
    for text in [
        "<tool_call>",
        "<tool_call>\n\n{",
        "<tool_call>now</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call> then",
        "<tool_call>{\"name\": 3, \"arguments\": {}}",
        "<tool_call>{\"name\": \"no good name\", \"arguments\": {}}</tool_call>",
        "<tool_call>{name: now}",
        "<<tool_cal<tool_call",
    ] {
        assert_eq!(parse(ToolFormat::Hermes, text), (text.to_owned(), Vec::new()), "{text}");
    }
    for text in ["{", "{\"name\": ", "{\"a\": 1}", "<|python_tag|>", "<|python_tag|>x = 1", "<|pyth", " { }", "[]"] {
        assert_eq!(parse(ToolFormat::Llama, text), (text.to_owned(), Vec::new()), "{text}");
    }
    for text in ["[TOOL_CALLS]", "[TOOL_CALLS] now", "[TOOL_CALLS][[{", "[TOOL_CALLS]{]"] {
        assert_eq!(parse(ToolFormat::Mistral, text), (text.to_owned(), Vec::new()), "{text}");
    }
    for text in ["[TOOL_CALLS]now", "[TOOL_CALLS]a b[ARGS]{}", &format!("[TOOL_CALLS]{}", "x".repeat(500))] {
        assert_eq!(parse(ToolFormat::MistralArgs, text), (text.to_owned(), Vec::new()), "{text}");
    }
    let mut parser = ToolParser::new(ToolFormat::Hermes).with_names(["now"]);
    let text = r#"<tool_call>{"name": "then", "arguments": {}}</tool_call>"#;
    let pieces = vec![parser.push(text), parser.finish()];
    assert_eq!(read(ToolFormat::Hermes, pieces), (text.to_owned(), Vec::new()));
    // A second mark begins again.
    let text = r#"<tool_call><tool_call>{"name": "now"}</tool_call> so"#;
    assert_eq!(parse(ToolFormat::Hermes, text), ("<tool_call>so".to_owned(), owned(&[("now", "{}")])));
}

#[test]
fn from_the_beginning_or_not_at_all() {
    for format in FORMATS {
        let read_from = |text: &str| {
            let mut parser = ToolParser::new(format).from_the_beginning();
            let pieces: Vec<_> = text.chars().map(|next| parser.push(next.encode_utf8(&mut [0; 4]))).collect();
            read(format, pieces.into_iter().chain([parser.finish()]))
        };
        let calls = answer(format, ONE);
        assert_eq!(read_from(&calls), parse(format, &calls), "{format:?}");
        for text in [format!("{{\"a\": \"{calls}\"}}"), format!("-{calls}{calls}"), "{\"a\": 1}".to_owned()] {
            assert_eq!(read_from(&text), (text, Vec::new()), "{format:?}");
        }
    }
}

#[test]
fn marks_that_are_tokens_are_shown_to_the_parser() {
    let tokenizer = tiny(&[], &["[TOOL_CALLS]"]);
    let format = ToolFormat::Mistral;
    let options = lockstep_text::EncodeOptions { add_special: false, parse_special: true };
    let ids = tokenizer.encode("[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}}]<end>", options);
    let text = |decoder: StreamDecoder| {
        let mut decoder = decoder;
        ids.iter().map(|&id| decoder.push(id)).collect::<String>()
    };
    let shown = text(StreamDecoder::new(&tokenizer).showing(format.marks()));
    assert_eq!(parse(format, &shown), (String::new(), owned(&[("now", "{}")])));
    assert_eq!(parse(format, &text(StreamDecoder::new(&tokenizer))).1, Vec::new());
}

/// The fixtures of the text crate: what templates make of calls, read back.
#[test]
fn what_templates_write_is_read_back() {
    let fixture: Value = serde_json::from_str(include_str!("../../text/tests/fixtures/chats.json")).unwrap();
    let mut seen = 0;
    for (name, format, open, close) in [
        ("hermes calls", ToolFormat::Hermes, "<|im_start|>assistant\n", "<|im_end|>"),
        ("llama calls", ToolFormat::Llama, "<|eot_id|>{", "<|eot_id|>"),
        ("mistral calls", ToolFormat::Mistral, "[/INST]", "</s>"),
        ("newer mistral calls", ToolFormat::MistralArgs, "?I look.", "rain"),
    ] {
        assert_eq!(ToolFormat::detect(fixture["templates"][name].as_str().unwrap()), format, "{name}");
        for case in fixture["cases"].as_array().unwrap().iter().filter(|case| case["name"] == name) {
            let Some(prompt) = case["prompt"].as_str() else { continue };
            let messages = case["messages"].as_array().unwrap();
            let Some(message) = messages.iter().find(|message| message["tool_calls"].is_array()) else { continue };
            let Some((_, rest)) = prompt.split_once(open) else { continue };
            let answer = format!("{}{}", if open.ends_with('{') { "{" } else { "" }, rest.split(close).next().unwrap());
            let (_, calls) = parse(format, &answer);
            let wanted = message["tool_calls"].as_array().unwrap();
            assert_eq!(calls.len(), wanted.len(), "{name}: {answer}");
            for (call, wanted) in calls.iter().zip(wanted) {
                assert_eq!(call.0, wanted["function"]["name"].as_str().unwrap(), "{name}");
                let arguments: Value = serde_json::from_str(&call.1).unwrap();
                assert_eq!(arguments, wanted["function"]["arguments"], "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "{seen}");
}
