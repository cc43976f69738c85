//! What the tests share.
#![allow(missing_docs, unreachable_pub)]

pub mod chip;
pub mod decoder;
pub mod host;
pub mod layer;
pub mod model;
pub mod random;
pub mod sequence;
pub mod sources;
