//! Static INT8 quantisation of ONNX classifiers, after training.
//!
//! Prepare (fold BatchNormalization, equalise), plan which values lie on grids of integers, calibrate these on images, walk
//! through the net rounding weights and settling biases layer by layer, and write QuantizeLinear and DequantizeLinear for the
//! target's runtime. What each layer lost is in the [`QuantiseReport`].
//!
//! ```no_run
//! use takt_graph::Model;
//! use takt_pipeline::quantise::{Batch, Options, Target, quantise};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("classifier.onnx")?;
//! let images = std::iter::repeat_n(Batch { shape: [1, 3, 64, 64], data: vec![0.0; 3 * 64 * 64] }, 8);
//! let quantised = quantise(&model, &mut images.map(Ok), &Options::new(Target::CpuInt8Avx2), &mut |_| ())?;
//! quantised.model.save("classifier.cpu-int8-avx2.onnx")?;
//! println!("{}", quantised.report);
//! # Ok(())
//! # }
//! ```

mod calibrate;
mod equalise;
mod error;
mod grid;
mod insert;
mod layer;
mod observe;
mod patches;
mod plan;
mod prepare;
mod reconstruct;
mod report;
mod target;
mod walk;
mod weights;

use std::collections::{BTreeMap, BTreeSet};

pub use calibrate::{Batch, Images};
pub use error::QuantiseError;
pub use grid::Grid;
pub use observe::{Calibration, Histogram, Range};
pub use report::{Agreement, Fusion, LayerReport, QuantiseReport, TensorReport};
use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::shape::infer;
pub use target::Target;
pub use weights::WeightScales;

use plan::Plan;
use walk::{Walk, Walked};

/// How weights become integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Each to the nearest.
    Nearest,
    /// Such that the layer's output changes least.
    Reconstructed,
}

/// How to quantise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Who is to run it.
    pub target: Target,
    /// How ranges of activations are chosen.
    pub calibration: Calibration,
    /// How scales of weights are chosen.
    pub weights: WeightScales,
    /// Whether channels are evened out between convolutions first.
    pub equalise: bool,
    /// How weights become integers.
    pub rounding: Rounding,
    /// Whether biases make up for the means that rounding moves.
    pub correct_bias: bool,
    /// How many of the calibration images [`Rounding::Reconstructed`], the bias correction and the report learn from. Values
    /// of all of them between two layers are in memory at once.
    pub walked: usize,
    /// Places of a layer's output that reconstruction learns from.
    pub samples: usize,
    /// Names of nodes that stay in single precision.
    pub keep_float: BTreeSet<String>,
}

impl Options {
    /// What has measured best (benches/RESULTS.md, Quantisation).
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            calibration: Calibration::Mse,
            weights: WeightScales::Mse,
            equalise: false,
            rounding: Rounding::Reconstructed,
            correct_bias: true,
            walked: 128,
            samples: 4096,
            keep_float: BTreeSet::new(),
        }
    }

    fn check(&self) -> Result<(), QuantiseError> {
        let fault = |option, found: String, expected| Err(QuantiseError::Option { option, found, expected });
        match self.calibration {
            Calibration::Percentile(share) if !(0.0..0.5).contains(&share) => fault(
                "the share cut off on either side",
                share.to_string(),
                "a share from 0 to below 0.5, such as 0.0001",
            ),
            _ if self.walked == 0 => fault("images to learn from", "0".to_owned(), "at least 1"),
            _ => Ok(()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(Target::CpuInt8Avx2)
    }
}

/// How far a quantisation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Images calibrated on so far.
    Calibrated {
        /// How many.
        images: usize,
    },
    /// A layer whose weights are being rounded.
    Layer {
        /// The node.
        node: &'a str,
        /// Which, from 1.
        done: usize,
        /// Layers there are.
        of: usize,
    },
}

/// A quantised model.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// For the target's runtime, in QDQ form.
    pub model: Model,
    /// What was done, and what was lost.
    pub report: QuantiseReport,
}

/// Quantises `model` with calibration `images`, which are preprocessed as in production.
///
/// # Errors
/// The model, an option or the images do not do; see [`QuantiseError`].
pub fn quantise(
    model: &Model,
    images: &mut Images<'_>,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Quantised, QuantiseError> {
    options.check()?;
    let bytes_before = bytes(model);
    let mut model = model.clone();
    prepare::prepare(&mut model)?;
    let equalised = if options.equalise { equalise::equalise(&mut model)? } else { 0 };
    let facts = infer(&model)?;
    let plan = Plan::new(&model, &facts, options.target, &options.keep_float)?;
    let observed = calibrate::observe(&model, &plan, images, options.walked, progress)?;
    let grid = |range| options.target.activations(range);
    let groups: BTreeMap<String, Grid> = observed
        .histograms
        .iter()
        .map(|(group, histogram)| (group.clone(), grid(options.calibration.choose(histogram, &grid))))
        .collect();
    let grids = plan.grids.iter().filter_map(|(value, group)| Some((value.clone(), *groups.get(group)?))).collect();
    let walk = Walk { model: &model, facts: &facts, plan: &plan, grids: &grids, options };
    let walked = walk.run(&observed.kept, progress)?;
    let nodes: Vec<String> = walked
        .layers
        .keys()
        .filter_map(|&place| model.graph().node.get(place))
        .map(takt_graph::onnx::NodeProto::label)
        .collect();
    insert::insert(&mut model, &plan, &groups, &walked.layers, options.target)?;
    let seen =
        |value: &str| plan.grids.get(value).and_then(|group| observed.histograms.get(group)).map(Histogram::range);
    let report = QuantiseReport {
        target: options.target,
        images: observed.images,
        bytes_before,
        bytes_after: bytes(&model),
        equalised,
        tensors: tensors(&grids, &walked, &seen),
        layers: nodes.into_iter().zip(walked.layers.values()).map(|(node, layer)| layer_report(node, layer)).collect(),
        float: plan.float,
        outputs: outputs(&model, &walked),
        fusion: None,
    };
    Ok(Quantised { model, report })
}

fn tensors(grids: &BTreeMap<String, Grid>, walked: &Walked, seen: &dyn Fn(&str) -> Option<Range>) -> Vec<TensorReport> {
    let report = |(name, &grid): (&String, &Grid)| TensorReport {
        name: name.clone(),
        grid,
        seen: seen(name).unwrap_or_default(),
        agreement: walked.agreement.get(name).copied().unwrap_or_default(),
    };
    grids.iter().map(report).collect()
}

fn layer_report(node: String, layer: &layer::Layer) -> LayerReport {
    LayerReport { node, weights: layer.quantised.integers.len(), moved: layer.moved, agreement: layer.agreement }
}

fn outputs(model: &Model, walked: &Walked) -> Vec<(String, Agreement)> {
    let names = model.graph().output.iter().map(takt_graph::onnx::ValueInfoProto::name);
    names.filter_map(|name| Some((name.to_owned(), *walked.agreement.get(name)?))).collect()
}

/// Bytes of all initialisers.
fn bytes(model: &Model) -> usize {
    let tensors = model.graph().initializer.iter();
    tensors.filter_map(|tensor| tensor.expected_bytes().ok().flatten()).sum()
}
