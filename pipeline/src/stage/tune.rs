//! Quantisation-aware training, where quantising alone loses more than it may (LSQ, Esser et al. 2020).
//!
//! The net runs on its grids in single precision, BatchNormalization folded, and learns from itself as it was before: weights,
//! biases and the steps of all grids move. What comes out goes through the same door into the graph as without training.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};
use takt_graph::Model;

use super::error::StageError;
use super::evaluate::balanced_accuracy;
use super::fit::{Course, ask, key, run_fit};
use super::shop::{Ready, Shop, folder};
use crate::card::Card;
use crate::data::Augment;
use crate::quantise::{Accuracy, Draft, Quantised, Target};
use crate::train::{Answers, Distil, Settings};

/// What quantising may lose, and how it is won back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tune {
    /// Points of balanced accuracy on the validation split that a target may lose untrained.
    pub max_drop: f64,
    /// Passes over the training images for a target that loses more.
    pub epochs: u32,
    /// Greatest learning rate; it falls to zero along a cosine. Far below that of training from nothing: the net is to stay
    /// where it is but for its rounding.
    pub learning_rate: f64,
    /// Images per step.
    pub batch: NonZeroUsize,
    /// How training images are varied.
    pub augment: Augment,
    /// Start of all randomness.
    pub seed: u64,
}

/// How much longer than its weights a gradient may be. With the learning rate and nine tenths of momentum, weights and steps then
/// change by some tenths of a percent in an iteration at most.
const CLIP: f64 = 0.1;

impl Default for Tune {
    fn default() -> Self {
        Self {
            max_drop: 0.5,
            epochs: 3,
            learning_rate: 0.01,
            batch: const { NonZeroUsize::new(32).unwrap() },
            augment: Augment::default(),
            seed: 0,
        }
    }
}

impl Tune {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            epochs: self.epochs,
            batch: self.batch,
            learning_rate: self.learning_rate,
            warmup_epochs: 0.0,
            // Folded weights are no longer free of scale: decay would shrink what they say.
            weight_decay: 0.0,
            clip: Some(CLIP),
            augment: self.augment,
            seed: self.seed,
            ..Settings::default()
        }
    }

    fn distil(&self) -> Distil {
        let plain = Distil::default();
        Distil { views: u64::from(self.epochs).clamp(1, plain.views), ..plain }
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        if !(self.max_drop >= 0.0 && self.max_drop.is_finite()) {
            return Some(format!("tune.max_drop is {}, expected 0 or more points of balanced accuracy", self.max_drop));
        }
        // Without epochs a target is judged, and not trained.
        let settings = Settings { epochs: self.epochs.max(1), ..self.settings() };
        settings.check().err().map(|error| format!("tune: {error}"))
    }
}

/// Trains the targets of one model.
pub(super) struct Tuner<'a> {
    tune: &'a Tune,
    path: &'a Path,
    card: &'a Card,
    ready: &'a Ready,
    out: &'a Path,
    shop: &'a Shop<'a>,
    /// Balanced accuracy in single precision.
    single: f64,
    /// Asked once, for the first target that needs them.
    answers: Option<Answers>,
}

impl<'a> Tuner<'a> {
    /// `model` is what lies at `path`.
    pub(super) fn new(
        tune: &'a Tune,
        model: &Model,
        path: &'a Path,
        card: &'a Card,
        ready: &'a Ready,
        out: &'a Path,
        shop: &'a Shop<'a>,
    ) -> Result<Self, StageError> {
        let single = balanced_accuracy(model, ready, shop)?;
        Ok(Self { tune, path, card, ready, out, shop, single, answers: None })
    }

    /// The quantised model; trained, if it loses too much otherwise and training helps.
    pub(super) fn tuned(&mut self, mut draft: Draft, target: Target) -> Result<Quantised, StageError> {
        let mut quantised = draft.finish()?;
        let mut accuracy = Accuracy { single: self.single, quantised: self.judged(&quantised)?, tuned: None };
        if accuracy.drop() > self.tune.max_drop && self.tune.epochs > 0 {
            self.train(&mut draft, target)?;
            let trained = draft.finish()?;
            let tuned = self.judged(&trained)?;
            accuracy.tuned = Some(tuned);
            if tuned > accuracy.quantised {
                quantised = trained;
            }
        }
        quantised.report.accuracy = Some(accuracy);
        Ok(quantised)
    }

    fn judged(&self, quantised: &Quantised) -> Result<f64, StageError> {
        balanced_accuracy(&quantised.model, self.ready, self.shop)
    }

    fn train(&mut self, draft: &mut Draft, target: Target) -> Result<(), StageError> {
        let settings = self.tune.settings();
        if self.answers.is_none() {
            let distil = self.tune.distil();
            self.answers = Some(ask(self.path, &distil, self.ready, self.card, &settings, self.out, self.shop)?);
        }
        let place = self.out.join(format!("tune-{}", target.name()));
        folder(&place)?;
        let mut trainable = draft.trainable()?;
        let key = key(&trainable.model, &settings, None, self.ready)?;
        let teacher = self.answers.as_ref();
        let course = Course { settings: &settings, teacher, sparsity: None, key: &key, out: &place };
        run_fit(&mut trainable.model, self.ready, &course, self.shop)?;
        Ok(draft.take(&trainable)?)
    }
}
