//! What quantisation did, and where it lost.

use std::fmt;

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::onnx::NodeProto;

use super::Target;
use super::grid::Grid;
use super::observe::{Calibration, Range};

/// How near the quantised net's values are to those in single precision, over the calibration images walked through.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Agreement {
    product: f64,
    exact: f64,
    rounded: f64,
    error: f64,
}

impl Agreement {
    pub(super) fn add(&mut self, exact: &[f32], rounded: &[f32]) {
        for (&exact, &rounded) in exact.iter().zip(rounded) {
            let (exact, rounded) = (f64::from(exact), f64::from(rounded));
            self.product += exact * rounded;
            self.exact += exact * exact;
            self.rounded += rounded * rounded;
            self.error += (exact - rounded).powi(2);
        }
    }

    /// Cosine of the angle between both, 1 where they agree.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        let lengths = (self.exact * self.rounded).sqrt();
        match lengths > 0.0 {
            true => self.product / lengths,
            // Nothing but zeros in both agrees.
            false => f64::from(u8::from(self.exact == self.rounded)),
        }
    }

    /// Ratio of signal to error, in decibels; infinite where there is no error.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        10.0 * (self.exact / self.error).log10()
    }
}

/// A value with a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorReport {
    /// The value.
    pub name: String,
    /// Its grid.
    pub grid: Grid,
    /// What calibration saw, in all values that share the grid.
    pub seen: Range,
    /// On its grid, against single precision.
    pub agreement: Agreement,
}

/// A layer with quantised weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The node, as messages name it.
    pub node: String,
    /// Number of weights.
    pub weights: usize,
    /// Of these, how many reconstruction put on another integer than the nearest.
    pub moved: usize,
    /// Its output before that goes onto a grid.
    pub agreement: Agreement,
}

/// How many convolutions a runtime runs on integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fusion {
    /// Convolutions in the model.
    pub convolutions: usize,
    /// Of these, on integers.
    pub quantised: usize,
}

/// Balanced accuracy, as shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// In single precision.
    pub single: f64,
    /// After quantisation alone.
    pub quantised: f64,
    /// After quantisation-aware training, where there was any.
    pub tuned: Option<f64>,
}

impl Accuracy {
    /// Points lost by what is written: the trained model if it is better.
    #[must_use]
    pub fn drop(&self) -> f64 {
        100.0 * (self.single - self.tuned.map_or(self.quantised, |tuned| tuned.max(self.quantised)))
    }
}

/// What quantisation did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantiseReport {
    /// For whom.
    pub target: Target,
    /// How ranges of activations were chosen.
    pub calibration: Calibration,
    /// Calibration images.
    pub images: usize,
    /// Bytes of weights and constants before.
    pub bytes_before: usize,
    /// Bytes of weights and constants after.
    pub bytes_after: usize,
    /// Pairs of convolutions that were equalised.
    pub equalised: usize,
    /// Values with a grid, by name.
    pub tensors: Vec<TensorReport>,
    /// Layers in the graph's order.
    pub layers: Vec<LayerReport>,
    /// Layers left in single precision.
    pub float: Vec<String>,
    /// The graph's outputs, by name.
    pub outputs: Vec<(String, Agreement)>,
    /// Balanced accuracy on validation images, where it was asked for.
    pub accuracy: Option<Accuracy>,
    /// What a runtime made of it, once one has loaded it.
    pub fusion: Option<Fusion>,
}

impl Fusion {
    /// Counts in a graph as ONNX Runtime has optimised it: every convolution of `model` should have become a QLinearConv.
    #[must_use]
    pub fn count<'a>(model: &Model, optimised: impl IntoIterator<Item = &'a NodeProto>) -> Self {
        let convolutions = model.graph().node.iter().filter(|node| node.is("Conv")).count();
        let quantised = optimised.into_iter().filter(|node| node.op_type() == "QLinearConv").count();
        Self { convolutions, quantised }
    }
}

impl fmt::Display for QuantiseReport {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let width = self.layers.iter().map(|layer| layer.node.chars().count()).max().unwrap_or(0).clamp(5, 60);
        writeln!(f, "{} from {} images, ranges by {:?}", self.target, self.images, self.calibration)?;
        writeln!(f, "{:width$}  {:>9}  {:>7}  {:>8}  {:>7}", "layer", "weights", "moved", "cosine", "SQNR dB")?;
        for LayerReport { node, weights, moved, agreement } in &self.layers {
            let moved = percent(*moved, *weights);
            let (cosine, sqnr) = (agreement.cosine(), agreement.sqnr_db());
            writeln!(f, "{node:width$}  {weights:>9}  {moved:>6.1}%  {cosine:>8.5}  {sqnr:>7.1}")?;
        }
        for node in &self.float {
            writeln!(f, "{node:width$}  in single precision")?;
        }
        for (name, agreement) in &self.outputs {
            writeln!(f, "output '{name}': cosine {:.5}, SQNR {:.1} dB", agreement.cosine(), agreement.sqnr_db())?;
        }
        let (before, after) = (self.bytes_before as f64 / 1e6, self.bytes_after as f64 / 1e6);
        write!(f, "weights {before:.2} MB -> {after:.2} MB ({:.2}x smaller)", before / after.max(1e-9))?;
        match self.fusion {
            Some(Fusion { convolutions, quantised }) => {
                write!(f, "; {quantised} of {convolutions} convolutions on integers")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_agree_have_cosine_one_and_no_error() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.cosine(), 1.0);
        agreement.add(&[1.0, -2.0], &[1.0, -2.0]);
        assert!((agreement.cosine() - 1.0).abs() < 1e-12);
        assert_eq!(agreement.sqnr_db(), f64::INFINITY);
    }

    #[test]
    fn a_tenth_of_error_is_twenty_decibels() {
        let mut agreement = Agreement::default();
        agreement.add(&[1.0; 4], &[1.1, 0.9, 1.1, 0.9]);
        assert!((agreement.sqnr_db() - 20.0).abs() < 1e-4);
        let mut turned = Agreement::default();
        turned.add(&[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!(turned.cosine(), 0.0);
    }
}
