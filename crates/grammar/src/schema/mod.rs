//! A client's schema made into one that `llguidance` can hold: known keywords only, references resolved, bounded.
//!
//! Two rules go beyond JSON Schema, and only ever narrow it: a schema that says what an object or a list holds means an
//! object or a list, and an object that lists its properties has no others, unless it says so.

mod checks;
mod keywords;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::checks::{check_value, percent_decoded, refuse_circles, whole};
use self::keywords::{FORMATS, Keyword, advice, keyword};
use crate::Error;

/// Bytes of all schemas of a request as JSON.
const BYTES_MAX: usize = 256 << 10;
/// Schemas and values of enumerations.
const NODES_MAX: usize = 5_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Properties of one object that need not be there: all of them may come next, at every token.
const OPTIONAL_MAX: usize = 400;
/// Items, properties or characters that a schema may count.
const COUNT_MAX: u64 = 10_000;

/// Schemas that share their definitions.
#[derive(Debug, Default)]
pub(crate) struct Normalized {
    /// One for each that came in.
    pub(crate) roots: Vec<Value>,
    /// What the roots refer to, as `#/$defs/NAME`.
    pub(crate) definitions: Map<String, Value>,
    /// What the schemas ask for and these do not hold.
    pub(crate) left_out: Vec<String>,
}

/// Where `strict`, what cannot be held is an error; else it is left out and listed.
pub(crate) fn normalize(roots: &[&Value], strict: bool) -> Result<Normalized, Error> {
    let bytes: usize = roots.iter().map(|root| root.to_string().len()).sum();
    if bytes > BYTES_MAX {
        return Err(too_large(format!("{bytes} bytes of JSON, at most {BYTES_MAX}")));
    }
    let mut normalizer = Normalizer { roots, strict, close: true, ..Normalizer::default() };
    let normalized = normalizer.run()?;
    if !normalizer.mixes {
        return Ok(normalized);
    }
    // Parts of one object that know nothing of each other's properties must not forbid them.
    Normalizer { roots, strict, close: false, ..Normalizer::default() }.run()
}

fn too_large(problem: String) -> Error {
    Error::TooLarge { what: "the JSON schema", problem }
}

#[derive(Default)]
struct Normalizer<'a> {
    roots: &'a [&'a Value],
    strict: bool,
    /// Whether objects that list their properties have no others.
    close: bool,
    /// Whether one value must fit several schemas.
    mixes: bool,
    nodes: usize,
    /// Root and pointer of what is referred to, with its new name.
    names: BTreeMap<(usize, String), String>,
    /// What is referred to and not yet read.
    waiting: Vec<(usize, String)>,
    left_out: Vec<String>,
}

/// Where a schema stands: the root, and the pointer from there.
#[derive(Clone)]
struct Place {
    root: usize,
    pointer: String,
    depth: usize,
}

impl Place {
    fn inside(&self, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self { root: self.root, pointer: format!("{}/{name}", self.pointer), depth: self.depth + 1 }
    }

    fn error(&self, problem: String) -> Error {
        let shown: String = self.pointer.chars().take(200).collect();
        Error::Schema { place: format!("#{shown}"), problem }
    }
}

impl Normalizer<'_> {
    fn run(&mut self) -> Result<Normalized, Error> {
        let mut normalized = Normalized::default();
        for (root, schema) in self.roots.iter().enumerate() {
            let place = Place { root, pointer: String::new(), depth: 0 };
            normalized.roots.push(self.schema(schema, &place)?);
        }
        while let Some((root, pointer)) = self.waiting.pop() {
            let place = Place { root, pointer, depth: 1 };
            let Some(target) = self.roots[root].pointer(&place.pointer) else { continue };
            let schema = self.schema(target, &place)?;
            let name = &self.names[&(root, place.pointer)];
            normalized.definitions.insert(name.clone(), schema);
        }
        refuse_circles(&normalized)?;
        normalized.left_out = std::mem::take(&mut self.left_out);
        Ok(normalized)
    }

    fn count(&mut self, nodes: usize) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(too_large(format!("more than {NODES_MAX} schemas and values")));
        }
        Ok(())
    }

    fn schema(&mut self, schema: &Value, place: &Place) -> Result<Value, Error> {
        self.count(1)?;
        if place.depth > DEPTH_MAX {
            return Err(too_large(format!("nested deeper than {DEPTH_MAX}")));
        }
        let Some(keywords) = schema.as_object() else {
            let refuse = || place.error("a schema must be an object or a boolean".to_owned());
            return schema.as_bool().map(Value::Bool).ok_or_else(refuse);
        };
        let mut made = Map::new();
        for (name, value) in keywords {
            self.keyword(name, value, place, &mut made)?;
        }
        if let [Value::Object(only)] = made.get("allOf").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
            && made.len() == 1
        {
            return Ok(Value::Object(only.clone()));
        }
        self.infer(&mut made);
        let length = |name, list: fn(&Value) -> Option<usize>| made.get(name).and_then(list).unwrap_or(0);
        let optional = length("properties", |value| Some(value.as_object()?.len()))
            .saturating_sub(length("required", |value| Some(value.as_array()?.len())));
        if optional > OPTIONAL_MAX {
            let problem = format!("{optional} properties are not in required, at most {OPTIONAL_MAX}: require them");
            return Err(place.error(problem));
        }
        Ok(Value::Object(made))
    }

    fn keyword(
        &mut self,
        name: &str,
        value: &Value,
        place: &Place,
        made: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let inside = place.inside(name);
        let value = match keyword(name) {
            Keyword::Annotation => return Ok(()),
            Keyword::Unsupported => {
                let problem = format!("the keyword {name:?} is not supported: {}", advice(name));
                return self.leave_out(place, problem);
            }
            Keyword::Schema => self.schema(value, &inside)?,
            Keyword::Schemas => self.schemas(value, &inside)?,
            Keyword::SchemaMap => self.schema_map(value, &inside)?,
            Keyword::Count => match value.as_u64().or_else(|| whole(value)) {
                Some(count) if count <= COUNT_MAX => json!(count),
                Some(count) => return Err(inside.error(format!("{count} is more than {COUNT_MAX}: lower it"))),
                None => return Err(inside.error("must be a whole number, not negative".to_owned())),
            },
            Keyword::Value => {
                self.count(value.as_array().map_or(0, Vec::len))?;
                check_value(name, value, &inside)?;
                value.clone()
            }
            Keyword::Own => return self.own(name, value, &inside, made),
        };
        // Whether the alternatives exclude each other cannot always be shown; where not strict, it need not be.
        let name = if name == "oneOf" && !self.strict && !made.contains_key("anyOf") { "anyOf" } else { name };
        made.insert(name.to_owned(), value);
        Ok(())
    }

    /// The keywords that have a rule of their own.
    fn own(&mut self, name: &str, value: &Value, place: &Place, made: &mut Map<String, Value>) -> Result<(), Error> {
        let value = match (name, value) {
            ("items", Value::Array(_)) => {
                let items = self.schemas(value, place)?;
                made.insert("prefixItems".to_owned(), items);
                return Ok(());
            }
            ("items", _) => self.schema(value, place)?,
            ("$ref", Value::String(reference)) => self.reference(reference, place)?,
            ("type" | "pattern", Value::String(_)) | ("type", Value::Array(_)) => value.clone(),
            ("format", Value::String(format)) if FORMATS.contains(&format.as_str()) => value.clone(),
            ("format", Value::String(format)) => {
                let known = FORMATS.join(", ");
                let format: String = format.chars().take(50).collect();
                let problem = format!("the format {format:?} is not supported: use one of {known}, or a pattern");
                return self.leave_out(place, problem);
            }
            _ => return Err(place.error(format!("{name} must be text"))),
        };
        made.insert(name.to_owned(), value);
        Ok(())
    }

    fn schemas(&mut self, value: &Value, place: &Place) -> Result<Value, Error> {
        let Some(schemas) = value.as_array() else { return Err(place.error("must be a list of schemas".to_owned())) };
        let one = |(index, schema): (usize, &Value)| self.schema(schema, &place.inside(&index.to_string()));
        Ok(Value::Array(schemas.iter().enumerate().map(one).collect::<Result<_, _>>()?))
    }

    fn schema_map(&mut self, value: &Value, place: &Place) -> Result<Value, Error> {
        let Some(schemas) = value.as_object() else { return Err(place.error("must be an object".to_owned())) };
        let one = |(name, schema): (&String, &Value)| Ok((name.clone(), self.schema(schema, &place.inside(name))?));
        Ok(Value::Object(schemas.iter().map(one).collect::<Result<_, Error>>()?))
    }

    fn reference(&mut self, reference: &str, place: &Place) -> Result<Value, Error> {
        let pointer = match reference.strip_prefix('#') {
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => percent_decoded(pointer),
            _ => return Err(place.error("only references within the schema are followed: use #/$defs/NAME".to_owned())),
        };
        // `#/` names the root to many writers of schemas.
        let pointer = if pointer == "/" { String::new() } else { pointer };
        if self.roots[place.root].pointer(&pointer).is_none() {
            let shown: String = reference.chars().take(100).collect();
            return Err(place.error(format!("there is nothing at {shown:?}: define it, or mend the reference")));
        }
        let key = (place.root, pointer);
        let next = format!("d{}", self.names.len());
        let name = self.names.entry(key.clone()).or_insert_with(|| {
            self.waiting.push(key);
            next
        });
        Ok(Value::String(format!("#/$defs/{name}")))
    }

    /// What the schema means without saying so.
    fn infer(&mut self, made: &mut Map<String, Value>) {
        let has = |names: &[&str]| names.iter().any(|&name| made.contains_key(name));
        let of_object = has(&["properties", "additionalProperties", "patternProperties", "required"]);
        let of_list = has(&["items", "prefixItems"]);
        let in_place = ["allOf", "anyOf", "oneOf", "$ref"].iter().filter(|&&name| made.contains_key(name)).count();
        let several = made.get("allOf").and_then(Value::as_array).is_some_and(|schemas| schemas.len() > 1);
        self.mixes |= several || in_place > 1 || (in_place == 1 && (of_object || of_list || has(&["type"])));
        if in_place == 0 && !has(&["type", "const", "enum"]) && (of_object != of_list) {
            made.insert("type".to_owned(), json!(if of_object { "object" } else { "array" }));
        }
        if self.close && made.contains_key("properties") {
            let others = made.contains_key("additionalProperties") || made.contains_key("patternProperties");
            if !others {
                made.insert("additionalProperties".to_owned(), json!(false));
            }
        }
    }

    fn leave_out(&mut self, place: &Place, problem: String) -> Result<(), Error> {
        let error = place.error(problem);
        if self.strict {
            return Err(error);
        }
        self.left_out.push(error.to_string());
        Ok(())
    }
}
