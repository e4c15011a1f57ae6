//! Why a request got no answer. Small enough to be mapped to gRPC and HTTP in one table each.

use std::fmt;

/// Class of a failure: decides the status code and labels the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; sending it again cannot help.
    InvalidArgument,
    /// An encoded image could not be turned into a tensor.
    BadImage,
    /// No model or version of that name.
    NotFound,
    /// The model exists and cannot answer now.
    Unavailable,
    /// The model's queue is full.
    QueueFull,
    /// The request waited longer than its queue timeout allows.
    QueueTimeout,
    /// The client's own deadline passed.
    DeadlineExceeded,
    /// The client went away.
    Cancelled,
    /// A server-wide limit (in-flight bytes, connections) is reached.
    ResourceExhausted,
    /// The runtime failed on this request.
    RunFailed,
    /// The model gave what is no answer: outputs of another shape than it promises, or no numbers.
    BadOutput,
    /// The protocol knows it and this server does not do it.
    Unimplemented,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// Every kind, for declaring metric labels.
    pub const ALL: [Self; 13] = [
        Self::InvalidArgument,
        Self::BadImage,
        Self::NotFound,
        Self::Unavailable,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::ResourceExhausted,
        Self::RunFailed,
        Self::BadOutput,
        Self::Unimplemented,
        Self::Internal,
    ];

    /// Stable label for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::BadImage => "bad_image",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::ResourceExhausted => "resource_exhausted",
            Self::RunFailed => "run_failed",
            Self::BadOutput => "bad_output",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
        }
    }
}

/// A failed request: its kind, and a sentence for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferError {
    kind: ErrorKind,
    message: String,
    run: Option<u64>,
}

impl InferError {
    /// An error of that kind; `message` names what was found, what was expected and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), run: None }
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// The same, of the run with that number: failures of one run are one event.
    #[must_use]
    pub const fn of_run(mut self, run: u64) -> Self {
        self.run = Some(run);
        self
    }

    /// The run that failed, where one did.
    #[must_use]
    pub const fn run(&self) -> Option<u64> {
        self.run
    }

    /// Its class.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence alone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence as it goes to the client, behind the request's id when it had one.
    #[must_use]
    pub fn for_request(&self, id: &str) -> String {
        if id.is_empty() { self.message.clone() } else { format!("[request id: {id}] {}", self.message) }
    }
}

impl fmt::Display for InferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InferError {}
