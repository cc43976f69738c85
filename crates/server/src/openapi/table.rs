//! The table of routes and fields in `docs/api.md`, made from the description. `LOCKSTEP_BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::document;

const HEAD: &str = "\
# The API, field by field

Made from the server's own types by a test of `lockstep-server`; do not edit. `/openapi.json` of a running server has the
whole description. Null is the same as absent for every optional field; fields that are not listed are ignored, or
refused with `--strict-params`. What the fields mean together: [serving](serving.md).

";

/// The request types with the routes that take them.
const BODIES: [(&str, &str); 6] = [
    ("Drawing and ending: fields of chat completions, completions and responses", "SamplingFields"),
    ("`/v1/chat/completions`", "ChatFields"),
    ("`/v1/completions`", "CompletionFields"),
    ("`/v1/responses`", "ResponseFields"),
    ("`/tokenize`", "TokenizeRequest"),
    ("`/detokenize`", "DetokenizeRequest"),
];

fn table() -> String {
    let document = serde_json::to_value(document()).expect("the description is JSON");
    let mut text = HEAD.to_owned();
    text += "## Routes\n\n| route | what it does | key |\n| --- | --- | --- |\n";
    for (path, operations) in document["paths"].as_object().expect("paths") {
        // The other prefix has the same routes.
        for (method, operation) in operations.as_object().expect("operations") {
            if path.starts_with("/openai/") {
                continue;
            }
            let key = if operation["security"].is_null() { "no" } else { "yes" };
            let summary = operation["summary"].as_str().unwrap_or_default();
            let _ = writeln!(text, "| `{} {path}` | {summary} | {key} |", method.to_uppercase());
        }
    }
    text += "\nEvery `/v1` route is also under `/openai/v1`.\n";
    for (title, name) in BODIES {
        let _ = write!(text, "\n## {title}\n\n| field | | what it says |\n| --- | --- | --- |\n");
        let schema = &document["components"]["schemas"][name];
        let required: Vec<&str> = schema["required"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let fields = schema["properties"].as_object().unwrap_or_else(|| panic!("{name} has no fields: {schema}"));
        for (field, schema) in fields {
            let need = if required.contains(&field.as_str()) { "required" } else { "" };
            let said = description(schema).replace('\n', " ").replace('|', "\\|");
            let _ = writeln!(text, "| `{field}` | {}{} | {said} |", need, bounds(schema));
        }
    }
    text
}

/// What a field's own comment says; where it may be null and is of another type, it stands with the other type.
fn description(schema: &Value) -> &str {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let mut said = std::iter::once(schema).chain(choices).filter_map(|schema| schema["description"].as_str());
    said.next().unwrap_or_else(|| panic!("a field says nothing of itself: {schema}"))
}

/// The range that a number must lie in, as far as it is bounded.
fn bounds(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64).map(|number| number.to_string());
    let low = number("minimum").or_else(|| number("exclusiveMinimum").map(|low| format!("above {low}")));
    match (low, number("maximum")) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("from {low}"),
        (None, Some(high)) => format!("up to {high}"),
        (None, None) => String::new(),
    }
}

#[test]
fn the_documents_have_the_types_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let table = table();
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::write(&path, &table).expect("docs/api.md");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/api.md");
    assert!(kept == table, "docs/api.md is not current: LOCKSTEP_BLESS=1 cargo test -p lockstep-server openapi::table");
}
