//! Networks that Takt can make by itself: functions that build graphs, with seeded weights (He et al. 2015).

mod builder;
mod mobilenet;
mod resnet;

pub use mobilenet::{MobileNetOptions, mobilenet_v2};
pub use resnet::{ResNetOptions, resnet_cifar, resnet18, resnet50};

use crate::check::CheckErrors;

/// Operator set of the networks made here: BatchNormalization and ReduceMean as every runtime since 2021 knows them.
pub const OPSET: i64 = 17;

/// Why a network was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchError {
    /// An option makes no sense.
    #[error("found {option} {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was found.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// The graph breaks the rules: a fault of ours.
    #[error(transparent)]
    Graph(#[from] CheckErrors),
}

/// Holds what all networks are asked for against what they can be: `input` is `[channels, height, width]`, `width` the factor on
/// numbers of channels.
///
/// # Errors
/// The first option that makes no sense.
pub fn check(classes: usize, input: [usize; 3], width: f64) -> Result<(), ArchError> {
    let fault = |option, found: String, expected| Err(ArchError::Option { option, found, expected });
    if classes < 2 {
        return fault("classes", classes.to_string(), "at least 2");
    }
    if !(1..=4096).contains(&input[0]) || input[1..].iter().any(|size| !(8..=8192).contains(size)) {
        return fault("input", format!("{input:?}"), "[channels, height, width] with 8 to 8192 pixels a side");
    }
    if !(0.01..=16.0).contains(&width) {
        return fault("width", width.to_string(), "a factor from 0.01 to 16");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
