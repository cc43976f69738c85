//! The line that the log gets of each request, once its answer has been sent or its client has gone. What was asked and
//! answered is never in it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use crate::access::Caller;

/// What the line says; it is written when this is dropped.
pub(crate) struct Record {
    request: String,
    method: Method,
    /// As it is registered: what clients put into addresses is not told.
    route: String,
    /// None where the client went before there was one.
    status: Option<u16>,
    pub(crate) caller: Arc<Caller>,
    /// As the client sent it, so that its traces go on here.
    pub(crate) trace: Option<String>,
    is_whole: bool,
}

impl Record {
    /// Of a request of which nothing more is known yet.
    pub(crate) fn new(request: String, method: Method, route: String) -> Self {
        Self { request, method, route, status: None, caller: Caller::anyone(), trace: None, is_whole: false }
    }

    /// The same response, which writes the line at its end.
    pub(crate) fn follow(mut self, response: Response) -> Response {
        self.status = Some(response.status().as_u16());
        // Nothing is sent of what answers HEAD.
        self.is_whole = self.method == Method::HEAD || response.body().is_end_stream();
        response.map(|body| Body::new(Followed { body, record: self }))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let (prompt_tokens, completion_tokens) = self.caller.tokens();
        tracing::info!(
            request = self.request,
            method = %self.method,
            route = self.route,
            status = self.status,
            trace = self.trace.as_deref(),
            key = self.caller.name(),
            prompt_tokens,
            completion_tokens,
            first_token_ms = self.caller.first_token().map(milliseconds),
            total_ms = milliseconds(self.caller.arrival.elapsed()),
            whole = self.is_whole,
            "answered"
        );
    }
}

/// The header `traceparent`, where it is one: version, trace, span and flags in hexadecimal.
pub(crate) fn trace(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_one = lengths == [2, 32, 16, 2] && parts.iter().all(is_hex) && parts[0] != "ff";
    let names_something = is_one && [parts[1], parts[2]].iter().all(|id| id.bytes().any(|byte| byte != b'0'));
    names_something.then(|| text.to_owned())
}

struct Followed {
    body: Body,
    record: Record,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.record.is_whole = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_a_well_formed_trace_is_taken_over() {
        let taken = |text: &'static str| {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static("traceparent"),
                HeaderValue::from_static(text),
            )]);
            trace(&headers).is_some()
        };
        assert!(taken("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(!taken(bad), "{bad}");
        }
        assert!(trace(&HeaderMap::new()).is_none());
    }
}
