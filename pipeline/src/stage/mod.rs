//! The stages as the command line and the pipeline run them: folders and files in, files out.
//!
//! Each stage leaves `model.onnx` (or `model.<target>.onnx`) with its [card](crate::card), and `report.json`. What is
//! half done lies in `checkpoint/` beside it, and a stage that is begun again goes on from there.

mod cost;
mod error;
mod evaluate;
#[cfg(test)]
mod faults;
mod fit;
mod package;
mod parity;
mod profile;
mod prune;
mod quantise;
mod shop;
#[cfg(test)]
mod tests;
mod tune;
#[cfg(feature = "tables")]
mod validate;

pub use cost::weigh;
pub use error::StageError;
pub use evaluate::{Evaluate, PAGE, evaluate};
pub use fit::{Architecture, Start, Train, train};
pub use package::{Package, package};
pub use parity::PARITY;
pub use profile::reference;
pub use prune::{Prune, Pruned, Round, TakenBack, prune, sparse_epochs};
pub use quantise::{Quantise, artefact, quantise};
pub use shop::{MODEL, REPORT, Shop, Weigh, is_log};
pub use tune::Tune;
#[cfg(feature = "tables")]
pub use validate::validate;
