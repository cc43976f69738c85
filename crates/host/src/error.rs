//! Why the host cannot do what was asked; every message is one line with its remedy.

use std::path::Path;

/// Failures of the host backend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the cache cannot be read or written.
    #[error("{path}: {problem}: make room and check its permissions, or set LOCKSTEP_CACHE to another folder")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
    /// A file of the cache is not what its name says.
    #[error("{path}: damaged packed weights: run `lockstep cache clear`")]
    Cache {
        /// The file.
        path: String,
    },
    /// A tensor cannot be imported.
    #[error("tensor {tensor}: {source}")]
    Import {
        /// The tensor.
        tensor: String,
        /// Why.
        source: lockstep_arith::import::ImportError,
    },
    /// A weight's values cannot be used.
    #[error(transparent)]
    Model(#[from] lockstep_models::Error),
    /// The graph has a part that this backend does not run.
    #[error("the host does not run this graph: {0}")]
    Unsupported(String),
    /// No room for a sequence.
    #[error("no memory for a sequence of {0} tokens: choose a shorter --context")]
    Memory(usize),
    /// The number environment is not the contract's.
    #[error("{0}")]
    Environment(String),
}

impl Error {
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), problem: error.to_string() }
    }
}
