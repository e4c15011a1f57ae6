//! A frozen teacher's answers to K views of each training image, asked once and kept on disk.
//!
//! Student and teacher must see the same crop (Beyer et al. 2022); with K views that repeat, the teacher runs K times
//! instead of once an epoch (Shen and Xing 2022).
//!
//! ```text
//! <folder>/<key>-view<n>.f32              logits, a row per training image
//! <folder>/<key>-view<n>-<tap>.f32        features, where they are wanted; <tap> names the value they are of
//! ```

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options};

use super::distil::Distil;
use super::error::TrainError;
use super::features::{Features, pooled};
use super::settings::Settings;
use crate::data::{Batches, Batching, Images, Tail, Views};
use crate::predict::{PredictError, classes, tensor};
use crate::progress::Progress;

/// A model that teaches.
#[derive(Debug)]
pub struct Teacher<'a> {
    /// The model.
    pub model: &'a Model,
    /// How it is listened to.
    pub distil: &'a Distil,
    /// Names model and data; answers are kept under it.
    pub key: &'a str,
    /// Folder of answers.
    pub folder: &'a Path,
}

/// Where its answers are; a view of them is in memory at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    distil: Distil,
    classes: usize,
    features: Option<Features>,
    /// Place of a sample among the rows, and how many there are.
    rows: Vec<Option<u32>>,
    count: usize,
    views: Vec<Files>,
}

/// The files of one view.
#[derive(Debug, Clone, PartialEq)]
struct Files {
    logits: PathBuf,
    features: Option<PathBuf>,
}

/// Its answers to one view of every training image.
pub(super) struct View<'a> {
    answers: &'a Answers,
    logits: Vec<f32>,
    features: Vec<f32>,
}

/// What it said of a batch, a row per image.
pub(crate) struct Taught<'a> {
    pub(super) distil: &'a Distil,
    pub(super) logits: Vec<f32>,
    /// The channels that answer to the student's; empty where they are left out.
    pub(super) features: Vec<f32>,
}

impl Teacher<'_> {
    /// Asks for what has not been asked before. A view that is complete on disk is read from there.
    ///
    /// # Errors
    /// The model cannot be run, an image cannot be read, or answers cannot be written.
    pub fn answers(
        &self,
        images: &Arc<Images>,
        train: &[usize],
        settings: &Settings,
        threads: NonZeroUsize,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Answers, TrainError> {
        self.distil.check()?;
        fs::create_dir_all(self.folder).map_err(TrainError::file(self.folder))?;
        let wanted = self.distil.features > 0.0;
        let features = wanted.then(|| Features::of(self.model, self.distil.teacher_tap())).transpose()?;
        let taps = features.iter().map(|features| features.tap.clone()).collect();
        let executor = Executor::new(self.model, &Options { frozen: true, taps }).map_err(PredictError::from);
        let executor = executor.map_err(TrainError::teacher)?;
        let classes = classes(self.model).map_err(TrainError::teacher)?;
        progress.begin(self.distil.views * train.len() as u64);
        let mut views = Vec::new();
        for view in 0..self.distil.views {
            let files = self.files(view, features.as_ref());
            if files.complete(train.len(), classes, features.as_ref()) {
                train.iter().for_each(|_| progress.advance());
            } else {
                let seen = Views::Augmented { augment: settings.augment, seed: settings.seed, view };
                let batching = Batching { size: settings.batch, tail: Tail::Keep, views: seen, threads };
                let (logits, features) =
                    ask(&executor, images, train, batching, progress, stop).map_err(TrainError::teacher)?;
                write(&files.logits, &logits)?;
                files.features.as_ref().map_or(Ok(()), |path| write(path, &features))?;
            }
            views.push(files);
        }
        let mut rows = vec![None; images.len()];
        for (row, &sample) in train.iter().enumerate() {
            if let Some(place) = rows.get_mut(sample) {
                *place = u32::try_from(row).ok();
            }
        }
        Ok(Answers { distil: self.distil.clone(), classes, features, rows, count: train.len(), views })
    }

    fn files(&self, view: u64, features: Option<&Features>) -> Files {
        let file = |rest: &str| self.folder.join(format!("{}-view{view}{rest}.f32", self.key));
        // Names of values are no names of files.
        let tap = |features: &Features| {
            let digest = Sha256::digest(&features.tap);
            digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        Files { logits: file(""), features: features.map(|features| file(&format!("-{}", tap(features)))) }
    }
}

/// Logits and pooled features, a row per sample.
fn ask(
    executor: &Executor,
    images: &Arc<Images>,
    samples: &[usize],
    batching: Batching,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<(Vec<f32>, Vec<f32>), PredictError> {
    let (mut logits, mut features) = (Vec::new(), Vec::new());
    for batch in Batches::start(images, samples, batching)? {
        if stop.load(Ordering::Relaxed) {
            return Err(PredictError::Interrupted);
        }
        let batch = batch?;
        let count = batch.labels.len();
        let run = executor.run(&[tensor(batch.inputs, batch.shape)?], Mode::Eval)?;
        let first = run.outputs.first().ok_or_else(|| PredictError::NoClasses("none".to_owned()))?;
        logits.extend(first.flatten_all()?.to_vec1::<f32>()?);
        for tap in &run.taps {
            features.extend(pooled(tap)?.flatten_all()?.to_vec1::<f32>()?);
        }
        (0..count).for_each(|_| progress.advance());
    }
    Ok((logits, features))
}

impl Files {
    fn complete(&self, rows: usize, classes: usize, features: Option<&Features>) -> bool {
        let width = features.map_or(0, |features| features.width);
        holds(&self.logits, rows * classes) && self.features.as_ref().is_none_or(|path| holds(path, rows * width))
    }
}

impl Answers {
    /// How the teacher is listened to.
    #[must_use]
    pub const fn distil(&self) -> &Distil {
        &self.distil
    }

    /// What is compared of its features, where anything is.
    pub(super) const fn features(&self) -> Option<&Features> {
        self.features.as_ref()
    }

    /// The view that an epoch (from 0) looks at.
    #[must_use]
    pub fn view(&self, epoch: u32) -> u64 {
        u64::from(epoch) % self.distil.views
    }

    /// Its answers to that view.
    pub(super) fn read(&self, view: u64) -> Result<View<'_>, TrainError> {
        let files = usize::try_from(view).ok().and_then(|view| self.views.get(view));
        let files = files.ok_or_else(|| missing(format!("none for view {view}")))?;
        let width = self.features.as_ref().map_or(0, |features| features.width);
        Ok(View {
            answers: self,
            logits: read(&files.logits, self.count * self.classes)?,
            features: files.features.as_ref().map_or(Ok(Vec::new()), |path| read(path, self.count * width))?,
        })
    }
}

impl View<'_> {
    /// What it said of those samples: of its features the channels given.
    pub(super) fn taught(&self, samples: &[usize], channels: &[usize]) -> Result<Taught<'_>, TrainError> {
        let Answers { classes, features, rows, distil, .. } = self.answers;
        let width = features.as_ref().map_or(0, |features| features.width);
        let mut taught = Taught {
            distil,
            logits: Vec::with_capacity(samples.len() * classes),
            features: Vec::with_capacity(samples.len() * channels.len()),
        };
        for &sample in samples {
            let row = rows.get(sample).copied().flatten();
            let row = row.ok_or_else(|| missing("none for one of the training images".to_owned()))? as usize;
            taught.logits.extend(self.logits.iter().skip(row * classes).take(*classes));
            let of_row = self.features.get(row * width..(row + 1) * width).unwrap_or_default();
            taught.features.extend(channels.iter().filter_map(|&channel| of_row.get(channel)));
        }
        Ok(taught)
    }
}

fn missing(found: String) -> TrainError {
    let expected = "those of the split that the student learns from, whole".to_owned();
    TrainError::Mismatch { what: "the teacher's answers", found, expected }
}

/// Whether a file is there with so many numbers.
fn holds(path: &Path, count: usize) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() == count as u64 * 4)
}

fn read(path: &Path, count: usize) -> Result<Vec<f32>, TrainError> {
    let bytes = fs::read(path).map_err(TrainError::file(path))?;
    if bytes.len() != count * 4 {
        return Err(missing(format!("{} bytes in '{}'", bytes.len(), path.display())));
    }
    Ok(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
}

/// A file of this name is complete.
fn write(path: &Path, answers: &[f32]) -> Result<(), TrainError> {
    let bytes: Vec<u8> = answers.iter().flat_map(|answer| answer.to_le_bytes()).collect();
    crate::file::replace(path, &bytes).map_err(TrainError::file(path))
}
