//! The JSON files beside safetensors: `config.json`, `generation_config.json`.
//!
//! What their keys mean is known to whoever builds a model; here they become a bounded value.

use crate::Error;
use serde_json::Value;

/// Those of language models have a few thousand bytes. It bounds memory too: a parsed value takes up to 128 bytes for one
/// of the file.
const BYTES_MAX: usize = 256 << 10;

/// The object in a configuration file. `file` is its name for messages.
///
/// Nesting is bounded by `serde_json` (128 levels).
pub fn parse_config(file: &str, json: &[u8]) -> Result<Value, Error> {
    if json.len() > BYTES_MAX {
        return Err(Error::damaged(file, format!("{} bytes, expected at most {BYTES_MAX}", json.len())));
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| Error::damaged(file, error))?;
    if value.is_object() { Ok(value) } else { Err(Error::damaged(file, "not a JSON object")) }
}
