//! What a keyword's value must be.

use serde_json::Value;

use super::{DEPTH_MAX, Normalized, Place};
use crate::Error;

/// `3.0` counts as 3.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number)).map(|number| number as u64)
}

pub(super) fn check_value(name: &str, value: &Value, place: &Place) -> Result<(), Error> {
    let fine = match name {
        "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
        "const" => true,
        "exclusiveMinimum" | "exclusiveMaximum" => value.is_number() || value.is_boolean(),
        _ => value.is_number(),
    };
    let wanted = match name {
        "required" => "a list of names",
        "enum" => "a list of at least one value",
        _ => "a number",
    };
    if fine && depth(value) <= DEPTH_MAX { Ok(()) } else { Err(place.error(format!("must be {wanted}"))) }
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(values) => values.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

/// A reference that leads back to itself says nothing.
pub(super) fn refuse_circles(normalized: &Normalized) -> Result<(), Error> {
    let next = |schema: &Value| {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        (schema.as_object()?.len() == 1).then(|| name.to_owned())
    };
    for schema in normalized.definitions.values() {
        let mut name = next(schema);
        for _ in 0..normalized.definitions.len() {
            name = name.and_then(|name| next(normalized.definitions.get(&name)?));
        }
        if name.is_some() {
            let problem = "a $ref leads back to itself: let it lead to a type".to_owned();
            return Err(Error::Schema { place: "#".to_owned(), problem });
        }
    }
    Ok(())
}

pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%');
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
