//! Evaluating a model file as the line would run it: on the serving runtime, by the serving preprocessing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use takt_artifact::{Decision, Preprocess};
use takt_graph::Model;

use super::cost;
use super::error::StageError;
use super::fit::begin_from;
use super::parity::{artefacts, parities};
use super::shop::{Ready, Shop, open, report};
use crate::card::Card;
use crate::data::{Batches, Batching, Split, Tail, Views};
use crate::evaluate::gates::{self, Gates};
use crate::evaluate::{Input, Metrics, Predictions, Report, ReportOptions, pictures};
use crate::file;
use crate::predict::{Runner, run_views};

/// Images at a time where latency does not matter.
const BATCH: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// The page for people that a pipeline leaves beside the report.
pub const PAGE: &str = "report.html";
/// Start of the noise in trials of robustness.
const NOISE_SEED: u64 = 0;

/// An evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluate {
    /// What is judged.
    pub model: PathBuf,
    /// What it was made from, to be compared with.
    pub parent: Option<PathBuf>,
    /// Folder with `model.onnx` and artefacts made from it, each of which is compared with it.
    pub artefacts: Option<PathBuf>,
    /// On which images.
    pub split: Split,
    /// What is demanded.
    pub gates: Option<Gates>,
    /// From outputs to verdicts, where the model does not say it.
    pub decision: Option<Decision>,
}

/// Judges a model; the report has the gates' answers. With `html`, a page for people is written there.
///
/// # Errors
/// See [`StageError`]. Gates that say no are no error: see [`Report::gates`].
pub fn evaluate(
    data: &Path,
    run: &Evaluate,
    out: Option<&Path>,
    html: Option<&Path>,
    shop: &Shop<'_>,
) -> Result<Report, StageError> {
    if let Some(folder) = run.artefacts.as_ref().filter(|folder| artefacts(folder).is_empty()) {
        return Err(StageError::Mismatch {
            what: "the folder of artefacts",
            found: format!("'{}' without any", folder.display()),
            expected: "files model.<target>.onnx, as `takt quantize` leaves them".to_owned(),
        });
    }
    // Before hours of looking at images: where the page goes.
    if let Some(above) = html.and_then(Path::parent) {
        super::shop::folder(above)?;
    }
    let (_, card, data) = begin_from(&run.model, data, shop)?;
    let ready = shop.ready(data, &card.preprocess)?;
    let decision = run.decision.clone().or_else(|| card.decision.clone());
    let runner = Runner::file(&run.model)?;
    let judged = predictions(&runner, &ready, run.split, decision.as_ref(), shop)?;
    let folder = ready.data.root.file_name().unwrap_or(ready.data.root.as_os_str());
    let about = format!("{}, {}", folder.to_string_lossy(), run.split.name());
    let mut told = Report::new(&run.model.display().to_string(), &about, &judged, ReportOptions::default());
    told.runtime = Some(runner.runtime().to_owned());
    let one = one_image(&ready, run.split, shop)?;
    let own = (&runner, run.model.as_path());
    match &run.parent {
        None => told.cost = cost::measure(own, None, &one, shop)?,
        Some(path) => {
            let preprocess = preprocess_of_parent(path, &ready)?;
            // Images that both see alike are decoded once.
            let others = (!preprocess.same_tensor(&card.preprocess))
                .then(|| shop.ready(ready.data.clone(), &preprocess))
                .transpose()?;
            let seen = others.as_ref().unwrap_or(&ready);
            let parent = Runner::file(path)?;
            told.compare(&judged, &predictions(&parent, seen, run.split, decision.as_ref(), shop)?)?;
            let takes_the_same = preprocess.shape() == card.preprocess.shape();
            told.cost = cost::measure(own, takes_the_same.then_some((&parent, path)), &one, shop)?;
            told.cost.parent_size_bytes = cost::size(path);
        }
    }
    if let Some(folder) = &run.artefacts {
        told.parity = parities(folder, &ready, run.split, shop)?;
    }
    for (name, trial) in run.gates.iter().flat_map(|gates| &gates.robustness) {
        let views = Views::Corrupted { corruption: trial.corruption, seed: NOISE_SEED };
        let worse = seen_as(&runner, &ready, run.split, decision.as_ref(), views, shop)?;
        told.add_robustness(name, trial.corruption, &judged, &worse);
    }
    if let Some(demanded) = &run.gates {
        told.gates = Some(gates::check(demanded, &told));
    }
    if let Some(out) = out {
        super::shop::folder(out)?;
        report(out, &told)?;
    }
    if let Some(path) = html {
        let page = told.render_html(&pictures(&told, &ready.data.root));
        file::replace(path, page.as_bytes()).map_err(StageError::file(path))?;
    }
    Ok(told)
}

/// How images become the parent's input; its classes must be the model's.
fn preprocess_of_parent(path: &Path, ready: &Ready) -> Result<Preprocess, StageError> {
    let (model, card) = open(path)?;
    match card {
        Some(card) => {
            same_classes("the parent's classes", &card.labels, &ready.data.classes)?;
            Ok(card.preprocess)
        }
        None => Ok(Card::of_input(&model, ready.data.classes.clone())?.preprocess),
    }
}

/// Outputs can only be compared where they stand in the same order. A model that names no classes is taken at its word.
pub(super) fn same_classes(what: &'static str, theirs: &[String], model: &[String]) -> Result<(), StageError> {
    if theirs.is_empty() || theirs == model {
        return Ok(());
    }
    Err(StageError::Mismatch {
        what,
        found: theirs.join(", "),
        expected: format!("those of the model in their order: {}", model.join(", ")),
    })
}

/// Balanced accuracy of a graph on the validation split.
pub(super) fn balanced_accuracy(model: &Model, ready: &Ready, shop: &Shop<'_>) -> Result<f64, StageError> {
    let predictions = predictions(&Runner::executor(model)?, ready, Split::Validation, None, shop)?;
    Ok(Metrics::of(&predictions).balanced_accuracy)
}

/// A model's outputs on a split, judged.
pub(super) fn predictions(
    runner: &Runner,
    ready: &Ready,
    split: Split,
    decision: Option<&Decision>,
    shop: &Shop<'_>,
) -> Result<Predictions, StageError> {
    seen_as(runner, ready, split, decision, Views::Plain, shop)
}

/// A model's outputs on some samples, a row each.
pub(super) fn outputs(
    runner: &Runner,
    ready: &Ready,
    samples: &[usize],
    views: Views,
    shop: &Shop<'_>,
) -> Result<Vec<f32>, StageError> {
    shop.progress.begin(samples.len() as u64);
    let size = runner.batch().unwrap_or(BATCH);
    let batching = Batching { size, tail: Tail::Keep, views, threads: shop.threads };
    Ok(run_views(runner, &ready.images, samples, batching, shop.progress, shop.stop)?)
}

fn seen_as(
    runner: &Runner,
    ready: &Ready,
    split: Split,
    decision: Option<&Decision>,
    views: Views,
    shop: &Shop<'_>,
) -> Result<Predictions, StageError> {
    let samples = ready.split(split)?;
    let outputs = outputs(runner, ready, &samples, views, shop)?;
    let of = samples.iter().filter_map(|&sample| ready.data.samples.get(sample));
    let (mut labels, mut metadata, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for sample in of {
        labels.push(sample.label);
        metadata.push(sample.metadata.clone());
        files.push(sample.path.clone());
    }
    Ok(Predictions::new(Input {
        classes: &ready.data.classes,
        outputs: &outputs,
        labels: &labels,
        decision,
        columns: &ready.data.columns,
        metadata: &metadata,
        files: &files,
    })?)
}

/// One image as the model takes it.
fn one_image(ready: &Ready, split: Split, shop: &Shop<'_>) -> Result<crate::data::Batch, StageError> {
    let sample = ready.split(split)?[..1].to_vec();
    let batching = Batching { size: NonZeroUsize::MIN, tail: Tail::Keep, views: Views::Plain, threads: shop.threads };
    let mut batches = Batches::start(&ready.images, &sample, batching)?;
    let first = batches.next().transpose()?;
    first.ok_or(StageError::Mismatch { what: "the split", found: "no image".into(), expected: "at least one".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_of_other_classes_is_not_compared() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let model = names(&["ok", "dent"]);
        same_classes("the parent's classes", &model, &model).unwrap();
        same_classes("the parent's classes", &[], &model).unwrap();
        let error = same_classes("the parent's classes", &names(&["dent", "ok"]), &model).unwrap_err().to_string();
        assert!(error.contains("found dent, ok") && error.contains("ok, dent"), "{error}");
    }
}
