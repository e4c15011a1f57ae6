//! What gRPC and HTTP share: connections and their limits, the meaning of request parameters and of output options,
//! shared memory regions, and models and statistics as the protocol's messages, which HTTP shows as JSON.

pub mod connections;
pub mod descriptors;
pub mod in_flight;
pub mod labels;
pub mod model;
pub mod parameters;
pub mod respond;
pub mod shared_memory;
pub mod statistics;
