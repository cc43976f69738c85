//! Which address does what.

mod chat;
mod completion_frames;
mod completions;
pub(crate) mod embeddings;
mod models;
mod response_frames;
mod responses;
mod status;
mod tokenize;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

use crate::app::Shared;
use crate::error::ApiError;
use crate::{openapi, playground};

/// All routes.
pub(crate) fn router() -> Router<Shared> {
    let api = Router::new()
        .route("/chat/completions", post(chat::chat_completions))
        .route("/completions", post(completions::completions))
        .route("/responses", post(responses::responses))
        .route("/embeddings", post(embeddings::embeddings))
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::one));
    Router::new()
        .nest("/v1", api.clone())
        .nest("/openai/v1", api)
        .route("/", get(playground::page))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .route("/tokenizer_info", get(tokenize::tokenizer_info))
        .route("/openapi.json", get(openapi::openapi))
        .route("/metrics", get(status::metrics))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/version", get(status::version))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::not_found("unknown_url", format!("nothing is at {path}: see /openapi.json for what there is"))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    let message = format!("{path} does not take {method}: see /openapi.json");
    ApiError::new(405, "invalid_request_error", "method_not_allowed", message)
}
