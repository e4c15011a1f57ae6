//! A loaded version: everything a request needs to be checked, run and judged, immutable while it serves.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use takt_artifact::{Judge, Signature, TensorSpec};
use takt_backend::Placement;

use crate::batch::batcher::Batcher;
use crate::batch::images::ImageDecoder;
use crate::monitor::VersionTap;
use crate::repository::config::ModelConfig;
use crate::state::VersionId;
use crate::telemetry::stats::VersionStats;

/// The input that takes encoded images.
pub struct ImageInput {
    /// Its place in the signature.
    pub index: usize,
    /// Shape of one decoded image, without the batch dimension.
    pub shape: [usize; 3],
    /// What decodes for it.
    pub decoder: Arc<dyn ImageDecoder>,
}

impl ImageInput {
    /// Fills the free dimensions of the image input: whatever comes, it is made that size.
    pub fn narrow(&self, signature: &mut Signature) {
        if let Some(spec) = signature.inputs.get_mut(self.index) {
            for (dim, have) in spec.shape.iter_mut().skip(1).zip(self.shape) {
                *dim = have as i64;
            }
        }
    }
}

/// Turns the rows of one output into verdicts.
pub struct OutputJudge {
    /// Place of the output in the signature.
    pub output: usize,
    /// The version's decision.
    pub judge: Judge,
}

/// A version that serves.
pub struct ServedVersion {
    /// Which it is.
    pub id: VersionId,
    /// Directory it was loaded from.
    pub dir: PathBuf,
    /// Inputs and outputs.
    pub signature: Signature,
    /// How it is operated.
    pub config: Arc<ModelConfig>,
    /// Class names of each output, in signature order; empty where it has none.
    pub labels: Vec<Vec<String>>,
    /// Where it takes encoded images.
    pub image: Option<ImageInput>,
    /// Where it has a decision.
    pub judge: Option<OutputJudge>,
    /// Variant of the artefact.
    pub variant: String,
    /// What really runs it.
    pub placement: Placement,
    /// Its queue.
    pub batcher: Arc<Batcher>,
    /// Its counters.
    pub stats: Arc<VersionStats>,
    /// Where the monitor looks on, if it does.
    pub tap: Option<Arc<VersionTap>>,
    /// When it began to serve.
    pub loaded_at: SystemTime,
    /// Length of its artefact in bytes.
    pub artefact_bytes: u64,
    /// Its instance threads, until it has drained.
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ServedVersion {
    /// Whether requests carry a batch dimension that others may share.
    #[must_use]
    pub fn batches(&self) -> bool {
        self.batcher.config().max_batch_size > 0
    }

    /// Shape that a request must give for this tensor: as in the graph, the batch dimension shown as -1.
    #[must_use]
    pub fn request_shape(&self, spec: &TensorSpec) -> Vec<i64> {
        let mut shape = spec.shape.clone();
        if self.batches()
            && let Some(batch) = shape.first_mut()
        {
            *batch = -1;
        }
        shape
    }

    /// Class names of that output; empty where it has none.
    #[must_use]
    pub fn labels_of(&self, output: &str) -> &[String] {
        let index = self.signature.outputs.iter().position(|spec| spec.name == output);
        index.and_then(|index| self.labels.get(index)).map_or(&[], Vec::as_slice)
    }

    /// Keeps the handle of an instance thread until the version has drained.
    pub(super) fn adopt(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// Stops taking requests, lets what waits run, and frees the sessions. Blocks until the threads have ended.
    pub fn drain(&self) {
        self.batcher.drain();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(version = %self.id, "an instance thread panicked; please report this");
            }
        }
    }
}
