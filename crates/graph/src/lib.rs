//! The tensor graph of one model step: what is computed, for any number of tokens, and nothing about where.
//!
//! In: nodes added through a [`Builder`], or a text ([`parse_graph`]). Out: a verified [`Graph`], its text form
//! (`Display`), and two meanings of it: in plain floating point ([`interpret`]) and in the arithmetic contract
//! ([`contract`], the reference that every backend must equal bit for bit). It knows no model names, no chips, no
//! cycles and no files. Start reading at [`Op`], then `shape.rs`, which holds every rule about a node.

mod builder;
pub mod contract;
mod error;
pub mod interpret;
mod op;
mod parse;
mod print;
mod shape;
mod verify;

pub use builder::Builder;
pub use error::{Error, Violation};
pub use op::{Graph, Node, NodeId, Op, Rotary, RotaryPairs, Weight, WeightId};
pub use parse::parse_graph;
pub use verify::verify;
