//! `inference.GRPCInferenceService` and our admin service: protocol to core and back. Proto types stop here.

mod admin;
mod deadline;
pub mod decode;
pub mod encode;
mod feedback;
pub mod in_flight;
pub mod listen;
mod service;
mod shared_memory;
pub mod status;

pub use service::InferenceService;
