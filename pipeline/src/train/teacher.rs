//! A frozen teacher's answers to K views of each training image, asked once and kept on disk.
//!
//! Student and teacher must see the same crop (Beyer et al. 2022); with K views that repeat, the teacher runs K times
//! instead of once an epoch (Shen and Xing 2022).

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use takt_graph::Model;

use super::error::TrainError;
use super::settings::{Distil, Settings};
use crate::data::{Batching, Images, Tail, Views};
use crate::predict::{Runner, run_views};
use crate::progress::Progress;

/// A model that teaches.
#[derive(Debug)]
pub struct Teacher<'a> {
    /// The model.
    pub model: &'a Model,
    /// How it is listened to.
    pub distil: Distil,
    /// Names model and data; answers are kept under it.
    pub key: &'a str,
    /// Folder of answers.
    pub folder: &'a Path,
}

/// Its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    distil: Distil,
    classes: usize,
    /// Place of a sample among the rows.
    rows: Vec<Option<u32>>,
    /// Logits by view, a row per training image.
    views: Vec<Vec<f32>>,
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
        let runner = Runner::executor(self.model).map_err(TrainError::teacher)?;
        progress.begin(self.distil.views * train.len() as u64);
        let mut views = Vec::new();
        for view in 0..self.distil.views {
            let path = self.folder.join(format!("{}-view{view}.f32", self.key));
            let seen = Views::Augmented { augment: settings.augment, seed: settings.seed, view };
            let batching = Batching { size: settings.batch, tail: Tail::Keep, views: seen, threads };
            let expected = train.len() * runner.classes();
            views.push(match read(&path, expected) {
                Some(answers) => {
                    train.iter().for_each(|_| progress.advance());
                    answers
                }
                None => {
                    let answers =
                        run_views(&runner, images, train, batching, progress, stop).map_err(TrainError::teacher)?;
                    write(&path, &answers)?;
                    answers
                }
            });
        }
        let mut rows = vec![None; images.len()];
        for (row, &sample) in train.iter().enumerate() {
            if let Some(place) = rows.get_mut(sample) {
                *place = u32::try_from(row).ok();
            }
        }
        Ok(Answers { distil: self.distil, classes: runner.classes(), rows, views })
    }
}

impl Answers {
    /// How the teacher is listened to.
    #[must_use]
    pub const fn distil(&self) -> &Distil {
        &self.distil
    }

    /// The view that an epoch (from 0) looks at.
    #[must_use]
    pub fn view(&self, epoch: u32) -> u64 {
        u64::from(epoch) % self.distil.views
    }

    /// Logits of those samples in that view, a row each. `None` where the teacher was not asked about one of them.
    #[must_use]
    pub fn rows(&self, view: u64, samples: &[usize]) -> Option<Vec<f32>> {
        let answers = self.views.get(usize::try_from(view).ok()?)?;
        let mut rows = Vec::with_capacity(samples.len() * self.classes);
        for &sample in samples {
            let row = (*self.rows.get(sample)?)? as usize;
            rows.extend_from_slice(answers.get(row * self.classes..(row + 1) * self.classes)?);
        }
        Some(rows)
    }
}

fn read(path: &Path, expected: usize) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok().filter(|bytes| bytes.len() == expected * 4)?;
    Some(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
}

/// A file of this name is complete.
fn write(path: &Path, answers: &[f32]) -> Result<(), TrainError> {
    let bytes: Vec<u8> = answers.iter().flat_map(|answer| answer.to_le_bytes()).collect();
    crate::file::replace(path, &bytes).map_err(TrainError::file(path))
}
