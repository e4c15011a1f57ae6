//! Runs the calibration images through the model in single precision and watches what comes by.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options as ExecutorOptions};

use super::observe::Histogram;
use super::plan::Plan;
use super::{Progress, QuantiseError, Watch, go_on};

/// Preprocessed images, as the model takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Samples, channels, height, width.
    pub shape: [usize; 4],
    /// The numbers, rows first.
    pub data: Vec<f32>,
}

/// Where calibration images come from: batch by batch, so that they need not fit into memory.
pub type Images<'a> = dyn Iterator<Item = Result<Batch, Box<dyn std::error::Error + Send + Sync>>> + 'a;

/// What calibration leaves.
pub(super) struct Observed {
    /// Per group of values that share a grid.
    pub histograms: BTreeMap<String, Histogram>,
    /// The first images, for what needs them more than once.
    pub kept: Vec<Tensor>,
    /// How many images there were.
    pub images: usize,
}

/// Watches all values of `plan`; keeps the first `keep` images.
pub(super) fn observe(
    model: &Model,
    plan: &Plan,
    images: &mut Images<'_>,
    keep: usize,
    progress: &mut Watch<'_>,
) -> Result<Observed, QuantiseError> {
    let input = model
        .graph()
        .input
        .iter()
        .map(takt_graph::onnx::ValueInfoProto::name)
        .find(|name| plan.grids.contains_key(*name));
    let taps: Vec<String> = plan.grids.keys().filter(|name| Some(name.as_str()) != input).cloned().collect();
    let executor = Executor::new(model, &ExecutorOptions { frozen: true, taps: taps.clone() })?;
    let mut observed = Observed { histograms: BTreeMap::new(), kept: Vec::new(), images: 0 };
    let mut kept = 0;
    for (at, batch) in images.enumerate() {
        let batch = tensor(at, batch.map_err(QuantiseError::Images)?)?;
        let count = batch.dims()[0];
        if count == 0 {
            continue;
        }
        let run = executor.run(std::slice::from_ref(&batch), Mode::Eval)?;
        let seen = taps.iter().map(String::as_str).zip(&run.taps).chain(input.map(|name| (name, &batch)));
        for (name, value) in seen {
            let Some(group) = plan.grids.get(name) else { continue };
            let histogram = observed.histograms.entry(group.clone()).or_default();
            histogram.add(&numbers(value)?);
            if !histogram.is_finite() {
                return Err(QuantiseError::NotFinite { value: name.to_owned() });
            }
        }
        observed.images += count;
        if kept < keep {
            let wanted = count.min(keep - kept);
            observed.kept.push(batch.narrow(0, 0, wanted)?.contiguous()?);
            kept += wanted;
        }
        go_on(progress(Progress::Calibrated { images: observed.images }))?;
    }
    if observed.images == 0 {
        return Err(QuantiseError::NoImages);
    }
    Ok(observed)
}

fn tensor(at: usize, batch: Batch) -> Result<Tensor, QuantiseError> {
    let Batch { shape, data } = batch;
    let expected = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim)).unwrap_or(usize::MAX);
    if data.len() != expected {
        return Err(QuantiseError::Batch { at, found: data.len(), shape, expected });
    }
    Ok(Tensor::from_vec(data, &shape, &Device::Cpu)?)
}

/// The elements of a tensor, rows first.
pub(super) fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}
