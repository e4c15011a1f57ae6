//! Gradients: what an operation remembers, and how they travel back.
//!
//! Candle's own backward pass begins every gradient with a tensor of zeros and adds to it, at every operation: measured on
//! residual networks that was a quarter of a training step. Its graph is private, so no other driver can walk it. Ours
//! therefore hides the inputs of its operations from it: each result hangs, for candle, on one constant variable
//! ([`anchor`]), where candle's walk ends, while the true inputs are in a [`Node`] that lives as long as the result.
//! Between two of our operations any operation of candle may stand; `drive` lets candle differentiate such a stretch.

mod drive;
mod node;

pub use drive::backward;
pub(crate) use node::{Form, Inputs, record};
