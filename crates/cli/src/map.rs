//! Files as memory maps: the one unsafe line of this crate.
#![allow(unsafe_code)]

use anyhow::{Context, Result};
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file, read as they are touched.
pub struct Map(Option<memmap2::Mmap>);

impl Map {
    /// Maps a file. It must not be changed while it is mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("{shown}: cannot be read: check the path"))?;
        let metadata = file.metadata().with_context(|| format!("{shown}: cannot be read"))?;
        if !metadata.is_file() {
            anyhow::bail!("{shown}: not a file: give a model file, or a folder with config.json and safetensors");
        }
        if metadata.len() == 0 {
            return Ok(Self(None)); // an empty file cannot be mapped
        }
        // SAFETY: the map is read-only, and pulled models are replaced by rename, never written in place. A program that
        // rewrites a model file of the user's while we read it breaks this, as it does for every mapped file.
        let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("{shown}: cannot be mapped"))?;
        Ok(Self(Some(map)))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
