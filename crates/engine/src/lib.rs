//! Requests to tokens: batching, sampling, speculation, stop rules, over any [`Backend`].
//!
//! In: requests and a backend. Out: events. It knows no HTTP, no async runtime and not which backend it drives; the
//! clock and the seeds are given to it, so a test can replay a whole run. Start reading at [`Backend`].

mod backend;

pub use backend::{Backend, BackendError, SequenceId, StepItem, StepOutput};
