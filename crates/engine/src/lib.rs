//! Requests to tokens: batching, sampling, speculation, stop rules, over any [`Backend`].
//!
//! In: requests and a backend. Out: events. It knows no HTTP, no async runtime and not which backend it drives; the
//! clock and the seeds are given to it, so a test can replay a whole run. Start reading at [`Engine::step`], then
//! [`sampling`] for how a token is drawn.
//!
//! What a request answers depends on the request alone: not on what runs beside it, on how its prompt is cut into
//! steps, on guesses, or on its sequence having been dropped for lack of memory and built again.

mod admission;
mod backend;
mod clock;
mod constraint;
mod digest;
mod engine;
mod event;
mod lookup;
mod options;
mod prefix;
mod request;
pub mod sampling;
mod schedule;
mod speculation;
mod stop;
mod submit;
mod task;
mod text;
mod validate;

pub use backend::{Backend, BackendError, SequenceId, StepItem, StepOutput};
pub use clock::{Clock, SystemClock};
pub use constraint::Constraint;
pub use digest::{LogitsDigest, LogitsObserver};
pub use engine::Engine;
pub use event::{Event, FinishReason, TokenLogprobs, Usage};
pub use options::{EngineOptions, Load};
pub use request::{Attached, Request, RequestId, SamplingParams, ServiceTier};
pub use text::{Detokenizer, NoText, TextStream};
pub use validate::SubmitError;
