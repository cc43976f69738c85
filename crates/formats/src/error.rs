//! Why bytes are not a model file; every message is one line that names the thing and the remedy.

use std::fmt::Display;

/// Failures of the readers. Text that comes from the file is escaped and cut, so that a message stays one short line.
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
    /// A metadata value of another type than its key stands for.
    #[error("{key}: found {found}, expected {expected}: the file is damaged, download it again or choose another")]
    ValueType {
        /// The metadata key.
        key: String,
        /// What was found.
        found: String,
        /// What the key stands for.
        expected: &'static str,
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
    pub(crate) fn damaged(what: impl Display, problem: impl Display) -> Self {
        Self::Damaged { what: shown(what), problem: shown(problem) }
    }

    pub(crate) fn truncated(what: impl Display, needed: u64, left: usize) -> Self {
        Self::Truncated { what: shown(what), needed, left: left as u64 }
    }
}

/// Longest text from a file in a message, in characters after escaping.
const SHOWN_MAX: usize = 200;

/// Text made fit for one line: control characters escaped, long texts cut.
pub(crate) fn shown(text: impl Display) -> String {
    let (mut line, mut length) = (String::new(), 0);
    for c in text.to_string().chars() {
        // U+2028 and U+2029 end a line too, without being control characters.
        let escaped = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        length += if escaped { c.escape_default().count() } else { 1 };
        if length > SHOWN_MAX {
            line.push_str("...");
            break;
        }
        if escaped {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
