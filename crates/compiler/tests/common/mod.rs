//! What the tests share.
#![allow(missing_docs, unreachable_pub)]

pub mod model;
