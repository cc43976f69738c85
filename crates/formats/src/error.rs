//! Why bytes are not a model file; every message is one line that names the thing and the remedy.

/// Failures of the readers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not this format, or a version of it that is not read.
    #[error("{0}")]
    Format(String),
    /// The bytes end too early.
    #[error("{what}: needs {needed} bytes, the file has {left} left: it is truncated or damaged, download it again")]
    Truncated {
        /// What was being read.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// A value that contradicts the file itself.
    #[error("{what}: {problem}: the file is damaged, download it again")]
    Damaged {
        /// The key, tensor or offset.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor type that is not read.
    #[error("tensor {tensor}: type {found} is not supported: choose a file in one of {supported}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The type's number or name.
        found: String,
        /// The types that are read.
        supported: String,
    },
}

impl Error {
    pub(crate) fn damaged(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), problem: problem.into() }
    }
}
