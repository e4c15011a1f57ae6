//! What gRPC and HTTP share: the meaning of request parameters and of output options, and shared memory regions.

pub mod parameters;
pub mod respond;
pub mod shared_memory;
