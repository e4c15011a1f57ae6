//! Passes that make a graph simpler and change no number.

mod batch;
mod bn_fold;
mod constants;
mod dead;
mod identity;
mod reshape;
mod share;

pub use batch::free_batch;
pub use bn_fold::FoldBatchNorm;
pub use constants::FoldConstants;
pub use dead::RemoveDead;
pub use identity::RemoveIdentity;
pub use reshape::WriteOutShapes;
pub(crate) use reshape::written;
pub use share::SplitShared;

use crate::Model;
use crate::patch::{PassError, Report, no_check, run};

/// Makes a graph ready for training and pruning: no `Identity` and no inactive `Dropout`, constants as initialisers, shapes
/// written out as far as they are known, nothing that nobody uses, and no weight that two nodes share without need.
///
/// Exporters store equal tensors once: a freshly initialised net then trains with weights that are tied by accident.
///
/// # Errors
/// The model is impossible, or a pass would have broken it (a fault of ours).
pub fn clean(model: &mut Model) -> Result<Report, PassError> {
    run(
        model,
        &[&RemoveIdentity, &FoldConstants, &WriteOutShapes, &RemoveIdentity, &RemoveDead, &SplitShared],
        &mut no_check,
    )
}

/// Folds every BatchNormalization that follows a convolution into it; what [`clean`] does comes first.
///
/// # Errors
/// As [`clean`].
pub fn fold_batch_norm(model: &mut Model) -> Result<Report, PassError> {
    let mut report = clean(model)?;
    report.extend(run(model, &[&FoldBatchNorm, &RemoveDead], &mut no_check)?);
    Ok(report)
}

#[cfg(test)]
mod tests;
