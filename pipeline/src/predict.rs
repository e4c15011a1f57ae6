//! A model's outputs on images: through the executor while a model is being made, through a serving runtime once it is a
//! file.

use std::num::NonZeroUsize;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options};

use crate::data::{Batch, Batches, Batching, Images, Tail, Views};
use crate::progress::Progress;
use crate::train::TrainError;

/// Something that turns images into one row of numbers each.
#[derive(Debug)]
pub struct Runner {
    executor: Executor,
    classes: usize,
}

impl Runner {
    /// Runs a graph with its weights frozen.
    ///
    /// # Errors
    /// The graph has an operator that the executor has not, or no output `[batch, classes]`.
    pub fn executor(model: &Model) -> Result<Self, TrainError> {
        let executor = Executor::new(model, &Options { frozen: true, ..Options::default() })?;
        Ok(Self { executor, classes: classes(model)? })
    }

    /// Numbers per image.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Outputs of a batch, a row per image.
    ///
    /// # Errors
    /// The images do not fit the model, or a node fails.
    pub fn run(&self, batch: Batch) -> Result<Vec<f32>, TrainError> {
        first_output(&self.executor, batch, Mode::Eval)
    }
}

/// The first output of a run, row by row.
pub(crate) fn first_output(executor: &Executor, batch: Batch, mode: Mode) -> Result<Vec<f32>, TrainError> {
    let run = executor.run(&[tensor(batch.inputs, batch.shape)?], mode)?;
    let output = run.outputs.first().ok_or_else(|| no_output("none"))?;
    Ok(output.flatten_all()?.to_vec1()?)
}

/// A batch as the executor takes it.
pub(crate) fn tensor(inputs: Vec<f32>, shape: [usize; 4]) -> Result<Tensor, TrainError> {
    Ok(Tensor::from_vec(inputs, &shape, &Device::Cpu)?)
}

/// Classes that a model tells apart: the extent of its first output `[batch, classes]`.
///
/// # Errors
/// It has no such output.
pub fn classes(model: &Model) -> Result<usize, TrainError> {
    let facts = takt_graph::shape::infer(model).map_err(takt_graph::execute::ExecuteError::from)?;
    let output = model.graph().output.first().ok_or_else(|| no_output("none"))?;
    let fact = facts.get(output.name());
    match fact.shape.as_deref() {
        Some([_, classes]) => {
            let known = classes.known().and_then(|classes| usize::try_from(classes).ok());
            known.ok_or_else(|| no_output(&fact.to_string()))
        }
        _ => Err(no_output(&fact.to_string())),
    }
}

fn no_output(found: &str) -> TrainError {
    TrainError::Mismatch {
        what: "the model's first output",
        found: found.to_owned(),
        expected: "[batch, classes], a row of logits per image".to_owned(),
    }
}

/// Outputs on some samples, a row each in the order given.
///
/// # Errors
/// An image cannot be read, or the model cannot be run on it.
pub fn run_views(
    runner: &Runner,
    images: &Arc<Images>,
    samples: &[usize],
    views: Views,
    batch: NonZeroUsize,
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Vec<f32>, TrainError> {
    let mut outputs = Vec::with_capacity(samples.len() * runner.classes);
    for batch in Batches::start(images, samples, Batching { size: batch, tail: Tail::Keep, views, threads })? {
        let batch = batch?;
        let count = batch.labels.len();
        outputs.extend(runner.run(batch)?);
        (0..count).for_each(|_| progress.advance());
    }
    Ok(outputs)
}
