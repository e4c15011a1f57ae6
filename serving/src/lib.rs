//! The inference server.

pub mod batch;
