//! Answers that are sent piece by piece, as server-sent events.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;

use crate::error::ApiError;
use crate::generation::{Generation, Step};

/// How one route tells an answer.
pub(crate) trait Frames: Send + 'static {
    /// Before the first token.
    fn begin(&mut self, frames: &mut Written);
    /// With each step; the last one ends the stream.
    fn step(&mut self, generation: &Generation, step: Step, frames: &mut Written);
    /// Instead of the rest, where it breaks: clients take silence for success.
    fn fail(&mut self, error: &ApiError, frames: &mut Written) {
        frames.line(&error.json());
    }
}

/// Events, written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Written(String);

impl Written {
    /// An event without a name.
    pub(crate) fn data(&mut self, value: &impl Serialize) {
        self.line(&serde_json::to_string(value).unwrap_or_default());
    }

    /// An event with a name.
    pub(crate) fn event(&mut self, name: &str, value: &impl Serialize) {
        self.0.push_str("event: ");
        self.0.push_str(name);
        self.0.push('\n');
        self.data(value);
    }

    /// The last event.
    pub(crate) fn done(&mut self) {
        self.line("[DONE]");
    }

    fn line(&mut self, data: &str) {
        self.0.push_str("data: ");
        self.0.push_str(data);
        self.0.push_str("\n\n");
    }
}

enum Phase {
    Begin,
    Steps,
    Over,
}

/// The response that sends `frames` of a generation as it goes. Dropped by whoever sends it, it takes the request back.
pub(crate) fn respond(generation: Generation, frames: impl Frames) -> Response {
    let state = (generation, frames, Phase::Begin);
    let body = stream::unfold(state, |(mut generation, mut frames, phase)| async move {
        let mut written = Written::default();
        let phase = match phase {
            Phase::Begin => {
                frames.begin(&mut written);
                Phase::Steps
            }
            Phase::Steps => steps(&mut generation, &mut frames, &mut written).await,
            Phase::Over => return None,
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(written.0)), (generation, frames, phase)))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of nginx's kind would gather pieces.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Waits for a step, and takes those that came with it.
async fn steps(generation: &mut Generation, frames: &mut impl Frames, written: &mut Written) -> Phase {
    let mut next = Some(generation.next().await);
    while let Some(step) = next {
        match step {
            Ok(step) => {
                let is_over = matches!(step, Step::End(_));
                frames.step(generation, step, written);
                if is_over {
                    return Phase::Over;
                }
            }
            Err(error) => {
                frames.fail(&error, written);
                return Phase::Over;
            }
        }
        next = generation.next_now();
    }
    Phase::Steps
}
