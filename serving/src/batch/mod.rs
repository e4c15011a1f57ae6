//! From single requests to batches: the queue and its policy (pure), the batcher that requests and instances share, the
//! instance threads, and the images decoded ahead of them.

pub mod batcher;
pub mod buffer;
pub mod config;
pub mod gather;
pub mod images;
pub mod instance;
pub mod job;
pub mod queue;

#[cfg(test)]
mod tests;
