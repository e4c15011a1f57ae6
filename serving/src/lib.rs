//! The inference server: models on disk (`repository`), models in memory (`registry`), requests joined to batches
//! (`batch`), and the protocols in front of them.

pub mod batch;
pub mod core;
pub mod error;
pub mod grpc;
pub mod http;
pub mod infer;
pub mod monitor;
pub mod protocol;
pub mod registry;
pub mod repository;
pub mod request;
pub mod runtimes;
pub mod server;
pub mod settings;
pub mod state;
pub mod supervise;
pub mod telemetry;

#[cfg(test)]
mod testing;
