//! Tools: what a client offers, the formats in which families of models call them, and calls out of an answer's text.

mod call;
mod format;
mod offer;
mod parser;
mod prompt;
mod rules;

pub use format::ToolFormat;
pub use offer::{Tool, ToolChoice};
pub use parser::{Piece, ToolParser};
pub(crate) use rules::{CallRules, call_rules};
