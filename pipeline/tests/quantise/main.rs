//! Quantised exports of real networks load, agree with single precision, and run on integers where they are meant to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod parity;
mod support;
mod trained;
