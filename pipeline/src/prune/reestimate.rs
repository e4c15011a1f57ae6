//! Running statistics anew: what a BatchNormalization sees has changed with the channels before it (Li et al. 2020,
//! "EagleEye").

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options};

use crate::data::{Batches, Batching, Images, Tail, Views};
use crate::predict::tensor;
use crate::progress::Progress;
use crate::train::TrainError;

/// Replaces the running statistics by the mean over batches of those samples. `None` if it was stopped from outside by `stop`;
/// the model is then as it was.
///
/// # Errors
/// The model cannot be run, or an image cannot be read.
pub fn reestimate(
    model: &mut Model,
    images: &Arc<Images>,
    samples: &[usize],
    batch: NonZeroUsize,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<()>, TrainError> {
    let mut executor = Executor::new(model, &Options { frozen: true, ..Options::default() })?;
    let tail = if samples.len() < batch.get() { Tail::Keep } else { Tail::Drop };
    let batches = Batches::start(images, samples, Batching { size: batch, tail, views: Views::Plain, threads })?;
    progress.begin(samples.len() as u64);
    for (seen, batch) in batches.enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch?;
        let count = batch.labels.len();
        let run = executor.run(&[tensor(batch.inputs, batch.shape)?], Mode::Train)?;
        // The mean of all so far: the first replaces what was there.
        executor.update_statistics(&run, 1.0 / (seen as f64 + 1.0))?;
        (0..count).for_each(|_| progress.advance());
    }
    executor.write_to(model)?;
    Ok(Some(()))
}
