//! By how much the loss would change without a channel, to the first order, from gradients on training images.
//!
//! Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", equation 8: per batch, gradient times weight is
//! summed over everything that goes with the channel and the sum squared; importance is the mean over batches. Squares of
//! sums, since the terms of one channel cancel where it could be done without, and those of two batches must not.
//!
//! A filter before BatchNormalization in training adds nothing, as its scale is divided out again: gamma and beta then say it
//! all, which is the paper's gate behind BatchNormalization. Where that is folded, filter and bias do.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::backprop::GradStore;
use takt_graph::Model;
use takt_graph::channels::Groups;
use takt_graph::execute::{Executor, Options, backward};

use super::importance::{Criterion, add};
use crate::data::{Batches, Batching, Images, Tail, Views, epoch_order};
use crate::predict::classes;
use crate::progress::Progress;
use crate::train::{Objective, Settings, TrainError};

/// Mean over batches of the squared sum of gradient times weight, by group and unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Taylor {
    squares: Vec<Vec<f64>>,
    batches: u32,
}

/// Images whose loss is asked for its gradients.
#[derive(Clone, Copy)]
pub struct Lesson<'a> {
    /// The images, as the model takes them.
    pub images: &'a Arc<Images>,
    /// Samples of the training split.
    pub train: &'a [usize],
    /// The loss, views and batches are those of training with these settings, from labels: a model's own answers, as those of a
    /// teacher it has just been copied from, give no gradient.
    pub settings: &'a Settings,
    /// At most so many batches are looked at.
    pub batches: usize,
    /// Threads that decode.
    pub threads: NonZeroUsize,
    /// Told of batches.
    pub progress: &'a dyn Progress,
    /// Set from outside to end soon.
    pub stop: &'a AtomicBool,
}

impl Taylor {
    /// Runs batches forward and back; weights stay as they are. `None` if it was stopped.
    ///
    /// # Errors
    /// The model cannot be run, an image cannot be read, or the loss is no number.
    pub fn measure(model: &Model, groups: &Groups, lesson: &Lesson<'_>) -> Result<Option<Self>, TrainError> {
        let settings = lesson.settings;
        let executor = Executor::new(model, &Options::default())?;
        let objective = Objective::new(settings, classes(model)?, lesson.images, lesson.train)?;
        let mut order = epoch_order(lesson.train, settings.seed, 0);
        order.truncate(settings.batch.get().saturating_mul(lesson.batches.max(1)));
        let tail = if order.len() < settings.batch.get() { Tail::Keep } else { Tail::Drop };
        let views = Views::Augmented { augment: settings.augment, seed: settings.seed, view: 0 };
        let batching = Batching { size: settings.batch, tail, views, threads: lesson.threads };
        let mut taylor =
            Self { squares: groups.groups.iter().map(|group| vec![0.0; group.units.len()]).collect(), batches: 0 };
        lesson.progress.begin((order.len() / settings.batch.get()).max(1) as u64);
        for batch in Batches::start(lesson.images, &order, batching)? {
            if lesson.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let (_, loss) = objective.run(&executor, batch?, None)?;
            let value: f32 = loss.to_scalar()?;
            if !value.is_finite() {
                return Err(TrainError::Mismatch {
                    what: "the loss of the model to prune on training images",
                    found: value.to_string(),
                    expected: "a number; look for weights or images that are none".to_owned(),
                });
            }
            taylor.see(groups, &executor, &backward(&loss)?)?;
            lesson.progress.advance();
        }
        Ok(Some(taylor))
    }

    /// Adds a batch.
    fn see(&mut self, groups: &Groups, executor: &Executor, gradients: &GradStore) -> Result<(), TrainError> {
        for (group, squares) in groups.groups.iter().zip(&mut self.squares) {
            let mut sums = vec![0.0; squares.len()];
            for (place, member) in group.members.iter().enumerate() {
                if !Criterion::Taylor.counts(member.role) {
                    continue;
                }
                let Some(var) = executor.vars().get(&member.initializer) else { continue };
                let Some(gradient) = gradients.get(var) else { continue };
                let weights: Vec<f32> = var.flatten_all()?.to_vec1()?;
                let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
                let product = |at: usize| f64::from(weights[at]) * f64::from(gradient[at]);
                add(group, place, var.dims(), product, &mut sums);
            }
            squares.iter_mut().zip(sums).for_each(|(square, sum)| *square += sum * sum);
        }
        self.batches += 1;
        Ok(())
    }

    /// Root of the mean square, in units of the loss, by group and unit.
    pub(super) fn scores(&self) -> Vec<Vec<f64>> {
        let batches = f64::from(self.batches.max(1));
        let roots = |squares: &Vec<f64>| squares.iter().map(|square| (square / batches).sqrt()).collect();
        self.squares.iter().map(roots).collect()
    }
}
