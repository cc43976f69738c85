//! `model.safetensors.index.json`: which files hold the tensors of a model in several files.

use crate::Error;
use crate::error::shown;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

const FILE: &str = "model.safetensors.index.json";
/// Ten times the index of a model of a trillion weights.
const BYTES_MAX: usize = 100 << 20;
/// Longest name of a file that file systems take.
const NAME_MAX: usize = 255;

/// The files that `model.safetensors.index.json` names, each once, in order of name.
///
/// A name with a path in it is refused: the index must not reach out of the model's folder.
pub fn index_files(json: &[u8]) -> Result<Vec<String>, Error> {
    if json.len() > BYTES_MAX {
        return Err(Error::damaged(FILE, format!("{} bytes, expected at most {BYTES_MAX}", json.len())));
    }
    let index: Index = serde_json::from_slice(json).map_err(|error| Error::damaged(FILE, error))?;
    Ok(index.weight_map.0.into_iter().collect())
}

#[derive(Deserialize)]
struct Index {
    weight_map: Files,
}

/// Only the names of files are kept, so that the map costs no memory.
struct Files(BTreeSet<String>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map from tensors to files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files, A::Error> {
        let mut files = BTreeSet::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if !is_plain_name(&file) {
                let problem = format!("the file of {} is not a plain name ({})", shown(tensor), shown(file));
                return Err(A::Error::custom(problem));
            }
            files.insert(file);
        }
        if files.is_empty() {
            return Err(A::Error::custom("weight_map names no files"));
        }
        Ok(Files(files))
    }
}

fn is_plain_name(name: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && !name.contains(bad)
}
