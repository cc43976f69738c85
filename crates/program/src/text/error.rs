//! What is wrong with a text: all of it, each with its place and a hint.

use std::fmt;

/// More errors than this are not listed.
pub(super) const ERRORS_MAX: usize = 200;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do, or nothing.
    pub hint: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let semicolon = if self.hint.is_empty() { "" } else { "; " };
        write!(f, "{}:{}: {}{semicolon}{}", self.line, self.column, self.message, self.hint)
    }
}

/// All that is wrong with a text, in the order of its lines; one line for each, without a line's end after the last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TextErrors(pub Vec<TextError>);

impl fmt::Display for TextErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

/// What is wrong within a line.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Bytes of the line before it.
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Wrong {
    pub(super) fn new(offset: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { offset, message: message.into(), hint: hint.into() }
    }

    /// The error, in this line.
    pub(super) fn at(self, line: usize, text: &str) -> TextError {
        let before = text.get(..self.offset).unwrap_or(text);
        TextError { line, column: before.chars().count() + 1, message: self.message, hint: self.hint }
    }
}
