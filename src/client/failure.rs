//! Why a request has no answer, for people and for programs.

use std::fmt;

use serde::Serialize;
use tonic::{Code, Status};

/// Why an image has no prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// gRPC's name of the status, or `FILE` where the image could not be read, or `ANSWER` where the answer could not.
    pub code: String,
    /// What was found, what was expected and what to do.
    pub message: String,
}

impl Failure {
    /// The image cannot be read.
    pub fn file(error: &std::io::Error) -> Self {
        Self { code: "FILE".to_owned(), message: format!("cannot be read: {error}; expected an image file") }
    }

    /// The answer is not as the protocol says.
    pub fn answer(message: impl Into<String>) -> Self {
        Self { code: "ANSWER".to_owned(), message: message.into() }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // What the transport says when this side's own time is up; it calls that CANCELLED.
        let expired = status.message() == "Timeout expired";
        let code = if expired { Code::DeadlineExceeded } else { status.code() };
        let message = match status.message() {
            _ if expired => {
                "no answer in time; give it longer with --timeout SECONDS, or look at the server's load with `takt models \
                 status MODEL`"
            }
            "" => "the server gave no reason",
            message => message,
        };
        Self { code: name(code), message: message.to_owned() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// A status as an error of a command.
pub fn told(status: Status) -> anyhow::Error {
    anyhow::Error::msg(Failure::from(status).to_string())
}

/// The name that the gRPC specification gives a code.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_specifications_names() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Ok), "OK");
    }
}
