//! What a model file takes to run on the serving runtime: time, memory, bytes on disk.

use std::fs;
use std::path::Path;
use std::time::Instant;

use takt_backend::memory;

use super::error::StageError;
use super::shop::{Shop, open};
use crate::card::{self, Card};
use crate::data::Batch;
use crate::evaluate::Cost;
use crate::predict::Runner;

/// Runs of which the fastest counts, in turn with the parent's.
const RUNS: usize = 60;

/// A model at hand and its file.
pub(super) type Opened<'a> = (&'a Runner, &'a Path);

/// Measures a model, and its parent in the same run if that takes the same image. `image` is a batch of one.
pub(super) fn measure(
    model: Opened<'_>,
    parent: Option<Opened<'_>>,
    image: &Batch,
    shop: &Shop<'_>,
) -> Result<Cost, StageError> {
    let mut cost = Cost {
        size_bytes: size(model.1),
        memory_bytes: shop.weigh.and_then(|weigh| weigh(model.1)),
        parent_size_bytes: parent.and_then(|(_, file)| size(file)),
        ..Cost::default()
    };
    match parent {
        None => cost.latency_ms = Some(latencies([model.0], image)?[0]),
        Some((parent, _)) => {
            let [own, its] = latencies([model.0, parent], image)?;
            (cost.latency_ms, cost.parent_latency_ms) = (Some(own), Some(its));
        }
    }
    Ok(cost)
}

/// Bytes on disk.
pub(super) fn size(file: &Path) -> Option<u64> {
    fs::metadata(file).ok().map(|file| file.len())
}

/// Least time of a run in milliseconds, one thread, the models in turn so that a neighbour on the machine disturbs all
/// alike.
fn latencies<const N: usize>(runners: [&Runner; N], image: &Batch) -> Result<[f64; N], StageError> {
    let mut least = [f64::MAX; N];
    for _ in 0..RUNS {
        for (runner, least) in runners.iter().zip(&mut least) {
            let image = image.clone();
            let begun = Instant::now();
            runner.run(image)?;
            *least = least.min(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(least)
}

/// Resident memory in bytes that the runtime and one session of the model add to this process when an image has been run;
/// `None` where the system does not tell. To be asked once in a process that has run nothing before: freed memory is
/// used again, and a second session seems to take none.
///
/// # Errors
/// The model cannot be loaded or run.
pub fn weigh(file: &Path) -> Result<Option<u64>, StageError> {
    let (model, card) = open(file)?;
    let card = match card {
        Some(card) => card,
        None => Card::of_input(&model, Vec::new())?,
    };
    let weight_bits = card::weight_bits(&model);
    drop(model);
    let [a, b, c] = card.preprocess.shape();
    let image = Batch { inputs: vec![0.0; a * b * c], shape: [1, a, b, c], labels: Vec::new(), samples: Vec::new() };
    let Some(before) = memory::resident() else { return Ok(None) };
    let runner = Runner::of_file(file, weight_bits)?;
    runner.run(image)?;
    Ok(memory::resident().map(|after| after.saturating_sub(before)))
}
