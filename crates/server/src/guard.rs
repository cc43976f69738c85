//! What is checked of every request before its route, and said with every answer.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::{Meta, Shared, fresh_id};

/// Names the request, and lets it through where nothing is wrong with it.
pub(crate) async fn guard(State(_app): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = fresh_id("req_");
    let is_groq = request.uri().path().starts_with("/openai/");
    request.extensions_mut().insert(Meta { id: id.clone(), is_groq });
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
