//! From single requests to batches: the queue, the batching policy (pure) and the instance threads.

pub mod config;
