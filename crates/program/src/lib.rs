//! Compiled programs: what they hold, how they are written to files and text, and the verifier that trusts nobody.
//!
//! In: instructions placed on queues and cycles (by hand, by an assembler text, by a compiler). Out: a [`Program`] with
//! memory images, bindings, blocks, instances, flow edges and predicted cycles; its file and text forms; and the list of
//! all its violations. It knows no graphs, not how a program was scheduled, and not how it is run. Start reading at
//! [`program`], then [`issues`] (what a queue's text issues when), then [`mod@file`] and [`text`].

pub mod builder;
pub mod check;
pub mod derive;
pub mod explain;
pub mod file;
pub mod form;
mod interval;
pub mod issues;
pub mod mutate;
pub mod program;
pub mod text;
pub mod verify;

pub use derive::derive;
pub use explain::explain;
pub use program::Program;
pub use verify::verify;
