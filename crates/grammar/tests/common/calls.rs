//! Answers with calls, written as models write them and read by the parser.

use lockstep_grammar::{Piece, ToolFormat, ToolParser};
use serde_json::{Value, json};

pub const FORMATS: [ToolFormat; 5] =
    [ToolFormat::Hermes, ToolFormat::Llama, ToolFormat::Mistral, ToolFormat::MistralArgs, ToolFormat::Generic];

pub fn offered() -> Value {
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

/// An answer of calls alone, as models write it.
pub fn answer(format: ToolFormat, calls: &[(&str, &str)]) -> String {
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
            let one = |(name, arguments): &(&str, &str)| format!("[TOOL_CALLS]{name}[ARGS]{arguments}");
            calls.iter().map(one).collect::<Vec<_>>().concat()
        }
    }
}

/// Content, and calls with the text of their arguments.
pub fn read(format: ToolFormat, pieces: impl IntoIterator<Item = Vec<Piece>>) -> (String, Vec<(String, String)>) {
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

pub fn parse(format: ToolFormat, text: &str) -> (String, Vec<(String, String)>) {
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

pub fn owned(calls: &[(&str, &str)]) -> Vec<(String, String)> {
    calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect()
}

pub const ONE: &[(&str, &str)] = &[("get_weather", r#"{"city": "Zürich \"é\"", "unit": "C"}"#)];
pub const TWO: &[(&str, &str)] = &[("get_weather", r#"{"city": "x}]</tool_call>"}"#), ("now", "{}")];
