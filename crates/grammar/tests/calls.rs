//! Calls of tools: what the grammar of each format allows, and what the parser makes of it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{fits, smollm2, smollm2_vocabulary, tiny, vocabulary, walk};
use lockstep_grammar::{Grammar, Piece, Tool, ToolChoice, ToolFormat, ToolParser};
use serde_json::{Value, json};

const FORMATS: [ToolFormat; 5] =
    [ToolFormat::Hermes, ToolFormat::Llama, ToolFormat::Mistral, ToolFormat::MistralArgs, ToolFormat::Generic];

fn offered() -> Value {
    json!([
        {"type": "function", "function": {
            "name": "get_weather",
            "description": "Tells the weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "maxLength": 20},
                    "unit": {"$ref": "#/$defs/unit"},
                },
                "required": ["city"],
                "$defs": {"unit": {"enum": ["C", "F"]}},
            },
        }},
        {"type": "function", "function": {"name": "now"}},
    ])
}

fn grammar(choice: &ToolChoice, parallel: bool, format: ToolFormat) -> Grammar {
    Grammar::tools(&Tool::list(&offered()).unwrap(), choice, parallel, format).unwrap()
}

/// An answer of calls alone, as models write it.
fn answer(format: ToolFormat, calls: &[(&str, &str)]) -> String {
    let list = |key: &str| -> Vec<String> {
        calls.iter().map(|(name, arguments)| format!(r#"{{"name": "{name}", "{key}": {arguments}}}"#)).collect()
    };
    match format {
        ToolFormat::Hermes | ToolFormat::Generic => {
            let one = |call: &String| format!("<tool_call>\n{call}\n</tool_call>");
            list("arguments").iter().map(one).collect::<Vec<_>>().join("\n")
        }
        ToolFormat::Llama => list("parameters").join("; "),
        ToolFormat::Mistral => format!("[TOOL_CALLS] [{}]", list("arguments").join(", ")),
        ToolFormat::MistralArgs => {
            calls.iter().map(|(name, arguments)| format!("[TOOL_CALLS]{name}[ARGS]{arguments}")).collect()
        }
    }
}

/// Content, and calls with the text of their arguments.
fn read(format: ToolFormat, pieces: impl IntoIterator<Item = Vec<Piece>>) -> (String, Vec<(String, String)>) {
    let (mut content, mut calls) = (String::new(), Vec::<(String, String)>::new());
    for piece in pieces.into_iter().flatten() {
        match piece {
            Piece::Content(text) => content.push_str(&text),
            Piece::CallStart { index, name } => {
                assert_eq!(index, calls.len(), "{format:?}");
                calls.push((name, String::new()));
            }
            Piece::CallArguments { index, text } => {
                assert_eq!(index + 1, calls.len(), "{format:?}");
                calls[index].1.push_str(&text);
            }
        }
    }
    (content, calls)
}

fn parse(format: ToolFormat, text: &str) -> (String, Vec<(String, String)>) {
    let mut parser = ToolParser::new(format);
    let pieces = vec![parser.push(text), parser.finish()];
    let whole = read(format, pieces);
    // However it is cut.
    for (cut, _) in text.char_indices() {
        let mut parser = ToolParser::new(format);
        let pieces = vec![parser.push(&text[..cut]), parser.push(&text[cut..]), parser.finish()];
        assert_eq!(read(format, pieces), whole, "{format:?}: {text:?} cut at {cut}");
    }
    let mut parser = ToolParser::new(format);
    let mut pieces: Vec<_> = text.chars().map(|next| parser.push(next.encode_utf8(&mut [0; 4]))).collect();
    pieces.push(parser.finish());
    assert_eq!(read(format, pieces), whole, "{format:?}: {text:?} by characters");
    whole
}

fn owned(calls: &[(&str, &str)]) -> Vec<(String, String)> {
    calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect()
}

const ONE: &[(&str, &str)] = &[("get_weather", r#"{"city": "Zürich \"é\"", "unit": "C"}"#)];
const TWO: &[(&str, &str)] = &[("get_weather", r#"{"city": "x}]</tool_call>"}"#), ("now", "{}")];

#[test]
fn the_grammar_allows_what_the_parser_reads() {
    for marks in [&[][..], &["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"]] {
        let tokenizer = tiny(&[], marks);
        let vocabulary = vocabulary(&tokenizer);
        for format in FORMATS {
            let fit = |choice: &ToolChoice, parallel, text: &str| {
                fits(&tokenizer, &vocabulary, &grammar(choice, parallel, format), text)
            };
            let (auto, required) = (ToolChoice::Auto, ToolChoice::Required);
            let (now, weather) = (ToolChoice::Function("now".into()), ToolChoice::Function("get_weather".into()));
            let one = answer(format, ONE);
            let two = answer(format, if marks.is_empty() { TWO } else { &[("now", "{}"), ("now", "{}")] });
            for choice in [&auto, &required, &weather] {
                assert!(fit(choice, true, &one), "{format:?} {choice:?} {one}");
            }
            assert!(!fit(&now, true, &one), "{format:?}");
            for choice in [&auto, &required] {
                assert_eq!(fit(choice, true, &two), format != ToolFormat::Llama, "{format:?} {choice:?} {two}");
                assert!(!fit(choice, false, &two), "{format:?} {choice:?}");
            }
            for text in ["", "The sky is blue: {\"a\": 1}\n", "{\"a\": 1}"] {
                assert!(fit(&auto, true, text), "{format:?} {text}");
                assert!(!fit(&required, true, text), "{format:?} {text}");
            }
            for wrong in [
                answer(format, &[("other", "{}")]),
                answer(format, &[("get_weather", "{}")]),
                answer(format, &[("get_weather", r#"{"city": "x", "more": 1}"#)]),
                answer(format, &[("now", "3")]),
                format!("{one}\nand so on"),
            ] {
                assert!(!fit(&auto, true, &wrong) && !fit(&required, true, &wrong), "{format:?} {wrong}");
            }
            let spoken = format!("I look.\n{one}");
            if format != ToolFormat::Llama {
                assert!(fit(&auto, true, &spoken) && !fit(&required, true, &spoken), "{format:?} {spoken}");
            }
        }
    }
}

#[test]
fn random_answers_with_calls_are_calls() {
    let offered = offered();
    let tools = Tool::list(&offered).unwrap();
    for format in FORMATS {
        for (choice, most) in [(ToolChoice::Required, 16), (ToolChoice::Function("get_weather".into()), 16)] {
            let grammar = grammar(&choice, true, format);
            let mut ended = 0;
            for seed in 0..12 {
                let Some(text) = walk(smollm2(), smollm2_vocabulary(), &grammar, seed, 80) else { continue };
                ended += 1;
                let (content, calls) = parse(format, &text);
                assert_eq!(content, "", "{format:?}: {text}");
                assert!((1..=most).contains(&calls.len()), "{format:?}: {text}");
                for (name, arguments) in calls {
                    let tool = tools.iter().find(|tool| tool.name == name).unwrap();
                    let schema = tool.parameters.clone().unwrap_or_else(|| json!({"maxProperties": 0}));
                    let arguments: Value = serde_json::from_str(&arguments).unwrap();
                    assert!(jsonschema::is_valid(&schema, &arguments), "{format:?}: {text}");
                }
            }
            assert!(ended >= 6, "{format:?}: {ended}");
        }
    }
}

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
fn a_list_of_tools_is_checked() {
    let function = |name: &str| json!({"type": "function", "function": {"name": name}});
    for (tools, words) in [
        (json!({}), "must be a list"),
        (json!([{"type": "browser"}]), "number 0: its type"),
        (json!([{"type": "function"}]), "function is missing"),
        (json!([function("a b")]), "letters, digits"),
        (json!([function("a"), function("a")]), "two functions"),
        (json!([{"type": "function", "function": {"name": "a", "parameters": 3}}]), "JSON schema"),
        (Value::Array((0..129).map(|index| function(&format!("f{index}"))).collect()), "at most 128"),
    ] {
        let message = Tool::list(&tools).unwrap_err().to_string();
        assert!(message.starts_with("tools: ") && message.contains(words), "{message}");
    }
    let refuse =
        |tools: &[Tool], choice| Grammar::tools(tools, &choice, true, ToolFormat::Hermes).unwrap_err().to_string();
    assert!(refuse(&[], ToolChoice::Required).contains("there are none"));
    let tools = Tool::list(&offered()).unwrap();
    assert!(refuse(&tools, ToolChoice::Function("x".into())).contains("tool_choice names \"x\""));
    let strict = Tool { name: "a".into(), parameters: Some(json!({"not": {}})), strict: true };
    assert!(refuse(&[strict], ToolChoice::Auto).contains("the parameters of \"a\", at #: the keyword \"not\""));
}
