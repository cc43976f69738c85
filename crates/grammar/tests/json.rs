//! Answers that are JSON, and JSON that fits a schema: on the real vocabulary of SmolLM2.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{fits, smollm2, smollm2_vocabulary, walk};
use lockstep_grammar::Grammar;
use serde_json::{Value, json};

fn fit(grammar: &Grammar, text: &str) -> bool {
    fits(smollm2(), smollm2_vocabulary(), grammar, text)
}

#[test]
fn an_object_is_an_object() {
    let grammar = Grammar::json_object();
    for text in ["{}", "{\"a\": 1}", "{\"a\":[true,null,-2.5e3,\"é😀\\n\"]}", "{\n  \"a\": {\n    \"b\": []\n  }\n}"]
    {
        assert!(fit(&grammar, text), "{text}");
    }
    for text in ["", "[]", "1", " {}", "{\"a\"}", "{'a': 1}", "{\"a\": 01}", "{}{}", "{\"a\":  1}", "{<|im_end|>}"] {
        assert!(!fit(&grammar, text), "{text}");
    }
}

#[test]
fn white_space_ends() {
    let grammar = Grammar::json_object();
    let indented = format!("{{\n{}\"a\": 1}}", " ".repeat(32));
    assert!(fit(&grammar, &indented));
    for space in ["\n\n", "  ", "\t", &format!("\n{}", " ".repeat(33))] {
        assert!(!fit(&grammar, &format!("{{{space}\"a\": 1}}")), "{space:?}");
    }
}

#[test]
fn random_answers_are_json_and_fit() {
    for (name, schema) in schemas() {
        let grammar = Grammar::json_schema(&schema, true).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut ended = 0;
        for seed in 0..40 {
            let Some(text) = walk(smollm2(), smollm2_vocabulary(), &grammar, seed, 60) else { continue };
            ended += 1;
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
            assert!(validator.is_valid(&value), "{name}: {text}");
        }
        assert!(ended >= 20, "{name}: {ended} walks ended");
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("any object", json!({"type": "object"})),
        (
            "person",
            json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 20, "description": "a \"name\""},
                    "age": {"type": "integer", "minimum": 0, "maximum": 130},
                    "tags": {"type": "array", "items": {"enum": ["a", "b c", "é"]}, "minItems": 1, "maxItems": 3},
                    "height": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 3},
                },
                "required": ["name", "age", "tags", "height"],
                "additionalProperties": false,
            }),
        ),
        (
            "optional",
            json!({
                "type": "object",
                "properties": {"a": {"type": "boolean"}, "b": {"const": {"c": [1, "x"]}}, "d": {"type": "null"}},
                "required": ["b"],
            }),
        ),
        (
            "tree",
            json!({
                "$ref": "#/$defs/node~1s",
                "$defs": {"node/s": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "integer"},
                        "children": {"type": "array", "items": {"$ref": "#/$defs/node~1s"}, "maxItems": 2},
                    },
                    "required": ["value"],
                }},
            }),
        ),
        (
            "alternatives",
            json!({
                "anyOf": [
                    {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "number"}}, "required": ["kind", "x"]},
                    {"type": "array", "prefixItems": [{"type": "string", "format": "date"}, {"type": "boolean"}], "items": false},
                    {"type": "string", "pattern": "^[a-z]{2,5}-[0-9]+$"},
                ],
            }),
        ),
        (
            "parts",
            json!({
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"type": "object", "properties": {"b": {"type": "string", "maxLength": 5}}, "required": ["b"]},
                ],
            }),
        ),
        (
            "formats",
            json!({
                "type": "array",
                "prefixItems": [
                    {"type": "string", "format": "uuid"}, {"type": "string", "format": "date-time"}, {"type": "string", "format": "ipv4"},
                    {"type": "integer", "multipleOf": 5},
                ],
                "items": false,
                "minItems": 4,
            }),
        ),
        ("excluding", json!({"oneOf": [{"type": "string"}, {"type": "integer"}]})),
    ]
}

#[test]
fn what_cannot_be_held_is_named() {
    for (schema, place, words) in [
        (json!({"not": {}}), "#", "\"not\""),
        (
            json!({"properties": {"a/b": {"type": "array", "uniqueItems": true}}}),
            "#/properties/a~1b",
            "\"uniqueItems\"",
        ),
        (json!({"if": {}, "then": {}}), "#", "anyOf"),
        (json!({"type": "string", "format": "colour"}), "#/format", "date-time"),
        (json!({"$ref": "https://example.com/x.json"}), "#/$ref", "within the schema"),
        (json!({"$ref": "#/$defs/nothing"}), "#/$ref", "nothing at"),
        (json!({"$ref": "#"}), "#", "leads back"),
        (json!({"type": "string", "maxLength": 100_000_000}), "#/maxLength", "10000"),
        (json!({"type": "string", "minLength": -1}), "#/minLength", "whole number"),
        (json!({"enum": []}), "#/enum", "at least one"),
        (json!([]), "#", "object or a boolean"),
        (json!({"items": 3}), "#/items", "object or a boolean"),
        (json!(false), "#", "nothing fits"),
    ] {
        let message = Grammar::json_schema(&schema, true).unwrap_err().to_string();
        assert!(message.starts_with(&format!("JSON schema, at {place}: ")), "{message}");
        assert!(message.contains(words) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn what_is_not_strict_leaves_out_what_cannot_be_held() {
    let schema = json!({"type": "array", "items": {"type": "integer", "format": "int32"}, "uniqueItems": true});
    let grammar = Grammar::json_schema(&schema, false).unwrap();
    assert_eq!(grammar.left_out().len(), 2);
    assert!(fit(&grammar, "[1, 1]") && !fit(&grammar, "[\"a\"]"));
    let overlapping = json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]});
    assert!(fit(&Grammar::json_schema(&overlapping, false).unwrap(), "\"abcd\""));
    let strict = Grammar::json_schema(&overlapping, true).unwrap();
    let message = smollm2_vocabulary().matcher(&strict).unwrap_err().to_string();
    assert!(message.contains("oneOf") && message.lines().count() == 1, "{message}");
}

#[test]
fn an_object_that_lists_its_properties_has_no_others() {
    let closed = Grammar::json_schema(&json!({"properties": {"a": {"type": "integer"}}}), true).unwrap();
    assert!(fit(&closed, "{\"a\": 1}") && fit(&closed, "{}") && !fit(&closed, "{\"b\": 1}") && !fit(&closed, "3"));
    let open = json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}});
    let open = Grammar::json_schema(&open, true).unwrap();
    assert!(fit(&open, "{\"a\": 1, \"b\": \"x\"}") && !fit(&open, "{\"b\": 1}"));
}

#[test]
fn properties_keep_the_order_of_the_schema() {
    let schema = json!({"properties": {"b": {"type": "null"}, "a": {"type": "null"}}, "required": ["a", "b"]});
    let grammar = Grammar::json_schema(&schema, true).unwrap();
    assert!(fit(&grammar, "{\"b\": null, \"a\": null}") && !fit(&grammar, "{\"a\": null, \"b\": null}"));
}

#[test]
fn options_of_the_library_are_not_for_clients() {
    let schema = json!({"type": "object", "x-guidance": {"whitespace_pattern": "x+", "lenient": true}});
    let grammar = Grammar::json_schema(&schema, true).unwrap();
    assert!(fit(&grammar, "{ }") && !fit(&grammar, "{x}"));
}

#[test]
fn a_regular_expression_is_matched_as_a_whole() {
    let grammar = Grammar::regex("(yes|no)( [0-9]{2})?").unwrap();
    assert!(fit(&grammar, "yes") && fit(&grammar, "no 12") && !fit(&grammar, "no 1") && !fit(&grammar, "yes!"));
    let message = smollm2_vocabulary().matcher(&Grammar::regex("(?=a)").unwrap()).unwrap_err().to_string();
    assert!(message.contains("regular expression") && message.lines().count() == 1, "{message}");
}
