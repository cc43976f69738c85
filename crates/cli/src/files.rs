//! Which files make up a model: one GGUF file, or a folder with config.json and safetensors.

use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// One file with everything.
    Gguf(PathBuf),
    /// A folder as Hugging Face lays it out.
    Folder(PathBuf),
}

/// Quantisations from the one to take first: small with little loss, then ever larger, then lossier ones.
const PREFERENCE: [&str; 21] = [
    "Q4_K_M", "Q4_1", "Q4_K_S", "Q4_0", "IQ4_NL", "MXFP4", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q6_K", "Q8_0", "F16",
    "BF16", "F32", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q4_K", "Q5_K",
];

impl ModelFiles {
    /// The model at a path; of several GGUF files in a folder, the one of `quantisation` or the preferred one.
    pub fn at(path: &Path, quantisation: Option<&str>) -> Result<Self> {
        let shown = path.display();
        if path.is_file() {
            let safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
            return Ok(match path.parent().filter(|_| safetensors) {
                Some(folder) => Self::Folder(if folder == Path::new("") { ".".into() } else { folder.to_owned() }),
                None => Self::Gguf(path.to_owned()),
            });
        }
        let names = names(path)?;
        if let Some(name) = choose_gguf(names.iter().map(String::as_str), quantisation)? {
            return Ok(Self::Gguf(path.join(name)));
        }
        let has = |name: &str| names.iter().any(|n| n == name);
        let safetensors = has("model.safetensors") || has("model.safetensors.index.json");
        match (has("config.json"), safetensors) {
            (true, true) => Ok(Self::Folder(path.to_owned())),
            (true, false) => bail!("{shown}: no model.safetensors: get the model again, or choose another folder"),
            _ => bail!("{shown}: no model in it: it needs a .gguf file, or config.json and model.safetensors"),
        }
    }
}

impl ModelFiles {
    /// Their bytes, those of files beside the weights included.
    pub fn bytes(&self) -> Result<u64> {
        match self {
            Self::Gguf(path) => Ok(std::fs::metadata(path)?.len()),
            Self::Folder(path) => crate::store::folder_bytes(path),
        }
    }
}

/// Names of the files in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| anyhow::anyhow!("{}: {error}: check the path", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The GGUF file to take of several; none where there is none.
pub fn choose_gguf<'a>(names: impl Iterator<Item = &'a str>, quantisation: Option<&str>) -> Result<Option<&'a str>> {
    let mut files: Vec<&str> = names.filter(|name| is_whole_model(name)).collect();
    // Shorter names first: of two that fit, the plain one.
    files.sort_by_key(|name| (name.len(), *name));
    if let Some(wanted) = quantisation {
        let Some(file) = files.iter().find(|name| mentions(name, wanted)) else {
            let known = if files.is_empty() { "no whole GGUF file".to_owned() } else { files.join(", ") };
            bail!("no GGUF file in {wanted}: choose one of what is there ({known})");
        };
        return Ok(Some(file));
    }
    let preferred = PREFERENCE.iter().find_map(|wanted| files.iter().find(|name| mentions(name, wanted)));
    Ok(preferred.or(files.first()).copied())
}

/// A GGUF file that is neither one part of several nor a vision projector.
fn is_whole_model(name: &str) -> bool {
    let stem = Path::new(name).file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let is_gguf = Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let is_part = stem.rsplit_once("-of-").is_some_and(|(_, count)| count.bytes().all(|b| b.is_ascii_digit()));
    is_gguf && !is_part && !stem.to_ascii_lowercase().contains("mmproj")
}

/// Whether a file name holds the quantisation's name as a word.
fn mentions(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (name.to_ascii_uppercase(), wanted.to_ascii_uppercase());
    let is_word = |byte: Option<&u8>| byte.is_none_or(|b| !(b.is_ascii_alphanumeric() || *b == b'_'));
    name.match_indices(&wanted).any(|(at, _)| {
        let bytes = name.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !wanted.is_empty() && is_word(before) && is_word(bytes.get(at + wanted.len()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_preferred_quantisation_is_taken() {
        let names = ["m-IQ2_XS.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-Q4_K_M-00001-of-00002.gguf", "README.md"];
        let choose = |wanted| choose_gguf(names.into_iter(), wanted);
        assert_eq!(choose(None).unwrap(), Some("m-Q4_K_M.gguf"));
        assert_eq!(choose(Some("q8_0")).unwrap(), Some("m-Q8_0.gguf"));
        let message = choose(Some("Q4_K")).unwrap_err().to_string();
        assert!(message.contains("no GGUF file in Q4_K") && message.contains("m-Q8_0.gguf"), "{message}");
        assert_eq!(choose_gguf(["a.safetensors"].into_iter(), None).unwrap(), None);
        assert_eq!(choose_gguf(["mmproj-F16.gguf", "odd.gguf"].into_iter(), None).unwrap(), Some("odd.gguf"));
    }
}
