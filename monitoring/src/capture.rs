//! Images worth keeping: what the model was unsure of, got wrong or had not seen, for people to label and models to learn.
//!
//! ```text
//! <dir>/<sha256>.jpg       the image as the client sent it
//! <dir>/<sha256>.json      why it was kept, and the outcome
//! ```
//!
//! Each image is kept once, for the best reason that was given. Bytes are bounded, in all and by reason: the oldest image
//! of the fullest reason goes first, so that a flood of one kind does not wash away the rare ones. Files appear whole, and
//! without waiting for the disk: what a power cut leaves half is removed at the next start.

mod config;
mod error;
mod list;
mod sidecar;
mod store;
#[cfg(test)]
mod tests;

pub use config::{CaptureConfig, Hints, Reason};
pub use error::CaptureError;
pub use list::{Unreadable, list, read};
pub use sidecar::{Captured, ImageFile};
pub use store::{Capture, CaptureStats, Kept, Refusal};
