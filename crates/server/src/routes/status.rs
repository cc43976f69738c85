//! What the server tells of itself.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::Shared;
use crate::error::ApiError;
use crate::metrics::Form;
use crate::types::model::{Status, Version};

/// Whether the process works.
pub(crate) async fn health(State(app): State<Shared>) -> Result<Json<Status>, ApiError> {
    if app.runner.is_well() {
        Ok(Json(Status { status: "ok" }))
    } else {
        Err(ApiError::unavailable("engine_failed", "the engine does not work: start the server again"))
    }
}

/// Whether it takes requests.
pub(crate) async fn ready(State(app): State<Shared>) -> Result<Json<Status>, ApiError> {
    app.require_open()?;
    health(State(app)).await
}

/// Which program and model this is.
pub(crate) async fn version(State(app): State<Shared>) -> Json<Version> {
    let system_fingerprint = app.model.fingerprint.clone();
    Json(Version { version: env!("CARGO_PKG_VERSION"), system_fingerprint })
}

/// Counts and times for a scraper.
pub(crate) async fn metrics(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (form, gauges) = (Form::asked(&headers), &app.runner.gauges);
    let steps = gauges.steps.load(Ordering::Relaxed) as u64;
    let text = app.metrics.text(form, &gauges.load(), steps, app.runner.is_well());
    let text = text.map_err(|_| ApiError::internal("the metrics cannot be written"))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()))], text).into_response())
}
