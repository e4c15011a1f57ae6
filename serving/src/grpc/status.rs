//! The only place where an error becomes a gRPC status. Codes as Triton answers them.

use tonic::{Code, Status};

use crate::error::{ErrorKind, InferError};

/// The gRPC code of a kind of failure.
#[must_use]
pub const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::BadImage => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unavailable | ErrorKind::QueueFull | ErrorKind::QueueTimeout => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::RunFailed | ErrorKind::BadOutput | ErrorKind::Internal => Code::Internal,
        ErrorKind::Unimplemented => Code::Unimplemented,
    }
}

/// The status of a failed request with that id (may be empty).
#[must_use]
pub fn status(error: &InferError, id: &str) -> Status {
    Status::new(code(error.kind()), error.for_request(id))
}

impl From<InferError> for Status {
    fn from(error: InferError) -> Self {
        status(&error, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the wire contract's table.
    #[test]
    fn every_kind_has_the_code_that_triton_clients_expect() {
        let table = ErrorKind::ALL.map(|kind| (kind.label(), code(kind)));
        assert_eq!(
            table,
            [
                ("invalid_argument", Code::InvalidArgument),
                ("bad_image", Code::InvalidArgument),
                ("not_found", Code::NotFound),
                ("unavailable", Code::Unavailable),
                ("queue_full", Code::Unavailable),
                ("queue_timeout", Code::Unavailable),
                ("deadline_exceeded", Code::DeadlineExceeded),
                ("cancelled", Code::Cancelled),
                ("resource_exhausted", Code::ResourceExhausted),
                ("run_failed", Code::Internal),
                ("bad_output", Code::Internal),
                ("unimplemented", Code::Unimplemented),
                ("internal", Code::Internal),
            ]
        );
    }
}
