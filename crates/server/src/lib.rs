//! An OpenAI-compatible server around an engine.
//!
//! In: a [`Served`] model and [`ServerOptions`]. Out: HTTP answers that existing clients understand. It does not know
//! which backend computes, how programs are compiled, environment variables, or where files lie.
//!
//! Start reading at [`serve()`]; `routes` says which address does what, `runner` is the way to the engine's own thread,
//! `generation` one answer while it is made, `sse` how it is sent piece by piece, `types` what goes over the wire.

mod access;
mod app;
mod body;
mod calls;
mod echo;
mod error;
mod generation;
mod guard;
mod impatient;
mod keys;
mod listen;
mod logprobs;
mod metrics;
mod openapi;
mod plan;
mod playground;
mod pool;
mod prompt;
mod record;
mod routes;
mod runner;
mod serve;
mod served;
mod sse;
mod start_error;
mod types;

pub use keys::{Key, KeyLimits, KeyStore, KeyUsage, KeysError};
pub use serve::serve;
pub use served::{Access, Limits, LpuClock, LpuTime, Served, ServedModel, ServerOptions};
pub use start_error::StartError;
