//! Why a model was not quantised.

use takt_graph::TensorError;
use takt_graph::check::CheckErrors;
use takt_graph::execute::ExecuteError;
use takt_graph::patch::PassError;
use takt_graph::shape::ShapeError;

/// Why a model was not quantised. The model given is as it was.
#[derive(Debug, thiserror::Error)]
pub enum QuantiseError {
    /// The caller asked for it.
    #[error("interrupted")]
    Interrupted,
    /// The caller's images end in an error.
    #[error("calibration images: {0}")]
    Images(Box<dyn std::error::Error + Send + Sync>),
    /// There are none.
    #[error("found no calibration image, expected at least one; some hundreds that look like production serve best")]
    NoImages,
    /// A batch whose numbers do not fill its shape.
    #[error("calibration batch {at}: found {found} numbers for shape {shape:?}, expected {expected}")]
    Batch {
        /// Which, from 0.
        at: usize,
        /// Numbers there are.
        found: usize,
        /// Samples, channels, height, width.
        shape: [usize; 4],
        /// Numbers there should be.
        expected: usize,
    },
    /// The model takes something else than one batch of images.
    #[error("found inputs {found:?}, expected one: a batch of images [N, C, H, W] in single precision")]
    Inputs {
        /// Names of the inputs.
        found: Vec<String>,
    },
    /// The model is quantised already.
    #[error("{node}: the model is quantised already; start from the one in single precision")]
    Already {
        /// The first node that says so.
        node: String,
    },
    /// Nothing in the model can be quantised.
    #[error("found no Conv, Gemm or MatMul with constant weights, expected at least one to quantise")]
    Nothing,
    /// A name among those to be kept in single precision that no node has.
    #[error("no node is called '{name}', which is to stay in single precision{hint}")]
    NoSuchNode {
        /// The name.
        name: String,
        /// A name like it, as a sentence.
        hint: String,
    },
    /// An option outside its range.
    #[error("found {option} {found}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was found.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A value became infinite or no number at all.
    #[error(
        "'{value}' holds numbers that are not finite on calibration images; check their normalisation and the model's weights"
    )]
    NotFinite {
        /// The value or initialiser.
        value: String,
    },
    /// An initialiser cannot be read.
    #[error("initialiser '{name}': {fault}")]
    Tensor {
        /// The initialiser.
        name: String,
        /// What is wrong with it.
        fault: TensorError,
    },
    /// A model that was trained has lost what it was to train.
    #[error("found no initialiser '{name}' in the model that was trained; train it in place, and clean nothing up")]
    Lost {
        /// The initialiser.
        name: String,
    },
    /// The model cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PassError),
    /// Shapes that cannot be.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    /// The model cannot be run, or not on these images.
    #[error("running the model on calibration images: {0}")]
    Run(#[from] ExecuteError),
    /// The quantised graph breaks the rules: a fault of ours.
    #[error("the quantised graph would be broken: {0}")]
    Broken(#[from] CheckErrors),
    /// candle failed outside a node.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
