//! What a training run is told.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use crate::data::Augment;

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch: NonZeroUsize,
    /// Greatest learning rate; it rises to there linearly and falls to zero along a cosine.
    pub learning_rate: f64,
    /// Epochs in which the learning rate rises.
    pub warmup_epochs: f64,
    /// Momentum of stochastic gradient descent, in Nesterov's form.
    pub momentum: f64,
    /// Decay of convolutions and matrices; biases and normalisation are left alone.
    pub weight_decay: f64,
    /// How much longer than its weights a gradient may be, per output channel (Brock et al. 2021). For networks whose
    /// BatchNormalization is folded: with it, gradients keep their size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Share of a label that is spread over all classes (Szegedy et al. 2016).
    pub label_smoothing: f32,
    /// What an image of each class counts.
    pub class_weights: ClassWeights,
    /// How training images are varied.
    pub augment: Augment,
    /// Ends when the validation figure has not improved for so many epochs.
    pub patience: Option<u32>,
    /// Start of all randomness.
    pub seed: u64,
}

/// What an image of each class counts in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Each image the same.
    Equal,
    /// Each class the same, by the inverse of its share.
    #[default]
    Balanced,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: const { NonZeroUsize::new(32).unwrap() },
            learning_rate: 0.05,
            warmup_epochs: 1.0,
            momentum: 0.9,
            weight_decay: 5e-4,
            clip: None,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
            augment: Augment::default(),
            patience: None,
            seed: 0,
        }
    }
}

impl Settings {
    /// Names every setting that is out of range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), TrainError> {
        let mut faults = Vec::new();
        let mut number = |name: &str, value: f64, most: f64| {
            if !(0.0..=most).contains(&value) {
                faults.push(format!("{name} is {value}, expected 0 to {most}"));
            }
        };
        number("learning_rate", self.learning_rate, 100.0);
        number("warmup_epochs", self.warmup_epochs, f64::from(self.epochs.max(1)));
        number("momentum", self.momentum, 0.9999);
        number("weight_decay", self.weight_decay, 1.0);
        number("clip", self.clip.unwrap_or(0.0), 100.0);
        number("label_smoothing", f64::from(self.label_smoothing), 0.9);
        if self.epochs == 0 {
            faults.push("epochs is 0, expected at least 1".to_owned());
        }
        // The best epoch is the last one at first, which would end a run there.
        if self.patience == Some(0) {
            faults.push("patience is 0, expected at least 1".to_owned());
        }
        self.augment.check()?;
        if faults.is_empty() { Ok(()) } else { Err(TrainError::Settings(faults.join("; "))) }
    }

    /// Whether a training split of so many images can be learnt from in batches.
    ///
    /// # Errors
    /// It is smaller than one.
    pub fn fits(&self, images: usize) -> Result<(), TrainError> {
        let batch = self.batch.get();
        if images >= batch {
            return Ok(());
        }
        let (found, expected) = (format!("{images} images"), format!("at least one batch of {batch}"));
        Err(TrainError::Mismatch { what: "the training split", found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_out_of_range_is_named() {
        let wrong = Settings { epochs: 0, momentum: -1.0, patience: Some(0), ..Settings::default() };
        let told = wrong.check().unwrap_err().to_string();
        assert_eq!(
            told,
            "momentum is -1, expected 0 to 0.9999; epochs is 0, expected at least 1; patience is 0, expected at least 1"
        );
        assert!(Settings { patience: Some(1), ..Settings::default() }.check().is_ok());
    }
}
