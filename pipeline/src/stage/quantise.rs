//! Quantising: an artefact per target, each with its own grids.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use takt_graph::clean;

use super::error::StageError;
use super::fit::begin_from;
use super::shop::{MODEL, Shop, folder, report};
use crate::data::{Batches, Batching, Tail, Views};
use crate::quantise::{self as int8, Options, Progress, QuantiseReport, Target};

/// Images at a time.
const BATCH: std::num::NonZeroUsize = std::num::NonZeroUsize::new(16).unwrap();

/// A quantisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// The model in single precision.
    pub model: PathBuf,
    /// Whom for.
    pub targets: Vec<Target>,
}

/// The file of a target's artefact.
#[must_use]
pub fn artefact(target: Target) -> String {
    format!("model.{}.onnx", target.name())
}

/// Quantises for each target and leaves `model.<target>.onnx` in `out`, beside the folded `model.onnx` in single precision.
///
/// # Errors
/// See [`StageError`].
pub fn quantise(data: &Path, out: &Path, run: &Quantise, shop: &Shop<'_>) -> Result<Vec<QuantiseReport>, StageError> {
    folder(out)?;
    let (mut model, card, data) = begin_from(&run.model, data, shop)?;
    clean::clean(&mut model)?;
    let ready = shop.ready(data, &card.preprocess)?;
    let samples = ready.calibration()?;
    let mut reports = Vec::new();
    for &target in &run.targets {
        let batching = Batching { size: BATCH, tail: Tail::Keep, views: Views::Plain, threads: shop.threads };
        let mut images = Batches::start(&ready.images, &samples, batching)?.map(|batch| match batch {
            Ok(batch) => Ok(int8::Batch { shape: batch.shape, data: batch.inputs }),
            Err(error) => Err(error.into()),
        });
        let mut begun = false;
        let mut told = |progress: Progress<'_>| {
            if let Progress::Layer { of, .. } = progress {
                if !std::mem::replace(&mut begun, true) {
                    shop.progress.begin(of as u64);
                }
                shop.progress.advance();
            }
        };
        let mut quantised = int8::quantise(&model, &mut images, &Options::new(target), &mut told)?;
        card.write(&mut quantised.model)?;
        quantised.model.save(out.join(artefact(target)))?;
        reports.push(quantised.report);
    }
    clean::fold_batch_norm(&mut model)?;
    card.write(&mut model)?;
    model.save(out.join(MODEL))?;
    report(out, &reports)?;
    Ok(reports)
}
