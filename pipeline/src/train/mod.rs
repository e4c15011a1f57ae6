//! Training a graph: from labels, from a frozen teacher, or both, on the executor of `takt-graph`.
//!
//! ```text
//! images --data::Batches--> Executor (Mode::Train) --objective--> takt_ops::backward --> Sgd
//!                                                       |                                 |
//! Teacher: a frozen model's answers to K views          sparsity: shrinks whole channels -+
//! ```
//!
//! Every random choice follows from the seed, so that a run is the same wherever it is begun again from its [`checkpoint`].

mod checkpoint;
mod distil;
mod error;
mod features;
mod fit;
mod log;
mod objective;
mod observe;
mod schedule;
mod settings;
mod sparsity;
mod teacher;
#[cfg(test)]
mod tests;

pub use distil::Distil;
pub use error::TrainError;
pub use fit::{Ended, Fitted, Job, fit};
pub use log::{EVENTS, EpochRecord, METRICS};
pub(crate) use objective::Objective;
pub use observe::{Observer, Unobserved};
pub use settings::{ClassWeights, Settings};
pub use sparsity::Sparsity;
pub use teacher::{Answers, Teacher};
