//! What the end-to-end tests share: a folder with a repository and a state directory, a server started through the
//! binary on ports that the system chooses, and a client.
//!
//! Models are the small ones of the backend's tests: `classifier`, `nameless_batch` and `traced_shapes` have the same
//! input and output and other weights, so that they stand for three versions of one model with three digests.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

mod ask;
mod http;
pub mod rollouts;
mod server;
mod workspace;

use std::time::Duration;

pub use ask::*;
pub use http::*;
pub use server::*;
pub use workspace::*;

/// Longest wait for anything that should come soon, on a slow and busy machine.
pub const SOON: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);
