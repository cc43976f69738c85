//! Where files live: pulled models, and what is made of them.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// Folder of pulled models: `$LOCKSTEP_HOME/models`, or below the platform's data folder.
pub fn models() -> Result<PathBuf> {
    let home = match variable("LOCKSTEP_HOME") {
        Some(home) => home,
        None => platform("XDG_DATA_HOME", ".local/share", "Library/Application Support", "APPDATA")
            .context("no home folder is known: set LOCKSTEP_HOME to a folder for models")?,
    };
    Ok(home.join("models"))
}

/// Folder of packed weights and compiled programs: `$LOCKSTEP_CACHE`, or below the platform's cache folder.
pub fn cache() -> Result<PathBuf> {
    match variable("LOCKSTEP_CACHE") {
        Some(cache) => Ok(cache),
        None => platform("XDG_CACHE_HOME", ".cache", "Library/Caches", "LOCALAPPDATA")
            .context("no home folder is known: set LOCKSTEP_CACHE to a folder for packed weights and programs"),
    }
}

fn platform(xdg: &str, unix: &str, mac: &str, windows: &str) -> Option<PathBuf> {
    let base = if cfg!(windows) {
        variable(windows)?
    } else if cfg!(target_os = "macos") {
        std::env::home_dir()?.join(mac)
    } else {
        // The specification has relative paths ignored.
        variable(xdg).filter(|path| path.is_absolute()).or_else(|| Some(std::env::home_dir()?.join(unix)))?
    };
    Some(base.join("lockstep"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
