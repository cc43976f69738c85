//! What the server tells of itself.

use axum::Json;
use axum::extract::State;

use crate::app::Shared;
use crate::error::ApiError;
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
