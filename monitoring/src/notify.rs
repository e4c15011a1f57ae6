//! Alerts on their way to people: what is sent, and what waits while nobody can be reached.
//!
//! A [`message`] is what Alertmanager sends to a webhook, so whatever takes its alerts takes ours. It goes into a [`Queue`]
//! on the disk, whose oldest makes room; [`wait`] says when a receiver that did not answer is tried again. Who sends is not
//! here: there is no transport in this crate.

mod backoff;
mod message;
mod queue;

pub use backoff::wait;
pub use message::{Origin, message};
pub use queue::{Dropped, Queue};
