//! Whether annotators agree, who is how reliable, and what becomes of what they dispute.
//!
//! [`Ratings`] holds who called which item what. Over it: Cohen's kappa of two annotators, Fleiss' kappa and Krippendorff's
//! alpha of all, and Dawid and Skene's model of how each of them errs. [`review`] lists batches with too much disagreement,
//! [`Rulings`] keeps what an expert decided and with which version of the labelling guide, and [`settle`] makes labels of
//! both.
//!
//! A coefficient is `None` where chance alone gives full agreement (everybody always says the same class) or nothing was
//! rated twice: there is nothing to correct by.

mod alpha;
mod dawid_skene;
mod kappa;
mod ratings;
mod review;
mod rulings;
#[cfg(test)]
mod tests;

pub use dawid_skene::{DawidSkene, dawid_skene};
pub use kappa::Weights;
pub use ratings::{AgreementError, Annotation, Ratings};
pub use review::{Batch, BatchStanding, ReviewLimits, review};
pub use rulings::{Resolved, Ruling, Rulings, Source, settle};
