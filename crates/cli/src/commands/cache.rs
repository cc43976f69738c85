//! `lockstep cache list` and `lockstep cache clear`.

use crate::args::CacheCommand;
use crate::cache::Kind;
use crate::{cache, folders, output};
use anyhow::{Context, Result};

/// Looks after the cache folder.
pub fn cache(command: &CacheCommand) -> Result<()> {
    let entries = cache::entries()?;
    let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let folder = folders::cache()?;
    match command {
        CacheCommand::List => {
            for entry in entries.iter().filter(|entry| entry.kind != Kind::Other) {
                let name = entry.path.file_name().unwrap_or_default().display();
                output::print(&format!("{name}  {}\n", output::bytes(entry.bytes)))?;
            }
            output::note(&format!("{} in {}", output::bytes(total), folder.display()));
        }
        CacheCommand::Clear => {
            for entry in &entries {
                let failed = || format!("{}: cannot be removed: check its permissions", entry.path.display());
                std::fs::remove_file(&entry.path).with_context(failed)?;
            }
            output::note(&format!("{} removed from {}", output::bytes(total), folder.display()));
        }
    }
    Ok(())
}
