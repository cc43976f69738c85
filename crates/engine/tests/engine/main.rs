//! The engine over a toy backend whose logits depend on the whole text so far, so that any mistake in batching,
//! rolling back or starting again shows in a token, a log-probability or the digest.
#![allow(clippy::unwrap_used)]

mod faults;
mod prefix;
mod requests;
mod run;
mod service;
mod simulation;
mod speculation;
mod toy;
