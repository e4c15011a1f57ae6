//! Training before the first cut, in which channels that nobody needs go to zero.

use std::path::Path;

use takt_graph::Model;
use takt_graph::channels::{self, Role};

use super::Prune;
use crate::prune::PruneStageError;
use crate::stage::error::StageError;
use crate::stage::fit::{Course, key, run_fit};
use crate::stage::shop::{Ready, Shop, folder};
use crate::train::{Answers, Settings};

/// The model after its epochs of sparsity; as it is where none are asked for.
pub(super) fn sparse(
    mut model: Model,
    out: &Path,
    run: &Prune,
    ready: &Ready,
    answers: &Answers,
    shop: &Shop<'_>,
) -> Result<Model, StageError> {
    let Some(sparsity) = run.sparsity else { return Ok(model) };
    let groups = channels::groups(&model)?;
    let shrinks = |group: &channels::Group| group.members.iter().any(|member| member.role == Role::Scale);
    if !groups.groups.iter().all(shrinks) {
        return Err(PruneStageError::Sparsity.into());
    }
    let epochs = run.sparse_epochs;
    let warmup_epochs = run.settings.warmup_epochs.min(f64::from(epochs));
    let settings = Settings { epochs, warmup_epochs, ..run.settings.clone() };
    let rest = serde_json::to_string(&(sparsity, &run.distil)).unwrap_or_default();
    let key = format!("{} {rest}", key(&model, &settings, None, ready)?);
    let out = out.join("sparse");
    folder(&out)?;
    // A run that had come to its end is read from its checkpoint.
    let course = Course {
        settings: &settings,
        teacher: Some(answers),
        sparsity: Some((sparsity, &groups)),
        key: &key,
        out: &out,
    };
    run_fit(&mut model, ready, &course, shop)?;
    Ok(model)
}
