//! Static INT8 quantisation of ONNX classifiers, after training.
//!
//! Prepare (fold BatchNormalization, equalise), plan which values lie on grids of integers, calibrate these on images, walk
//! through the net rounding weights and settling biases layer by layer, and write QuantizeLinear and DequantizeLinear for the
//! target's runtime. What each layer lost is in the [`QuantiseReport`]. Where that is too much, a [`Draft`] can be trained
//! before it is written.
//!
//! ```no_run
//! use takt_graph::Model;
//! use takt_pipeline::quantise::{Batch, Options, Target, quantise, unwatched};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load("classifier.onnx")?;
//! let images = std::iter::repeat_n(Batch { shape: [1, 3, 64, 64], data: vec![0.0; 3 * 64 * 64] }, 8);
//! let quantised = quantise(&model, Target::CpuInt8Avx2, &mut images.map(Ok), &Options::default(), &mut unwatched)?;
//! quantised.model.save("classifier.cpu-int8-avx2.onnx")?;
//! println!("{}", quantised.report);
//! # Ok(())
//! # }
//! ```

mod calibrate;
mod draft;
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
mod search;
mod target;
mod walk;
mod weights;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub use calibrate::{Batch, Images};
pub use draft::{Draft, Trainable};
pub use error::QuantiseError;
pub use grid::Grid;
pub use observe::{Calibration, Histogram, Range};
pub(crate) use prepare::integers;
pub use report::{Accuracy, Agreement, Fusion, LayerReport, QuantiseReport, TensorReport};
use serde::{Deserialize, Serialize};
use takt_graph::Model;
pub use target::Target;
pub use weights::WeightScales;

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
    /// How ranges of activations are chosen; `None` tries [`Calibration::TRIED`] and takes the one whose outputs are nearest to
    /// single precision.
    pub calibration: Option<Calibration>,
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

impl Default for Options {
    /// What has measured best (benches/RESULTS.md, Quantising beside ONNX Runtime's tool).
    fn default() -> Self {
        Self {
            calibration: None,
            weights: WeightScales::Mse,
            equalise: false,
            rounding: Rounding::Reconstructed,
            correct_bias: true,
            walked: 128,
            samples: 4096,
            keep_float: BTreeSet::new(),
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), QuantiseError> {
        let fault = |option, found: String, expected| Err(QuantiseError::Option { option, found, expected });
        match self.calibration {
            Some(Calibration::Percentile(share)) if !(0.0..0.5).contains(&share) => fault(
                "the share cut off on either side",
                share.to_string(),
                "a share from 0 to below 0.5, such as 0.0001",
            ),
            _ if self.walked == 0 => fault("images to learn from", "0".to_owned(), "at least 1"),
            _ if self.samples == 0 => fault("places of a layer to learn from", "0".to_owned(), "at least 1"),
            _ => Ok(()),
        }
    }
}

/// Told how far a quantisation is; a break ends it with [`QuantiseError::Interrupted`].
pub type Watch<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Lets a quantisation go on, whatever it says.
pub fn unwatched(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An error where the watcher said so.
fn go_on(said: ControlFlow<()>) -> Result<(), QuantiseError> {
    if said.is_break() { Err(QuantiseError::Interrupted) } else { Ok(()) }
}

/// How far a quantisation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Images calibrated on so far.
    Calibrated {
        /// How many.
        images: usize,
    },
    /// A layer of a trial, by which ranges are chosen.
    Trial,
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

/// Quantises `model` for `target` with calibration `images`, which are preprocessed as in production.
///
/// # Errors
/// The model, an option or the images do not do; see [`QuantiseError`].
pub fn quantise(
    model: &Model,
    target: Target,
    images: &mut Images<'_>,
    options: &Options,
    progress: &mut Watch<'_>,
) -> Result<Quantised, QuantiseError> {
    Draft::new(model, target, images, options, progress)?.finish()
}
