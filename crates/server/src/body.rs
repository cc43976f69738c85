//! From a request's bytes to its fields.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::app::App;
use crate::error::ApiError;

/// A request's fields, where they are of one type.
pub(crate) async fn read<T: DeserializeOwned + PartialSchema>(app: &App, request: Request) -> Result<T, ApiError> {
    let value = read_object(app, request).await?;
    require_known(app, &value, &[names_of::<T>()])?;
    fields(&value)
}

/// A request's fields, where they are of two types.
pub(crate) async fn read_both<A, B>(app: &App, request: Request) -> Result<(A, B), ApiError>
where
    A: DeserializeOwned + PartialSchema,
    B: DeserializeOwned + PartialSchema,
{
    let value = read_object(app, request).await?;
    require_known(app, &value, &[names_of::<A>(), names_of::<B>()])?;
    Ok((fields(&value)?, fields(&value)?))
}

/// Reads a body within its bounds and parses it as a JSON object.
pub(crate) async fn read_object(app: &App, request: Request) -> Result<Value, ApiError> {
    let (parts, body) = request.into_parts();
    require_json(&parts.headers)?;
    let limits = &app.options.limits;
    let bytes = read_bytes(&parts.headers, body, limits.body_bytes, limits.body_time).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::malformed(format!("the body is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(ApiError::malformed("the body must be a JSON object"));
    }
    Ok(value)
}

/// Other types need no preflight, so that any web page could send them.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::malformed("send the header `content-type: application/json`"))
}

/// All bytes of a body, at most so many and within this time.
pub(crate) async fn read_bytes(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body has more than {most} bytes");
        ApiError::new(413, "invalid_request_error", "request_too_large", message)
    };
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Of the two reasons only the length can be told to anybody: a broken connection has no reader.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let message = format!("the body did not arrive within {} seconds", time.as_secs());
            Err(ApiError::new(408, "invalid_request_error", "request_timeout", message))
        }
    }
}

/// The fields of one type; an error names the one that is wrong.
pub(crate) fn fields<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            let param = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
            let message = format!("{param} is missing");
            return ApiError::new(400, "invalid_request_error", "missing_required_parameter", message).of(&param);
        }
        let param = if path == "." { "" } else { &path };
        let shown: String = message.chars().take(300).collect();
        ApiError::new(400, "invalid_request_error", "invalid_type", format!("{param}: {shown}")).of(param)
    })
}

/// Where unknown fields are to be refused: those that none of the lists has.
fn require_known(app: &App, value: &Value, known: &[Vec<String>]) -> Result<(), ApiError> {
    if !app.options.strict_params {
        return Ok(());
    }
    let names = value.as_object().into_iter().flat_map(serde_json::Map::keys);
    for name in names {
        if !known.iter().flatten().any(|known| known == name) {
            let message = format!("{name:.60?} is not a parameter of this route");
            return Err(ApiError::new(400, "invalid_request_error", "unknown_parameter", message).of(name));
        }
    }
    Ok(())
}

/// The names of a type's fields, from its description.
fn names_of<T: PartialSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}
