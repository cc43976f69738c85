//! The cache folder: packed weights under the hash of the model they came from, compiled programs under the hash of what
//! they were made of, and a memory of the files' hashes.

use crate::files::ModelFiles;
use crate::folders;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Ending of a file of packed weights.
const PACKED: &str = "packed";
/// Beginning of the ending of a compiled program; the compiler's version follows.
const PROGRAM: &str = "program-";
/// Ending of a file that remembers the hash of another, or the program that cannot be made.
const HASH: &str = "hash";

/// Hash of all files that decide a model's weights, in hexadecimal. Takes as long as reading them, once: the hash of a
/// file is remembered by its path, length and time of change.
pub fn content_hash(files: &ModelFiles) -> Result<String> {
    match files {
        ModelFiles::Gguf(path) => remembered_hash(path),
        ModelFiles::Folder(folder) => {
            let mut hasher = blake3::Hasher::new();
            for path in weight_files(folder)? {
                hasher.update(remembered_hash(&path)?.as_bytes());
            }
            Ok(hasher.finalize().to_hex().to_string())
        }
    }
}

/// config.json and the safetensors files of a folder, in order of name.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        path.extension().is_some_and(|kind| kind == "safetensors")
            || path.file_name().is_some_and(|name| name == "config.json")
    });
    files.sort();
    Ok(files)
}

/// Where the packed weights of a model with this hash are.
pub fn packed_path(hash: &str) -> Result<PathBuf> {
    Ok(folders::cache()?.join(hash).with_extension(PACKED))
}

/// Where the program is that this build of the compiler makes of a model for a machine and a context. `recipe` names all
/// that decides its bytes but the compiler.
pub fn program_path(recipe: &str) -> Result<PathBuf> {
    // Two builds of one version can differ: the executable itself says which compiler it holds.
    let executable = std::env::current_exe().context("the path of this program is not known")?;
    let compiler = remembered_hash(&executable)?;
    let name = blake3::hash(recipe.as_bytes()).to_hex().to_string();
    Ok(folders::cache()?.join(name).with_extension(format!("{PROGRAM}{}", &compiler[..16])))
}

/// Keeps a program at its path, whole or not at all, and removes what other compilers made of the same recipe.
pub fn keep_program(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("{}: cannot be written: set LOCKSTEP_CACHE to another folder", path.display());
    write_whole(path, bytes).with_context(failed)?;
    let older =
        |entry: &Entry| entry.path.file_stem() == path.file_stem() && entry.path != path && entry.kind == Kind::Program;
    for entry in entries()?.iter().filter(|entry| older(entry)) {
        // It may be gone already.
        let _ = std::fs::remove_file(&entry.path);
    }
    Ok(())
}

/// Remembers that there will be no program at this path.
pub fn remember_hopeless(path: &Path) {
    // If it is not remembered, it is tried again.
    let _ = write_whole(&path.with_extension(HASH), path.as_os_str().as_encoded_bytes());
}

/// Whether that is remembered.
pub fn is_hopeless(path: &Path) -> bool {
    std::fs::read(path.with_extension(HASH)).is_ok_and(|found| found == path.as_os_str().as_encoded_bytes())
}

fn remembered_hash(path: &Path) -> Result<String> {
    let unreadable = || format!("{}: cannot be read: check its permissions", path.display());
    let metadata = path.metadata().with_context(unreadable)?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let absolute = path.canonicalize().with_context(unreadable)?;
    let key = format!("{}\n{}\n{changed:?}", absolute.display(), metadata.len());
    let key = blake3::hash(key.as_bytes()).to_hex().to_string();
    let memory = folders::cache()?.join(&key).with_extension(HASH);
    if let Ok(hash) = std::fs::read_to_string(&memory)
        && is_hash(&hash)
    {
        return Ok(hash);
    }
    let hash = file_hash(path).with_context(unreadable)?;
    // Without a time of change nothing can be remembered; where it cannot be written, packing will say so.
    if changed.is_some() {
        let _ = write_whole(&memory, hash.as_bytes());
    }
    Ok(hash)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Read in pieces, not mapped: the pages of the file must not count as this process's memory.
fn file_hash(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..count]);
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// What a file of the cache folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model's packed weights.
    Packed,
    /// A compiled program.
    Program,
    /// A remembered hash, or what a killed process left.
    Other,
}

/// A file of the cache folder.
#[derive(Debug)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: Kind,
}

/// All files of the cache folder that are ours, sorted.
pub fn entries() -> Result<Vec<Entry>> {
    let folder = folders::cache()?;
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let listing = std::fs::read_dir(&folder);
    let listing = listing.with_context(|| format!("{}: cannot be listed: check its permissions", folder.display()))?;
    let mut entries: Vec<Entry> = listing.filter_map(|entry| ours(&entry.ok()?.path())).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Only names that this program makes: a mistaken LOCKSTEP_CACHE must not lose a user's files.
fn ours(path: &Path) -> Option<Entry> {
    let stem = path.file_stem()?.to_str()?;
    let ending = path.extension()?.to_str()?;
    let of = |start: &str, digits: fn(&u8) -> bool| {
        ending.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && rest.as_bytes().iter().all(digits))
    };
    let kind = match ending {
        PACKED => Kind::Packed,
        HASH => Kind::Other,
        _ if of(PROGRAM, u8::is_ascii_hexdigit) => Kind::Program,
        _ if of("tmp", u8::is_ascii_digit) => Kind::Other,
        _ => return None,
    };
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    is_hash(stem).then(|| Entry { path: path.to_owned(), bytes: metadata.len(), kind })
}

/// Removes what killed processes left of packing: temporary files whose process is gone.
pub fn sweep() {
    for entry in entries().unwrap_or_default() {
        let id = entry.path.extension().and_then(|kind| kind.to_str()?.strip_prefix("tmp"));
        // Only Linux tells cheaply whether a process lives; elsewhere `cache clear` is the broom.
        if id.is_some_and(|id| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists()) {
            let _ = std::fs::remove_file(&entry.path);
        }
    }
}
