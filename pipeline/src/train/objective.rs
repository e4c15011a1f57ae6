//! The loss: labels, and a teacher's answers and features.

use candle_core::{Device, Tensor};
use takt_graph::execute::{Executor, Mode, Run};

use super::error::TrainError;
use super::features::pooled;
use super::settings::{ClassWeights, Settings};
use super::teacher::Taught;
use crate::data::{Batch, Images};
use crate::predict::{PredictError, tensor};

/// What a step is to make small.
pub(crate) struct Objective {
    classes: usize,
    smoothing: f32,
    /// What an image of each class counts.
    weights: Vec<f32>,
}

impl Objective {
    /// For training on those samples.
    pub(crate) fn new(
        settings: &Settings,
        classes: usize,
        images: &Images,
        train: &[usize],
    ) -> Result<Self, TrainError> {
        let mut counts = vec![0_u64; classes];
        for &sample in train {
            if let Some(count) = counts.get_mut(images.label(sample)? as usize) {
                *count += 1;
            }
        }
        let total = counts.iter().sum::<u64>() as f32;
        let weight = |&count: &u64| match settings.class_weights {
            ClassWeights::Equal => 1.0,
            ClassWeights::Balanced => total / (classes as f32 * count.max(1) as f32),
        };
        Ok(Self { classes, smoothing: settings.label_smoothing, weights: counts.iter().map(weight).collect() })
    }

    /// Runs a batch with its own statistics and gives the mean loss; see [`Self::loss`].
    pub(crate) fn run(
        &self,
        executor: &Executor,
        mut batch: Batch,
        teacher: Option<Taught<'_>>,
    ) -> Result<(Run, Tensor), TrainError> {
        let input = tensor(std::mem::take(&mut batch.inputs), batch.shape)?;
        takt_ops::in_pool(|| {
            let run = executor.run(&[input], Mode::Train)?;
            let loss = self.loss(&run, &batch, teacher)?;
            Ok((run, loss))
        })
    }

    /// Mean loss of a batch. `teacher` saw the same views; what it said of features is held against the run's first tap.
    fn loss(&self, run: &Run, batch: &Batch, teacher: Option<Taught<'_>>) -> Result<Tensor, TrainError> {
        let logits = run.outputs.first().ok_or_else(|| PredictError::NoClasses("none".to_owned()))?;
        let Some(Taught { distil, logits: answers, features }) = teacher else {
            return Ok(takt_ops::cross_entropy(logits, &self.targets(batch)?)?);
        };
        let count = batch.labels.len();
        let answers = Tensor::from_vec(answers, (count, self.classes), &Device::Cpu)?;
        let mut terms = Vec::new();
        if distil.alpha < 1.0 {
            terms.push((takt_ops::cross_entropy(logits, &self.targets(batch)?)? * (1.0 - distil.alpha))?);
        }
        if distil.alpha > 0.0 {
            let t = distil.temperature;
            let softened = softmax(&(&answers / t)?)?;
            let softened = softened.broadcast_mul(&self.of_images(batch)?)?;
            // The divergence but for the teacher's entropy, which no gradient sees; T^2 keeps its size.
            terms.push((takt_ops::cross_entropy(&(logits / t)?, &softened)? * (distil.alpha * t * t))?);
        }
        if distil.logits_l2 > 0.0 {
            terms.push(((logits - &answers)?.sqr()?.mean_all()? * distil.logits_l2)?);
        }
        if let Some(tap) = run.taps.first().filter(|_| distil.features > 0.0) {
            let features = Tensor::from_vec(features, (count, ()), &Device::Cpu)?;
            terms.push(((pooled(tap)? - features)?.sqr()?.mean_all()? * distil.features)?);
        }
        let mut terms = terms.into_iter();
        let first = terms.next().ok_or_else(|| {
            TrainError::Settings("alpha and logits_l2 leave nothing to learn from; raise one of them".to_owned())
        })?;
        Ok(terms.try_fold(first, |sum, term| sum + term)?)
    }

    /// Probabilities to be learnt, `[N, classes]`, each row times what its image counts.
    fn targets(&self, batch: &Batch) -> Result<Tensor, TrainError> {
        let spread = self.smoothing / self.classes as f32;
        let mut targets = vec![spread; batch.labels.len() * self.classes];
        for (row, &label) in targets.chunks_exact_mut(self.classes).zip(&batch.labels) {
            let label = label as usize;
            if let (Some(target), Some(&weight)) = (row.get_mut(label), self.weights.get(label)) {
                *target += 1.0 - self.smoothing;
                row.iter_mut().for_each(|target| *target *= weight);
            }
        }
        Ok(Tensor::from_vec(targets, (batch.labels.len(), self.classes), &Device::Cpu)?)
    }

    /// What each image counts, `[N, 1]`.
    fn of_images(&self, batch: &Batch) -> Result<Tensor, TrainError> {
        let weights: Vec<f32> =
            batch.labels.iter().map(|&label| self.weights.get(label as usize).copied().unwrap_or(1.0)).collect();
        Ok(Tensor::from_vec(weights, (batch.labels.len(), 1), &Device::Cpu)?)
    }
}

fn softmax(logits: &Tensor) -> Result<Tensor, TrainError> {
    let exp = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(1)?)?)
}
