//! Structural pruning: which channels a model can do without, and the model without them.
//!
//! Every channel, with all that hangs on it (`takt_graph::channels`), gets an [`Importance`]; [`select`] drops blocks of the
//! least important ones until a target is met, by what each block saves ([`Budget`]). Fine-tuning is
//! [training](crate::train) as ever, as a rule from the model's own teacher.

mod bounds;
mod budget;
mod error;
mod importance;
mod keep;
mod plan;
mod reestimate;
mod select;
mod settings;
mod taylor;
#[cfg(test)]
mod tests;

pub use bounds::Bounds;
pub use budget::{Budget, Measure};
pub use error::PruneStageError;
pub(crate) use importance::in_single_precision;
pub use importance::{Criterion, Importance};
pub use keep::Keep;
pub use plan::{GroupPlan, Plan, identity};
pub use reestimate::reestimate;
pub use select::select;
pub use settings::{Select, Settings};
pub use taylor::{Lesson, Taylor};
