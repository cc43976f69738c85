//! The line that the log gets of each request, once its answer has been sent or its client has gone. What was asked and
//! answered is never in it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Method;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use crate::access::Caller;

/// What the line says; it is written when this is dropped.
pub(crate) struct Record {
    pub(crate) request: String,
    pub(crate) method: Method,
    /// As it is registered: what clients put into addresses is not told.
    pub(crate) route: String,
    pub(crate) status: u16,
    pub(crate) caller: Arc<Caller>,
    is_whole: bool,
}

impl Record {
    pub(crate) fn new(request: String, method: Method, route: String, status: u16, caller: Arc<Caller>) -> Self {
        Self { request, method, route, status, caller, is_whole: false }
    }

    /// The same response, which writes the line at its end.
    pub(crate) fn follow(mut self, response: Response) -> Response {
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
