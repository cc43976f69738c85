//! Tools: what a client offers, the formats in which families of models call them, and calls out of an answer's text.

mod call;
mod format;
mod offer;
mod parser;
mod piece;
mod prompt;
mod rules;

pub use format::ToolFormat;
pub use offer::{Tool, ToolChoice};
pub use parser::ToolParser;
pub use piece::Piece;
pub(crate) use rules::{CallRules, call_rules};
