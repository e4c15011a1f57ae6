//! Differentiable operations that train convolutional networks on a processor, for candle's tensors.
//!
//! Candle's own operations on the CPU are made for inference; these are for training. They differ in three ways: feature
//! maps lie in memory with the images innermost ([`batch`], seen from outside only in the strides), convolutions run as
//! implicit matrix products with a kernel of their own ([`conv`]), and gradients are moved where candle adds them to zeros
//! ([`tape`]). They mix freely with candle's operations; the loss is differentiated with [`backward`].
//!
//! Results do not depend on the number of threads.

mod activation;
mod batch;
mod clip;
mod conv;
mod elementwise;
mod gate;
mod linear;
mod norm;
mod parallel;
mod pool;
mod quantise;
mod scratch;
mod sgd;
mod simd;
mod tape;

pub use activation::{Activation, activate, relu};
pub use conv::{Conv2dParams, conv2d};
pub use elementwise::{add, add_relu};
pub use gate::gate;
pub use linear::{cross_entropy, linear};
pub use norm::{BatchStats, batch_norm_eval, batch_norm_train};
pub use parallel::in_pool;
pub use pool::{PoolParams, avg_pool2d, global_avg_pool, max_pool2d};
pub use quantise::{Levels, fake_quantize};
pub use sgd::{Sgd, SgdOptions};
pub use tape::backward;
