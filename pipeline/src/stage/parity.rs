//! Each artefact of a folder against its model in single precision.

use std::path::Path;

use super::error::StageError;
use super::evaluate::outputs;
use super::quantise::artefact;
use super::shop::{MODEL, Ready, Shop};
use crate::data::{Split, Views};
use crate::evaluate::Parity;
use crate::evaluate::gates::ParityGate;
use crate::predict::Runner;
use crate::quantise::Target;

/// Most images to compare on, spread over the split.
const IMAGES: usize = 1000;

/// How near artefacts must be to single precision where nobody says otherwise.
pub const PARITY: ParityGate = ParityGate { min_top1: Some(0.95), min_cosine: Some(0.98), max_difference: None };

/// Targets for which there is an artefact.
pub(super) fn artefacts(folder: &Path) -> Vec<Target> {
    Target::ALL.into_iter().filter(|&target| folder.join(artefact(target)).is_file()).collect()
}

/// Compares every `model.<target>.onnx` in `folder` with its `model.onnx`, on the serving runtime.
pub(super) fn parities(folder: &Path, ready: &Ready, split: Split, shop: &Shop<'_>) -> Result<Vec<Parity>, StageError> {
    let there = artefacts(folder);
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let mut samples = ready.split(split)?;
    let stride = samples.len().div_ceil(IMAGES);
    samples = samples.into_iter().step_by(stride.max(1)).collect();
    let of = |file: &Path| -> Result<(usize, Vec<f32>), StageError> {
        let runner = Runner::file(file)?;
        Ok((runner.classes(), outputs(&runner, ready, &samples, Views::Plain, shop)?))
    };
    let (classes, whole) = of(&folder.join(MODEL))?;
    let compared = there.into_iter().map(|target| {
        let (_, outputs) = of(&folder.join(artefact(target)))?;
        Ok(Parity::of(target.name(), classes, &outputs, &whole)?)
    });
    compared.collect()
}
