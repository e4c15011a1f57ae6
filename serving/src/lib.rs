//! The inference server.

pub mod batch;
pub mod repository;
