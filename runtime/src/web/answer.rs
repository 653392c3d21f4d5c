//! Answers that all routes share: JSON, and refusals that say what was expected, what was found, and what to do.

use crate::ingest::Refused;
use crate::web::control::ControlError;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_engine::query::QueryError;

/// A refusal, as `{"error":{"message":…}}`.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    error: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Failure {
    /// A refusal with this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("message".into(), Value::String(message.into()));
        Self { status, error, retry_after: None }
    }

    /// Says more under a name of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.error.insert(name.into(), value.into());
        self
    }

    /// The same request may succeed after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is said to a person.
    pub fn message(&self) -> &str {
        self.error.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// 400: the request itself is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 413: it is more than is read.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {limit} bytes: send it in parts"),
        )
        .with("limit", limit)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json_with(self.status, &serde_json::json!({ "error": self.error }));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let failure = Self::new(status, refused.to_string()).with("reason", refused.reason());
        match refused {
            Refused::TooLarge { .. } => failure,
            Refused::Overloaded { .. } => failure.retry_after(1),
            Refused::Log(_) | Refused::Stopping => failure.retry_after(5),
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::NotFound(_) => StatusCode::NOT_FOUND,
            ControlError::Conflict(_) => StatusCode::CONFLICT,
            ControlError::Stale { .. } => StatusCode::PRECONDITION_FAILED,
            ControlError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let failure = Self::new(status, error.to_string());
        match error {
            ControlError::Busy(_) => failure.retry_after(1),
            ControlError::Stale { generation, by, at, .. } => {
                failure.with("generation", generation).with("by", by).with("at", at)
            }
            ControlError::Invalid(_) | ControlError::NotFound(_) | ControlError::Conflict(_) => failure,
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::bad(error.message).with("span", vec![error.span.start, error.span.end]).with("help", error.help)
    }
}

/// 200 with a value as JSON.
pub fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

/// A value as JSON with this status.
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            json_bytes(
                StatusCode::INTERNAL_SERVER_ERROR,
                br#"{"error":{"message":"internal error"}}"#.to_vec(),
            )
        }
    }
}

/// Bytes that are JSON already.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, bytes.into()).into_response()
}
