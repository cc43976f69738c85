//! Answers that are sent piece by piece, as server-sent events.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;

use crate::error::ApiError;
use crate::generation::{Generation, Step};

/// How one route tells its answers.
pub(crate) trait Frames: Send + 'static {
    /// Before the first token.
    fn begin(&mut self, frames: &mut Written);
    /// With each step of answer `index`.
    fn step(&mut self, index: usize, generation: &Generation, step: Step, frames: &mut Written);
    /// After the last answer.
    fn finish(&mut self, frames: &mut Written);
    /// Instead of the rest, where it breaks: clients take silence for success.
    fn fail(&mut self, error: &ApiError, frames: &mut Written) {
        frames.error(error);
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

    /// Why the stream breaks.
    pub(crate) fn error(&mut self, error: &ApiError) {
        self.line(&error.json());
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
    Answer(usize),
    Over,
}

/// The response that sends `frames` of generations as they go, one after the other. Dropped by whoever sends it, it takes
/// the requests back.
pub(crate) fn respond(generations: Vec<Generation>, frames: impl Frames) -> Response {
    let state = (generations, frames, Phase::Begin);
    let body = stream::unfold(state, |(mut generations, mut frames, phase)| async move {
        let mut written = Written::default();
        let phase = match phase {
            Phase::Begin => {
                frames.begin(&mut written);
                Phase::Answer(0)
            }
            Phase::Answer(index) => {
                if let Some(generation) = generations.get_mut(index) {
                    steps(index, generation, &mut frames, &mut written).await
                } else {
                    frames.finish(&mut written);
                    Phase::Over
                }
            }
            Phase::Over => return None,
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(written.0)), (generations, frames, phase)))
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
async fn steps(index: usize, generation: &mut Generation, frames: &mut impl Frames, written: &mut Written) -> Phase {
    let mut next = Some(generation.next().await);
    while let Some(step) = next {
        let step = match step {
            Ok(step) => step,
            Err(error) => {
                frames.fail(&error, written);
                return Phase::Over;
            }
        };
        let is_over = matches!(step, Step::End(_));
        frames.step(index, generation, step, written);
        if is_over {
            return Phase::Answer(index + 1);
        }
        next = generation.next_now();
    }
    Phase::Answer(index)
}
