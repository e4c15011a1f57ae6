//! The only place where an error becomes an HTTP status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{ErrorKind, InferError};

/// Nginx's code for a client that went away; nobody is there to read it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The status of a kind of failure.
#[must_use]
pub fn code(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::BadImage => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unavailable | ErrorKind::QueueFull | ErrorKind::QueueTimeout => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Cancelled => StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::RunFailed | ErrorKind::BadOutput | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
    }
}

/// An answer that says why there is none: `{"error": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The status.
    pub status: StatusCode,
    /// What was found, what was expected, what to do.
    pub message: String,
}

impl Failure {
    /// A failure that the core knows nothing of: an unknown route, a body of the wrong form.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The failure of the request with that id (may be empty).
    #[must_use]
    pub fn of(error: &InferError, id: &str) -> Self {
        Self::new(code(error.kind()), error.for_request(id))
    }
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        Self::of(&error, "")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({ "error": self.message }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let table = ErrorKind::ALL.map(|kind| (kind.label(), code(kind).as_u16()));
        assert_eq!(
            table,
            [
                ("invalid_argument", 400),
                ("bad_image", 400),
                ("not_found", 404),
                ("unavailable", 503),
                ("queue_full", 503),
                ("queue_timeout", 503),
                ("deadline_exceeded", 504),
                ("cancelled", 499),
                ("resource_exhausted", 429),
                ("run_failed", 500),
                ("bad_output", 500),
                ("unimplemented", 501),
                ("internal", 500),
            ]
        );
    }
}
