//! Quantising: an artefact per target, each with its own grids, trained where that alone loses too much.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use takt_graph::{Model, clean};

use super::error::StageError;
use super::fit::{begin_from, can_be_trained};
use super::shop::{MODEL, Ready, Shop, claim, keep_input, report};
use super::tune::{Tune, Tuner};
use crate::card;
use crate::data::{Batches, Batching, Tail, Views, epoch_order};
use crate::lineage;
use crate::quantise::{Draft, Options, Progress, QuantiseReport, Target};

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
    /// How.
    #[serde(default)]
    pub options: Options,
    /// What may be lost, and how it is won back; `None` takes what quantising gives.
    #[serde(default)]
    pub tune: Option<Tune>,
}

impl Quantise {
    /// What is wrong with its settings.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.targets.is_empty() {
            faults.push(format!("targets is empty, expected some of {}", Target::ALL.map(Target::name).join(", ")));
        }
        let twice = |(at, target): (usize, &Target)| self.targets.iter().take(at).any(|before| before == target);
        let twice = self.targets.iter().enumerate().filter(|&target| twice(target));
        faults.extend(twice.map(|(_, target)| format!("target {} is there twice; name it once", target.name())));
        faults.extend(self.options.check().err().map(|error| format!("options: {error}")));
        faults.extend(self.tune.iter().filter_map(Tune::fault));
        faults
    }
}

/// The file of a target's artefact.
#[must_use]
pub fn artefact(target: Target) -> String {
    format!("model.{}.onnx", target.name())
}

/// Quantises for each target and leaves `model.<target>.onnx` in `out`, beside the folded `model.onnx` in single precision.
///
/// # Errors
/// See [`StageError`]; what training had reached is in `out/checkpoint`. That a target loses more than it may even when
/// trained is no error: see [`QuantiseReport::accuracy`].
pub fn quantise(data: &Path, out: &Path, run: &Quantise, shop: &Shop<'_>) -> Result<Vec<QuantiseReport>, StageError> {
    let faults = run.faults();
    if !faults.is_empty() {
        return Err(StageError::Settings(faults.join("; ")));
    }
    keep_input(&run.model, out)?;
    let (mut model, card, data) = begin_from(&run.model, data, shop)?;
    clean::clean(&mut model)?;
    // Nobody learns from what serves.
    lineage::forget(&mut model);
    let ready = shop.ready(data, &card.preprocess)?;
    if let Some(tune) = &run.tune {
        can_be_trained(&ready, &tune.settings())?;
    }
    let _held = claim(out)?;
    let mut tuner =
        run.tune.as_ref().map(|tune| Tuner::new(tune, &model, &run.model, &card, &ready, out, shop)).transpose()?;
    let mut reports = Vec::new();
    for &target in &run.targets {
        let draft = draft(&model, target, &run.options, &ready, shop)?;
        let mut quantised = match &mut tuner {
            Some(tuner) => tuner.tuned(draft, target)?,
            None => draft.finish()?,
        };
        card.write(&mut quantised.model)?;
        card::set_weight_bits(&mut quantised.model, target.weight_bits());
        quantised.model.save(out.join(artefact(target)))?;
        reports.push(quantised.report);
    }
    clean::fold_batch_norm(&mut model)?;
    card.write(&mut model)?;
    model.save(out.join(MODEL))?;
    report(out, &reports)?;
    Ok(reports)
}

/// Quantises on the calibration images.
fn draft(
    model: &Model,
    target: Target,
    options: &Options,
    ready: &Ready,
    shop: &Shop<'_>,
) -> Result<Draft, StageError> {
    // Shuffled: data sets list one class after another, and the first images are walked through.
    let samples = epoch_order(&ready.calibration()?, 0, 0);
    let batching = Batching { size: BATCH, tail: Tail::Keep, views: Views::Plain, threads: shop.threads };
    let mut images = Batches::start(&ready.images, &samples, batching)?.map(|batch| match batch {
        Ok(batch) => Ok(crate::quantise::Batch { shape: batch.shape, data: batch.inputs }),
        Err(error) => Err(error.into()),
    });
    let mut begun = false;
    let mut told = |progress: Progress<'_>| {
        if shop.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if let Progress::Layer { of, .. } = progress {
            if !std::mem::replace(&mut begun, true) {
                shop.progress.begin(of as u64);
            }
            shop.progress.advance();
        }
        ControlFlow::Continue(())
    };
    Ok(Draft::new(model, target, &mut images, options, &mut told)?)
}
