//! Calls of tools: what a client may offer, and what the grammar of each format allows.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::calls::{FORMATS, ONE, TWO, answer, offered, owned, parse};
use common::{fits, smollm2, smollm2_vocabulary, tiny, vocabulary, walk};
use lockstep_grammar::{Grammar, Tool, ToolChoice, ToolFormat};
use lockstep_text::{Message, ToolCall};
use serde_json::{Value, json};

fn grammar(choice: &ToolChoice, parallel: bool, format: ToolFormat) -> Grammar {
    Grammar::text().or_tools(&Tool::list(&offered()).unwrap(), choice, parallel, format).unwrap()
}

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
            let ended = format!("{one}\n");
            for choice in [&auto, &required, &weather] {
                assert!(fit(choice, true, &one) && fit(choice, true, &ended), "{format:?} {choice:?} {one}");
                assert!(fit(choice, false, &ended), "{format:?} {choice:?} {one}");
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
fn an_answer_of_another_form_has_that_form_or_is_calls() {
    let tools = Tool::list(&offered()).unwrap();
    // Properties that begin as Llama's calls do.
    let schema =
        json!({"properties": {"name": {"type": "string"}, "parameters": {"type": "integer"}}, "required": ["name"]});
    let forms = [
        (Grammar::json_schema(&schema, true).unwrap(), r#"{"name": "Ada", "parameters": 3}"#),
        (Grammar::json_object(), r#"{"a": ["<tool_call>", "[TOOL_CALLS]"]}"#),
        (Grammar::regex("yes/no|perhaps").unwrap(), "yes/no"),
    ];
    for marks in [&[][..], &["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"]] {
        let tokenizer = tiny(&[], marks);
        let vocabulary = vocabulary(&tokenizer);
        for (format, (form, text)) in FORMATS.into_iter().flat_map(|format| forms.each_ref().map(|form| (format, form)))
        {
            // Where marks are tokens, text cannot spell them here.
            let text = marks.iter().fold((*text).to_owned(), |text, mark| text.replace(mark, "mark"));
            let text = text.as_str();
            let fit = |choice: &ToolChoice, parallel, text: &str| {
                let grammar = form.clone().or_tools(&tools, choice, parallel, format).unwrap();
                fits(&tokenizer, &vocabulary, &grammar, text)
            };
            let (auto, one) = (ToolChoice::Auto, answer(format, ONE));
            assert!(fit(&auto, true, text), "{format:?} {text}");
            assert!(fit(&auto, true, &one), "{format:?} {one}");
            let two = answer(format, &[("now", "{}"), ("now", "{}")]);
            assert_eq!(fit(&auto, true, &two), format != ToolFormat::Llama, "{format:?} {two}");
            assert!(!fit(&auto, false, &two), "{format:?} {two}");
            for wrong in ["", "Yes.", &format!("{text}{one}"), &format!("{one}{text}"), &format!("I look.{one}")] {
                assert!(!fit(&auto, true, wrong), "{format:?} {wrong}");
            }
            assert!(!fit(&ToolChoice::Required, true, text) && fit(&ToolChoice::Required, true, &one), "{format:?}");
            // A call in Llama's format is a JSON object like another.
            assert!(fit(&ToolChoice::None, true, text), "{format:?} {text}");
            assert!(format == ToolFormat::Llama || !fit(&ToolChoice::None, true, &one), "{format:?} {one}");
        }
    }
}

#[test]
fn random_answers_with_calls_are_calls() {
    let offered = offered();
    let tools = Tool::list(&offered).unwrap();
    for format in FORMATS {
        for (choice, most) in [(ToolChoice::Required, 16), (ToolChoice::Function("get_weather".into()), 1)] {
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
    let refuse = |tools: &[Tool], choice| {
        Grammar::text().or_tools(tools, &choice, true, ToolFormat::Hermes).unwrap_err().to_string()
    };
    assert!(refuse(&[], ToolChoice::Required).contains("there are none"));
    let tools = Tool::list(&offered()).unwrap();
    assert!(refuse(&tools, ToolChoice::Function("x".into())).contains("tool_choice names \"x\""));
    let strict = Tool { name: "a".into(), parameters: Some(json!({"not": {}})), strict: true };
    assert!(refuse(&[strict], ToolChoice::Auto).contains("the parameters of \"a\", at #: the keyword \"not\""));
}

#[test]
fn a_template_tells_its_format() {
    for (format, template) in [
        (
            ToolFormat::Hermes,
            r#"{% if tools %}{{ '<tool_call>\n{"name": "x", "arguments": {}}\n</tool_call>' }}{% endif %}"#,
        ),
        (
            ToolFormat::Hermes,
            r#"{% if tools %}{{ "<tool_call>{\"name\": \"x\", \"arguments\": y}</tool_call>" }}{% endif %}"#,
        ),
        (
            ToolFormat::Llama,
            r#"{{ '<|start_header_id|>ipython' }}{% if tools %}{{ '{"name": "x", "parameters": ' }}{% endif %}"#,
        ),
        (ToolFormat::Mistral, r"{% if tools %}{{ '[AVAILABLE_TOOLS]' }}{% endif %}{{ '[TOOL_CALLS][' }}"),
        (
            ToolFormat::MistralArgs,
            r"{% if tools %}{{ '[AVAILABLE_TOOLS]' }}{% endif %}{{ '[TOOL_CALLS]' + n + '[ARGS]' }}",
        ),
        (
            ToolFormat::Generic,
            r#"{% if tools %}{{ '<tool_call>\n<function=x>\n</tool_call>' }}{{ "arguments" }}{% endif %}"#,
        ),
        (ToolFormat::Generic, "{% for m in messages %}{{ m.content }}{% endfor %}"),
        (ToolFormat::Generic, smollm2().chat_template_source().unwrap()),
    ] {
        assert_eq!(ToolFormat::detect(template), format, "{template}");
    }
}

#[test]
fn a_template_without_tools_is_told_of_them_in_the_system_message() {
    let call = ToolCall::new("id", "now", "{\"zone\": \"UTC\"}");
    let messages = vec![
        Message::new("system", "Be brief."),
        Message::new("user", "When?"),
        Message { content: None, tool_calls: vec![call.clone(), call], ..Message::new("assistant", "") },
        Message { tool_call_id: Some("id".into()), ..Message::new("tool", "noon") },
        Message { tool_call_id: Some("id".into()), ..Message::new("tool", "one") },
        Message::new("tool", "two"),
    ];
    let offered = offered();
    let told = ToolFormat::Generic.messages(messages.clone(), &offered);
    let roles: Vec<&str> = told.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(told[0].text().starts_with("Be brief.\n\n# Tools\n") && told[0].text().contains("\"get_weather\""));
    let results = "<tool_response>\nnoon\n</tool_response>\n<tool_response>\none\n</tool_response>\n";
    assert!(told[3].text().starts_with(results), "{}", told[3].text());
    // What the model is shown of its calls is what the parser reads.
    let (content, calls) = parse(ToolFormat::Generic, told[2].text());
    assert_eq!((content, calls), (String::new(), owned(&[("now", r#"{"zone":"UTC"}"#), ("now", r#"{"zone":"UTC"}"#)])));
    let alone = ToolFormat::Generic.messages(vec![Message::new("user", "Hi")], &offered);
    assert_eq!(alone.len(), 2);
    assert_eq!(ToolFormat::Generic.messages(vec![Message::new("user", "Hi")], &json!([])).len(), 1);
    let native = ToolFormat::Hermes.messages(messages, &offered);
    assert!(native.len() == 6 && native[2].content.as_deref() == Some("") && native[2].tool_calls.len() == 2);
}
