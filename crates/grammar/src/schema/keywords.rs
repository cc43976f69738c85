//! What each keyword of JSON Schema is to us.

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    /// Its value is a schema.
    Schema,
    /// Its value is a list of schemas.
    Schemas,
    /// Its value is an object of schemas.
    SchemaMap,
    /// A number of characters, items or properties.
    Count,
    /// Any value, taken as it is.
    Value,
    /// `type`, `$ref`, `format`, `items`, `pattern`: each has its own rule.
    Own,
    /// Says nothing about what is valid, or is read elsewhere.
    Annotation,
    /// Cannot be held while tokens are drawn.
    Unsupported,
}

/// Formats of strings that are held.
pub(crate) const FORMATS: [&str; 10] =
    ["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

pub(crate) fn keyword(name: &str) -> Keyword {
    match name {
        "additionalProperties" | "additionalItems" => Keyword::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Keyword::Schemas,
        "properties" | "patternProperties" => Keyword::SchemaMap,
        "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => Keyword::Count,
        "const" | "enum" | "required" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum"
        | "multipleOf" => Keyword::Value,
        "type" | "$ref" | "format" | "items" | "pattern" => Keyword::Own,
        "$defs" | "definitions" | "$schema" | "$id" | "id" | "$anchor" | "$comment" | "title" | "description"
        | "default" | "examples" | "example" | "deprecated" | "readOnly" | "writeOnly" | "contentMediaType"
        | "contentEncoding" | "discriminator" => Keyword::Annotation,
        _ if name.starts_with("x-") => Keyword::Annotation,
        _ => Keyword::Unsupported,
    }
}

/// Why a keyword is not held, and what to do instead.
pub(crate) fn advice(name: &str) -> &'static str {
    match name {
        "not" | "if" | "then" | "else" | "dependentSchemas" | "dependencies" => "write the cases as anyOf",
        "dependentRequired" => "list the properties in required",
        "uniqueItems" => "use an enum in items, or check the answer",
        "contains" | "minContains" | "maxContains" => "use prefixItems or items",
        "propertyNames" => "use patternProperties with additionalProperties: false",
        "unevaluatedProperties" => "use additionalProperties",
        "unevaluatedItems" => "use prefixItems with items: false",
        "nullable" => "use \"type\": [..., \"null\"]",
        "$dynamicRef" | "$recursiveRef" => "use $ref",
        _ => "leave it out",
    }
}
