//! What is checked of every request before its route, and said with every answer.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::Caller;
use crate::app::{App, Meta, Shared, fresh_id};
use crate::error::ApiError;
use crate::record::{self, Record};

/// Routes that need no key: whether the process lives and takes requests (probes have no key), and the playground's own
/// file.
const OPEN_PATHS: [&str; 3] = ["/health", "/ready", "/"];

/// Names the request, and lets it through where nothing is wrong with it.
pub(crate) async fn guard(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = fresh_id("req_");
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    // Before anything is waited for: a client that goes first gets its line, too.
    let mut record = Record::new(id.clone(), request.method().clone(), route.clone());
    record.trace = record::trace(request.headers());
    let mut response = match admit(&app, &request) {
        Ok(caller) => {
            record.caller = Arc::clone(&caller);
            let is_groq = request.uri().path().starts_with("/openai/");
            request.extensions_mut().insert(Meta { id: id.clone(), is_groq, caller });
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    app.metrics.answered(&route, response.status().as_u16());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    record.caller.tell(headers);
    record.follow(response)
}

fn admit(app: &App, request: &Request) -> Result<Arc<Caller>, ApiError> {
    let (headers, uri) = (request.headers(), request.uri());
    require_host(app, headers, uri)?;
    require_origin(app, headers)?;
    // A browser asks without a key whether it may ask with one.
    if OPEN_PATHS.contains(&uri.path()) || request.method() == Method::OPTIONS {
        return Ok(Caller::anyone());
    }
    app.gate.caller(headers)
}

/// A page elsewhere can give its own name our address (DNS rebinding); then the name is not ours.
fn require_host(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let host = match (uri.host(), headers.get(header::HOST)) {
        (Some(host), _) => host.to_owned(),
        (None, Some(value)) => host_of(value.to_str().unwrap_or_default()).to_owned(),
        (None, None) => return Err(ApiError::malformed("the header `host` is missing")),
    };
    let is_ours = host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        || app.options.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host));
    if is_ours {
        return Ok(());
    }
    let message = format!("{host:.100?} is not a name of this server: start it with --host NAME");
    Err(ApiError::new(403, "permission_error", "host_not_allowed", message))
}

/// The host of `host:port`.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Web pages of other origins may not ask, unless they were named.
fn require_origin(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_own = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    if is_own || app.options.cors_origins.iter().any(|known| known == origin) {
        return Ok(());
    }
    let message = format!("pages of {origin:.100?} may not ask: start the server with --cors-origin ORIGIN");
    Err(ApiError::new(403, "permission_error", "origin_not_allowed", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_no_part_of_a_host() {
        let cases = [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:b", "a:b"), ("", "")];
        for (authority, host) in cases {
            assert_eq!(host_of(authority), host);
        }
    }
}
