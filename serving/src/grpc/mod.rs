//! `inference.GRPCInferenceService`: protocol to core and back. Proto types stop here.

pub mod connections;
mod deadline;
pub mod decode;
pub mod encode;
pub mod in_flight;
pub mod listen;
mod model;
mod service;
mod shared_memory;
mod statistics;
pub mod status;

pub use service::InferenceService;
