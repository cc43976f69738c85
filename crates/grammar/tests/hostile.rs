//! Schemas and patterns that mean harm end in an error or a matcher, within a bound of memory.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::mpsc::channel;
use std::time::Duration;

use common::{Random, allowed, smollm2, smollm2_vocabulary};
use lockstep_grammar::{Error, Grammar, Tool, ToolChoice, ToolFormat};
use peak_alloc::PeakAlloc;
use serde_json::{Map, Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn nested(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(json!({"type": "string"}), |inner, _| wrap(inner))
}

fn properties(count: usize, schema: &Value) -> Value {
    let all: Map<String, Value> = (0..count).map(|index| (format!("p{index}"), schema.clone())).collect();
    json!({"type": "object", "properties": all})
}

fn required(count: usize) -> Value {
    let mut schema = properties(count, &json!({"type": "string"}));
    schema["required"] = (0..count).map(|index| format!("p{index}")).collect();
    schema
}

/// Name, schema (no deeper than a JSON reader lets through), and whether it must be refused before or while it is
/// compiled; None where both outcomes are fine.
fn schemas() -> Vec<(&'static str, Value, Option<bool>)> {
    let doubling: Map<String, Value> = (0..40)
        .map(|index| {
            let next = json!({"$ref": format!("#/$defs/a{}", (index + 1) % 40)});
            (format!("a{index}"), json!({"anyOf": [next, {"allOf": [next, next]}], "type": ["object", "array"]}))
        })
        .collect();
    let huge_enum: Vec<String> = (0..200_000).map(|index| format!("value {index}")).collect();
    let big_enum: Vec<String> = (0..4_000).map(|index| format!("value {index}")).collect();
    let product: Vec<Value> = (0..12)
        .map(|index| json!({"anyOf": [{"minLength": index}, {"maxLength": 100 - index}, {"pattern": "a"}, {"pattern": "b"}]}))
        .collect();
    vec![
        ("deep arrays", nested(120, |inner| json!({"items": inner})), Some(true)),
        ("deep objects", nested(60, |inner| json!({"properties": {"a": inner}})), Some(true)),
        ("deep anyOf", nested(60, |inner| json!({"anyOf": [inner, {"type": "null"}]})), Some(true)),
        ("deep enum", json!({"enum": [nested(120, |inner| json!([inner]))]}), Some(true)),
        ("huge enum", json!({"enum": huge_enum}), Some(true)),
        ("big enum", json!({"enum": big_enum}), Some(false)),
        ("many properties", properties(100_000, &json!({})), Some(true)),
        ("many optional properties", properties(1_000, &json!({"type": "string"})), Some(true)),
        ("optional properties", properties(300, &json!({"type": "string"})), Some(false)),
        ("required properties", required(2_000), Some(false)),
        ("optional objects", properties(60, &properties(60, &json!({"type": "integer"}))), Some(false)),
        ("references that double", json!({"$ref": "#/$defs/a0", "$defs": doubling}), Some(true)),
        ("product of alternatives", json!({"type": "string", "allOf": product}), Some(true)),
        (
            "reference to itself",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            Some(true),
        ),
        ("reference through anyOf", json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}), Some(false)),
        ("reference through allOf", json!({"allOf": [{"$ref": "#"}, {"type": "object"}]}), Some(true)),
        ("never ends", json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}), Some(false)),
        ("repeat bomb", json!({"type": "string", "pattern": "((((a{1,1000}){1,1000}){1,1000}){1,1000})"}), None),
        ("alternation bomb", json!({"type": "string", "pattern": "(x+x+)+y(x|xx|xxx)*[^a]{900}z"}), None),
        ("look-ahead", json!({"type": "string", "pattern": "(?=a)b"}), Some(true)),
        ("classes bomb", json!({"type": "string", "pattern": "(\\p{L}{0,500}\\p{N}{0,500}){0,500}"}), None),
        ("reverse bomb", json!({"type": "string", "pattern": "^.*a.{200}$"}), None),
        ("too many items", json!({"type": "array", "minItems": 1_000_000}), Some(true)),
        (
            "nested counts",
            nested(8, |inner| json!({"type": "array", "items": inner, "minItems": 100, "maxItems": 10_000})),
            None,
        ),
        ("wide numbers", json!({"type": "number", "minimum": -1e308, "maximum": 1e308, "multipleOf": 1e-300}), None),
        ("multiples", json!({"type": "integer", "multipleOf": 999_999_999_989u64}), None),
    ]
}

/// Longest wait for anything: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// What `work` comes to, which must end.
fn ends<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, done) = channel();
    std::thread::spawn(move || send.send(work()));
    done.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn schemas_that_mean_harm_are_bounded() {
    smollm2_vocabulary().prepare().unwrap();
    for (name, schema, refused) in schemas() {
        MEMORY.reset_peak_usage();
        let before = MEMORY.peak_usage_as_mb();
        ends(name, move || {
            let outcome =
                Grammar::json_schema(&schema, true).and_then(|grammar| smollm2_vocabulary().matcher(&grammar));
            assert!(refused.is_none_or(|refused| outcome.is_err() == refused), "{name}: {outcome:?}");
            match outcome {
                Ok(mut matcher) => walk(name, &mut matcher),
                Err(error) => one_line(name, &error.to_string()),
            }
        });
        let used = MEMORY.peak_usage_as_mb() - before;
        assert!(used < 300.0, "{name}: {used} MB");
    }
}

fn one_line(name: &str, message: &str) {
    eprintln!("{name}: {message}");
    assert!(message.lines().count() == 1 && message.len() < 700, "{name}: {message}");
}

/// Some random steps; one that gives up with an error of one line is fine.
fn walk(name: &str, matcher: &mut lockstep_grammar::Matcher) {
    let mut random = Random(1);
    for _ in 0..60 {
        let ready = matcher.allowed().map(|_| ());
        let accepted = ready.and_then(|()| {
            let choices = allowed(matcher);
            matcher.accept(choices[random.below(choices.len())])
        });
        if let Err(message) = accepted {
            return one_line(name, &message);
        }
    }
}

#[test]
fn random_mutants_of_schemas_are_survived() {
    let seeds: Vec<Value> =
        schemas().into_iter().map(|(_, schema, _)| schema).filter(|s| s.to_string().len() < 3_000).collect();
    let mut random = Random(5);
    let words = ["$ref", "#/$defs/a0", "anyOf", "allOf", "oneOf", "type", "object", "array", "items", "enum", "const"];
    for round in 0..400 {
        let mut text = seeds[random.below(seeds.len())].to_string();
        for _ in 0..=random.below(4) {
            let (from, to) = (words[random.below(words.len())], words[random.below(words.len())]);
            text = text.replacen(from, to, 1 + random.below(3));
        }
        let Ok(schema) = serde_json::from_str::<Value>(&text) else { continue };
        let strict = round % 2 == 0;
        let compiled = ends(&text, move || {
            Grammar::json_schema(&schema, strict).and_then(|grammar| smollm2_vocabulary().matcher(&grammar)).map(drop)
        });
        if let Err(error) = compiled {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn many_tools_with_great_schemas_are_bounded() {
    let schema = properties(30, &json!({"type": "string"}));
    let tools: Vec<Value> = (0..128)
        .map(|index| json!({"type": "function", "function": {"name": format!("function_{index}"), "parameters": schema}}))
        .collect();
    let tools = Tool::list(&Value::Array(tools)).unwrap();
    for format in [ToolFormat::Hermes, ToolFormat::Llama, ToolFormat::Mistral, ToolFormat::MistralArgs] {
        let tools = tools.clone();
        let outcome = ends("tools", move || {
            let grammar = Grammar::text().or_tools(&tools, &ToolChoice::Auto, true, format).unwrap();
            smollm2_vocabulary().matcher(&grammar)
        });
        assert!(outcome.is_ok(), "{format:?}: {outcome:?}");
    }
}

#[test]
fn a_vocabulary_needs_an_end_of_its_own() {
    let tokenizer = smollm2();
    let refuse = |ends: &[u32]| lockstep_grammar::Vocabulary::new(tokenizer, ends).unwrap_err();
    assert_eq!(refuse(&[]), Error::NoEnd);
    assert_eq!(refuse(&[2, 49_152]), Error::EndOutOfRange { id: 49_152, tokens: 49_152 });
}
