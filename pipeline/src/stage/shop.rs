//! What all stages need: the data, threads, memory, and somebody who watches.

use std::cell::OnceCell;
use std::fs::{self, File, TryLockError};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use takt_artifact::Preprocess;
use takt_graph::Model;

use super::error::StageError;
use super::prune::LATENCIES;
use crate::card::Card;
use crate::data::{Dataset, Images, LoadOptions, Partition, Selection, Split};
use crate::file;
use crate::progress::Progress;
use crate::train::{EVENTS, METRICS, Observer};

/// A stage's model.
pub const MODEL: &str = "model.onnx";
/// What a stage has to say of itself.
pub const REPORT: &str = "report.json";

/// Shares of the splits where the data has none.
const SHARES: [(Split, f64); 3] = [(Split::Train, 0.7), (Split::Validation, 0.15), (Split::Test, 0.15)];
/// Images to calibrate with where no split is meant for it.
const CALIBRATION: usize = 500;

/// Where stages work.
#[derive(Clone, Copy)]
pub struct Shop<'a> {
    /// Threads that decode.
    pub threads: NonZeroUsize,
    /// Bytes of decoded images that may be kept.
    pub cache_bytes: usize,
    /// Told of steps and epochs.
    pub observer: &'a dyn Observer,
    /// Told of everything else that is counted.
    pub progress: &'a dyn Progress,
    /// Set from outside to end soon.
    pub stop: &'a AtomicBool,
    /// Measures memory in a process of its own, where there can be one.
    pub weigh: Option<Weigh>,
}

/// Asks a process of its own for what [`weigh`](super::weigh) says of a model file.
pub type Weigh = fn(&Path) -> Option<u64>;

/// A data set, ready for a model.
pub(super) struct Ready {
    pub(super) data: Dataset,
    pub(super) images: Arc<Images>,
    digest: OnceCell<String>,
}

impl Shop<'_> {
    /// Opens a data set with the classes in the order of `labels`, where given. Data without splits is divided, always
    /// the same way.
    pub(super) fn data(&self, folder: &Path, labels: Option<&[String]>) -> Result<Dataset, StageError> {
        let options = LoadOptions { classes: labels.map(<[String]>::to_vec), ..LoadOptions::default() };
        let mut data = Dataset::open(folder, &options)?;
        if data.samples.iter().all(|sample| sample.split.is_none()) {
            Partition { from: Selection::All, shares: SHARES.to_vec(), group_by: Vec::new(), seed: 0 }
                .apply(&mut data)?;
        }
        Ok(data)
    }

    pub(super) fn ready(&self, data: Dataset, preprocess: &Preprocess) -> Result<Ready, StageError> {
        let images = Arc::new(Images::new(&data, preprocess, self.cache_bytes)?);
        Ok(Ready { data, images, digest: OnceCell::new() })
    }
}

impl Ready {
    /// Digest of the data set. It reads every image, so it is made once.
    pub(super) fn digest(&self) -> Result<&str, StageError> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest);
        }
        let digest = self.data.digest()?;
        Ok(self.digest.get_or_init(|| digest))
    }

    /// Samples of a split.
    pub(super) fn split(&self, split: Split) -> Result<Vec<usize>, StageError> {
        Ok(self.data.indices(split)?)
    }

    /// Samples to calibrate with: their own split, else some of those for training.
    pub(super) fn calibration(&self) -> Result<Vec<usize>, StageError> {
        if let Ok(samples) = self.data.indices(Split::Calibration) {
            return Ok(samples);
        }
        let train = self.data.indices(Split::Train)?;
        let stride = train.len().div_ceil(CALIBRATION).max(1);
        Ok(train.into_iter().step_by(stride).collect())
    }
}

/// Reads a model and its card; a model without one gets that of its input, with the classes of the data.
pub(super) fn open(path: &Path) -> Result<(Model, Option<Card>), StageError> {
    let model =
        Model::load(path).map_err(|source| StageError::Model { path: path.to_owned(), source: Box::new(source) })?;
    let card = Card::read(&model)?;
    Ok((model, card))
}

/// Whether a file of a stage that makes models tells how the run went, speeds and hours, rather than what it made. `file` is its
/// path below the stage's folder.
#[must_use]
pub fn is_log(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    [REPORT, METRICS, EVENTS, LATENCIES].contains(&name)
}

/// Makes the folder of results and holds it for this process: two runs in one folder would tear each other's files. Held as
/// long as what is given back.
pub(super) fn claim(out: &Path) -> Result<Option<File>, StageError> {
    folder(out)?;
    // Where a folder cannot be opened as a file, nobody is kept out.
    let Ok(held) = File::open(out) else { return Ok(None) };
    match held.try_lock() {
        Ok(()) => Ok(Some(held)),
        Err(TryLockError::WouldBlock) => Err(StageError::Busy { folder: out.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Refuses to write over the model that is read.
pub(super) fn keep_input(input: &Path, out: &Path) -> Result<(), StageError> {
    let same = |one: &Path, other: &Path| Some(one.canonicalize().ok()? == other.canonicalize().ok()?);
    if same(input, &out.join(MODEL)) == Some(true) {
        return Err(StageError::Mismatch {
            what: "the folder for the result",
            found: format!("'{}', where the model that is read lies", out.display()),
            expected: "another one, so that both are there afterwards".to_owned(),
        });
    }
    Ok(())
}

/// Makes a folder.
pub(super) fn folder(out: &Path) -> Result<(), StageError> {
    fs::create_dir_all(out).map_err(StageError::file(out))
}

/// Writes a report.
pub(super) fn report(out: &Path, report: &impl Serialize) -> Result<(), StageError> {
    let path = out.join(REPORT);
    let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    file::replace(&path, text.as_bytes()).map_err(StageError::file(path))
}
