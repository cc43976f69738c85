//! Vector and matrix units against the arithmetic contract, bit for bit, through programs that are built, verified,
//! linked and run.
#![allow(missing_docs, clippy::unwrap_used)]

mod bench;
mod contract;
mod matrices;
mod operations;
mod reductions;
