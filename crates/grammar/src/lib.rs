//! Which tokens may come next, so that an answer is JSON, fits a schema, or is a call of a tool; and the way back from
//! an answer's text to calls.
//!
//! In: a tokenizer; JSON schemas and tools as clients send them, both untrusted; tokens one by one; text piece by piece.
//! Out: sets of allowed tokens; content and calls.
//! It does not know: models, sampling, HTTP, identifiers of calls.
//!
//! Start reading at [`Vocabulary`], which is made once for a model and compiles a [`Grammar`] into the [`Matcher`] of
//! one answer. `schema` is what stands between a client's schema and `llguidance`: it refuses what cannot be held, and
//! bounds the rest. `tools` knows the formats in which families of models write calls.

mod error;
mod grammar;
mod matcher;
mod schema;
mod tools;
mod vocabulary;

pub use error::Error;
pub use grammar::Grammar;
pub use matcher::Matcher;
pub use tools::{Piece, Tool, ToolChoice, ToolFormat, ToolParser};
pub use vocabulary::Vocabulary;
