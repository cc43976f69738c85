//! Pulled models: one folder a name below the models folder. A name is `smollm2`, or `org/repository`.

use crate::files::ModelFiles;
use crate::{folders, pull};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The model that is meant where none is named.
pub const DEFAULT: &str = "smollm2";

/// A model's name as users give it: `name`, `org/repository`, and of it `:QUANT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Folder below the models folder.
    pub name: String,
    /// Which of several files.
    pub quantisation: Option<String>,
}

impl Name {
    /// Reads a name; none where it can only be a path.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, quantisation) = match text.split_once(':') {
            Some((name, quantisation)) => (name, Some(quantisation.to_owned())),
            None => (text, None),
        };
        let parts: Vec<&str> = name.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.len() <= 96
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let valid = parts.len() <= 2 && parts.iter().all(plain) && quantisation.as_deref().is_none_or(|q| plain(&q));
        valid.then(|| Self { name: name.to_owned(), quantisation })
    }

    /// Whether it can be a Hugging Face repository.
    pub fn is_repository(&self) -> bool {
        self.name.contains('/')
    }

    /// Its folder, whether there or not.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(folders::models()?.join(&self.name))
    }

    /// Its files if it was pulled.
    fn pulled(&self) -> Result<Option<ModelFiles>> {
        let folder = self.folder()?;
        if !folder.is_dir() {
            return Ok(None);
        }
        // An unfinished pull, or one of another quantisation, is as good as none.
        Ok(ModelFiles::at(&folder, self.quantisation.as_deref()).ok())
    }
}

/// The files of the model that `-m` names. The default model and repositories are pulled at their first use.
pub fn resolve(model: &str) -> Result<ModelFiles> {
    let path = Path::new(model);
    let Some(name) = Name::parse(model) else {
        if path.exists() {
            return ModelFiles::at(path, None);
        }
        bail!("{model}: no such file or folder: check the path, or see `lockstep list` for pulled models");
    };
    // A file beats a name; a folder called like a pulled model does not, unless it is spelled as a path.
    if path.is_file() || (name.is_repository() && path.is_dir()) {
        return ModelFiles::at(path, None);
    }
    if let Some(files) = name.pulled()? {
        return Ok(files);
    }
    if name.name == DEFAULT || name.is_repository() {
        return pull::pull_named(&name);
    }
    if path.is_dir() {
        return ModelFiles::at(path, name.quantisation.as_deref());
    }
    bail!("no model named {model}: see `lockstep list`, or give a file, a folder or org/repository");
}

/// A pulled model as `lockstep list` shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// All pulled models by name.
pub fn list() -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let root = folders::models()?;
    for first in subfolders(&root)? {
        let name = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
        push_entry(&mut entries, &first, name.clone())?;
        for second in subfolders(&first)? {
            let inner = second.file_name().unwrap_or_default().to_string_lossy().into_owned();
            push_entry(&mut entries, &second, format!("{name}/{inner}"))?;
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn push_entry(entries: &mut Vec<Entry>, folder: &Path, name: String) -> Result<()> {
    if ModelFiles::at(folder, None).is_ok() {
        entries.push(Entry { name, bytes: folder_bytes(folder)? });
    }
    Ok(())
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read = || format!("{}: cannot be listed: check its permissions", folder.display());
    let entries = std::fs::read_dir(folder).with_context(read)?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect())
}

/// Bytes of the files directly in a folder.
pub fn folder_bytes(folder: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|m| m.len())
        .sum())
}

/// Removes a pulled model; returns the bytes that became free.
pub fn remove(text: &str) -> Result<u64> {
    let name = Name::parse(text).filter(|name| name.quantisation.is_none());
    let folder = match name {
        Some(name) => name.folder()?,
        None => bail!("{text} is no model's name: see `lockstep list`"),
    };
    if !folder.is_dir() {
        bail!("no model named {text}: see `lockstep list`");
    }
    let bytes = folder_bytes(&folder)?;
    // Files only: `rm org` must not take the repositories below org with it.
    for entry in std::fs::read_dir(&folder).with_context(|| format!("{}: cannot be listed", folder.display()))? {
        let path = entry.with_context(|| format!("{}: cannot be listed", folder.display()))?.path();
        if path.is_file() || path.is_symlink() {
            std::fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
        }
    }
    // Folders that became empty go too; others stay.
    let _ = std::fs::remove_dir(&folder);
    let _ = folder.parent().map(std::fs::remove_dir);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_models_folder() {
        for bad in ["", "..", "../x", "a/../b", "/etc", "a//b", "a/b/c", "a\\b", ".hidden", "a:b/c", "a:", "a b", "ä"]
        {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
        let name = |text: &str| Name::parse(text).map(|name| (name.name, name.quantisation));
        assert_eq!(name("smollm2"), Some(("smollm2".into(), None)));
        assert_eq!(name("org/model-1.5:Q8_0"), Some(("org/model-1.5".into(), Some("Q8_0".into()))));
    }
}
