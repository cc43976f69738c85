//! `POST embeddings`.

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::Shared;
use crate::body;
use crate::error::ApiError;

/// Fields of a request for embeddings.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct EmbeddingFields {
    /// One of the names of `/v1/models`.
    pub(crate) model: String,
}

/// No model that is served gives embeddings: all are trained to continue text.
pub(crate) async fn embeddings(State(app): State<Shared>, request: Request) -> Result<(), ApiError> {
    let value = body::read_object(&app, request).await?;
    let fields: EmbeddingFields = body::fields(&value)?;
    app.require_model(&fields.model)?;
    let message = format!("{:.100} gives no embeddings: it continues text", fields.model);
    Err(ApiError::unsupported("model", message))
}
