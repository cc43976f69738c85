//! Files that are here already, kept under a name.

use crate::files::ModelFiles;
use crate::pull::Lock;
use crate::pull::download::{DiskError, part_path};
use crate::store::Name;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Links the model at `path` into the models folder, or copies it where the file system cannot link.
pub fn keep(path: &Path, name: Option<&str>) -> Result<ModelFiles> {
    if !path.exists() {
        bail!("{}: no such file or folder: check the path", path.display());
    }
    let files = match ModelFiles::at(path, None)? {
        ModelFiles::Gguf(file) => vec![file],
        ModelFiles::Folder(folder) => folder_files(&folder)?,
    };
    let own = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let name = name.or_else(|| own.and_then(std::ffi::OsStr::to_str)).unwrap_or_default();
    let unusable = || format!("`{name}` cannot name a model: choose --name with letters, digits, `.`, `-` and `_`");
    let name = Name::parse(name).filter(|name| name.quantisation.is_none()).with_context(unusable)?;
    let folder = name.folder()?;
    let _lock = Lock::take(&folder)?;
    for file in files {
        let destination = folder.join(file.file_name().unwrap_or_default());
        place(&file, &destination)?;
    }
    ModelFiles::at(&folder, None)
}

/// The files of a Hugging Face folder that a model is read from.
fn folder_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let kinds = ["json", "safetensors", "jinja"];
    files.retain(|path| path.is_file() && path.extension().is_some_and(|kind| kinds.iter().any(|k| kind == *k)));
    files.sort();
    Ok(files)
}

fn place(file: &Path, destination: &Path) -> Result<()> {
    let source = file.canonicalize().with_context(|| format!("{}: cannot be read", file.display()))?;
    if destination.canonicalize().is_ok_and(|there| there == source) {
        return Ok(());
    }
    let part = part_path(destination);
    // What a killed pull left.
    let _ = std::fs::remove_file(&part);
    if std::fs::hard_link(&source, &part).is_err() {
        std::fs::copy(&source, &part).map_err(|error| DiskError::new(&part, &error))?;
    }
    std::fs::rename(&part, destination).map_err(|error| DiskError::new(destination, &error))?;
    // Renaming one of two links of a file onto the other does nothing, so the first may still be there.
    let _ = std::fs::remove_file(&part);
    Ok(())
}
