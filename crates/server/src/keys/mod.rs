//! Keys with names, limits and usage, in a SQLite file. Only hashes of keys are kept.

mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use subtle::ConstantTimeEq;

pub use store::KeyStore;

/// How keys begin.
const PREFIX: &str = "lsk_";
/// Random bytes of a key.
const SECRET_BYTES: usize = 32;
/// Longest name of a key, in characters.
const NAME_MAX: usize = 100;

/// Why keys cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no file.
    #[error("{}: there is no such file of keys: make it with `lockstep keys add NAME --keys FILE`", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("{}: not a file of keys that this version knows: give one that `lockstep keys add` made", .0.display())]
    Foreign(PathBuf),
    /// It cannot be made.
    #[error("{}: cannot be made: {error}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The database.
    #[error("the file of keys: {0}")]
    File(#[from] rusqlite::Error),
    /// A key of this name is there.
    #[error("there is a key named {0:?} already: revoke it, or choose another name")]
    Taken(String),
    /// No such key.
    #[error("there is no key named {0:?} that is not revoked: see `lockstep keys list`")]
    Unknown(String),
    /// A name that cannot be told from others.
    #[error("{0:?} is no name for a key: give 1 to 100 characters without control characters")]
    Name(String),
    /// No random numbers.
    #[error("no key can be drawn: the system gives no random numbers")]
    Random,
}

/// What a key may use; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u64>,
}

/// A key, without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its limits.
    pub limits: KeyLimits,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was revoked, in seconds since 1970.
    pub revoked: Option<i64>,
}

/// What a key used on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key's name.
    pub name: String,
    /// The day in UTC, as `YYYY-MM-DD`.
    pub day: String,
    /// Requests that the engine took.
    pub requests: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
}

/// What requests used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) key: i64,
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

/// The hash that stands for a key. Keys are 256 random bits, which nobody can guess: a slow hash would add nothing.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(crate) fn of(key: &str) -> Self {
        Self(blake3::derive_key("lockstep 2025 API key", key.as_bytes()))
    }

    /// Takes the same time wherever they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A fresh key.
fn draw() -> Result<String, KeysError> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|_| KeysError::Random)?;
    Ok(secret.iter().fold(PREFIX.to_owned(), |key, byte| format!("{key}{byte:02x}")))
}

fn require_name(name: &str) -> Result<(), KeysError> {
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(KeysError::Name(name.chars().take(NAME_MAX).collect()));
    }
    Ok(())
}
