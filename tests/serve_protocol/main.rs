//! The wire contract over gRPC: what a client may send, what it gets, and how it is told what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bad_requests;
mod repository;
mod shared_memory;

use support::{Workspace, image};
use takt_proto::inference::*;

/// `classifier` as `m`, `two_inputs` as `pair`, and `broken`, which does not load.
fn models() -> Workspace {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier").add_unwarmed("pair", 1, "two_inputs");
    workspace.add_bytes("broken", 1, b"this is no model");
    workspace
}

fn changed(change: impl FnOnce(&mut ModelInferRequest)) -> ModelInferRequest {
    let mut request = image("m", 1);
    change(&mut request);
    request
}

fn typed(contents: InferTensorContents) -> impl FnOnce(&mut ModelInferRequest) {
    move |request| {
        request.raw_input_contents.clear();
        request.inputs[0].contents = Some(contents);
    }
}
