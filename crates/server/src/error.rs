//! Errors as clients of the API expect them: `{"error": {message, type, param, code}}` with a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockstep_engine::SubmitError;
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal or a failure.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// Boxed: results are moved often, errors seldom.
    pub(crate) body: Box<ErrorBody>,
    pub(crate) retry_after: Option<u64>,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// One line for people, that says what to change.
    pub(crate) message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The parameter that is wrong.
    pub(crate) param: Option<String>,
    /// The error for programs.
    pub(crate) code: Option<&'static str>,
    /// What the model wrote, where that is not what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_generation: Option<String>,
}

/// An error answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorResponse {
    pub(crate) error: ErrorBody,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody { message: message.into(), kind, param: None, code: Some(code), failed_generation: None };
        Self { status, body: Box::new(body), retry_after: None }
    }

    /// The request cannot be answered as it is.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "invalid_value", message).of(param)
    }

    /// The body is no request.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "invalid_json", message)
    }

    /// Something that this server does not do.
    pub(crate) fn unsupported(param: &str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "unsupported_parameter", message).of(param)
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(404, "invalid_request_error", code, message)
    }

    /// A fault of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "server_error", "internal_error", message)
    }

    /// Not at the moment.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(503, "service_unavailable", code, message).retry(5)
    }

    /// More than the context holds. Clients know this error by the sentence that it begins with.
    pub(crate) fn too_long(context: usize, room: &str) -> Self {
        let message = format!("this model's maximum context length is {context} tokens: {room}");
        Self::new(400, "invalid_request_error", "context_length_exceeded", message)
    }

    /// Too much at once.
    pub(crate) fn busy(code: &'static str, message: impl Into<String>, seconds: u64) -> Self {
        Self::new(429, "rate_limit_error", code, message).retry(seconds)
    }

    pub(crate) fn of(mut self, param: &str) -> Self {
        self.body.param = (!param.is_empty()).then(|| param.to_owned());
        self
    }

    fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The error as a stream tells it.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&ErrorResponse { error: (*self.body).clone() }).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorResponse { error: *self.body })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // What took too long once takes too long again.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::PromptEmpty => Self::invalid("prompt", message),
            SubmitError::PromptTooLong { tokens, context } => {
                let room = format!("the prompt has {tokens}, and an answer needs one more: shorten the prompt");
                Self::too_long(context, &room)
            }
            SubmitError::UnknownToken { what, .. } => Self::invalid(parameter_of(what), message),
            SubmitError::Parameter { name, .. } => Self::invalid(name, message),
            SubmitError::QueueFull { .. } => Self::busy("queue_full", message, 1),
            SubmitError::NoRoom => Self::new(498, "capacity_exceeded", "flex_capacity_exceeded", message),
        }
    }
}

/// The field that the engine's words stand for.
fn parameter_of(what: &str) -> &'static str {
    match what {
        "stop token" => "stop_token_ids",
        "logit_bias token" => "logit_bias",
        _ => "prompt",
    }
}
