//! The loop: epochs of steps, each followed by a look at the validation images.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Var;
use takt_graph::Model;
use takt_graph::channels::Groups;
use takt_graph::execute::{Executor, Mode, Options};
use takt_ops::{Sgd, SgdOptions};

use super::checkpoint::{Checkpoint, Progressed};
use super::error::TrainError;
use super::features::Features;
use super::log::{EpochRecord, Log};
use super::objective::Objective;
use super::observe::Observer;
use super::schedule::learning_rate;
use super::settings::Settings;
use super::sparsity::{Shrink, Sparsity};
use super::teacher::{Answers, View};
use crate::data::{Batches, Batching, Images, Tail, Views, epoch_order};
use crate::evaluate::{Input, Metrics, Predictions};
use crate::predict::{classes, first_output};

/// How far running statistics move towards a batch's, as PyTorch.
const STATISTICS_SHARE: f64 = 0.1;

/// Everything that a run works on.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The images, as the model takes them.
    pub images: &'a Arc<Images>,
    /// Names of the classes, in the order of the model's output.
    pub classes: &'a [String],
    /// Samples to learn from.
    pub train: &'a [usize],
    /// Samples by which the best epoch is chosen.
    pub validate: &'a [usize],
    /// How.
    pub settings: &'a Settings,
    /// A teacher's answers for the training samples.
    pub teacher: Option<&'a Answers>,
    /// Channels to be driven to zero.
    pub sparsity: Option<(Sparsity, &'a Groups)>,
    /// Folder of the checkpoint, and what names this run.
    pub checkpoint: Option<(&'a Path, &'a str)>,
    /// Folder for the figures of the epochs, which must be there.
    pub log: Option<&'a Path>,
    /// Threads that decode.
    pub threads: NonZeroUsize,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Set from outside to end after the step at hand; the checkpoint then holds the last whole epoch.
    pub stop: &'a AtomicBool,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Complete,
    /// The validation figure had not improved for as long as was allowed.
    Early,
    /// It was told to stop.
    Interrupted,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Every epoch.
    pub records: Vec<EpochRecord>,
    /// Epoch whose weights the model has now, from 1; 0 if none was finished.
    pub best: u32,
    /// Why it ended.
    pub ended: Ended,
}

/// Trains `model` and leaves in it the weights of the best epoch: the one with the highest balanced accuracy on the
/// validation samples, or the last one while channels are driven to zero.
///
/// # Errors
/// See [`TrainError`]. The model is then as it was.
pub fn fit(model: &mut Model, job: &Job<'_>) -> Result<Fitted, TrainError> {
    job.settings.check()?;
    fits(model, job)?;
    let mut run = Fit::begin(model, job)?;
    let ended = run.all_epochs()?;
    let Progressed { records, best, best_model, .. } = run.done;
    if best > 0 {
        *model = best_model;
    }
    Ok(Fitted { records, best, ended })
}

fn fits(model: &Model, job: &Job<'_>) -> Result<(), TrainError> {
    let found = classes(model)?;
    if found != job.classes.len() {
        let expected = format!("{}, the classes of the data ({})", job.classes.len(), job.classes.join(", "));
        return Err(TrainError::Mismatch { what: "the model's classes", found: found.to_string(), expected });
    }
    job.settings.fits(job.train.len())
}

/// What is tapped of the student, and which channels of the teacher answer to it.
fn features(student: &Model, teacher: Option<&Answers>) -> Result<(Vec<String>, Vec<usize>), TrainError> {
    let Some((answers, theirs)) = teacher.and_then(|answers| Some((answers, answers.features()?))) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let ours = Features::of(student, answers.distil().tap.as_deref())?;
    let channels = ours.among(theirs)?;
    Ok((vec![ours.tap], channels))
}

/// A run under way.
struct Fit<'a> {
    job: &'a Job<'a>,
    executor: Executor,
    /// Convolutions and matrices decay, everything else does not.
    optimisers: [Sgd; 2],
    objective: Objective,
    /// For each channel of the student's features the teacher's; empty where features are left out.
    channels: Vec<usize>,
    shrink: Option<Shrink>,
    log: Option<Log>,
    begun: Instant,
    done: Progressed,
}

impl<'a> Fit<'a> {
    fn begin(model: &Model, job: &'a Job<'a>) -> Result<Self, TrainError> {
        let checkpoint = job.checkpoint.map(|(folder, key)| Checkpoint { folder, key });
        let resumed = checkpoint.map(|checkpoint| checkpoint.read()).transpose()?.flatten();
        let start = resumed.as_ref().map_or(model, |resumed| &resumed.last_model);
        let (taps, channels) = features(start, job.teacher)?;
        let executor = Executor::new(start, &Options { taps, ..Options::default() })?;
        let of_rank = |decayed: bool| -> Vec<(String, Var)> {
            let vars = executor.vars().iter().filter(|(_, var)| (var.rank() >= 2) == decayed);
            vars.map(|(name, var)| (name.clone(), var.clone())).collect()
        };
        let options = SgdOptions {
            momentum: job.settings.momentum,
            nesterov: job.settings.momentum > 0.0,
            clip: job.settings.clip,
            ..SgdOptions::default()
        };
        let mut optimisers = [
            Sgd::new(of_rank(true), SgdOptions { weight_decay: job.settings.weight_decay, ..options })?,
            Sgd::new(of_rank(false), options)?,
        ];
        if let Some(resumed) = &resumed {
            for (optimiser, decayed) in optimisers.iter_mut().zip([true, false]) {
                let own = |name: &str| executor.vars().get(name).is_some_and(|var| (var.rank() >= 2) == decayed);
                let momenta = resumed.momenta.iter().filter(|(name, _)| own(name));
                optimiser.restore(&momenta.map(|(name, momentum)| (name.clone(), momentum.clone())).collect())?;
            }
        }
        let done = resumed.unwrap_or_else(|| Progressed {
            records: Vec::new(),
            best: 0,
            last_model: model.clone(),
            best_model: model.clone(),
            momenta: Default::default(),
        });
        let before = Duration::from_secs_f64(done.records.last().map_or(0.0, |record| record.seconds.max(0.0)));
        let now = Instant::now();
        Ok(Self {
            job,
            executor,
            optimisers,
            objective: Objective::new(job.settings, job.classes.len(), job.images, job.train)?,
            channels,
            shrink: job.sparsity.map(|(sparsity, groups)| Shrink::new(sparsity, groups)),
            log: job.log.map(|folder| Log::begin(folder, &done.records)).transpose()?,
            begun: now.checked_sub(before).unwrap_or(now),
            done,
        })
    }

    fn all_epochs(&mut self) -> Result<Ended, TrainError> {
        let first = self.done.records.last().map_or(0, |record| record.epoch);
        for epoch in first..self.job.settings.epochs {
            if self.gave_up() {
                return Ok(Ended::Early);
            }
            let Some((loss, speed)) = self.epoch(epoch)? else { return Ok(Ended::Interrupted) };
            let Some(metrics) = self.validate()? else {
                let steps = self.steps();
                let rate = learning_rate(self.job.settings, f64::from(epoch + 1));
                return Err(TrainError::Diverged { loss: f32::INFINITY, epoch: epoch + 1, step: steps, steps, rate });
            };
            let record = EpochRecord {
                epoch: epoch + 1,
                loss,
                learning_rate: learning_rate(self.job.settings, f64::from(epoch + 1)),
                accuracy: metrics.accuracy.value.unwrap_or(0.0),
                balanced_accuracy: metrics.balanced_accuracy,
                images_per_second: speed,
                seconds: self.begun.elapsed().as_secs_f64(),
            };
            self.job.observer.epoch(&record);
            if let Some((log, folder)) = self.log.as_mut().zip(self.job.log) {
                log.epoch(&record).map_err(TrainError::file(folder))?;
            }
            self.keep(record)?;
        }
        Ok(if self.gave_up() { Ended::Early } else { Ended::Complete })
    }

    /// Mean loss and images a second of one pass over the training samples; `None` if it was interrupted.
    fn epoch(&mut self, epoch: u32) -> Result<Option<(f64, f64)>, TrainError> {
        let (job, settings) = (self.job, self.job.settings);
        let order = epoch_order(job.train, settings.seed, u64::from(epoch));
        let view = job.teacher.map_or(u64::from(epoch), |teacher| teacher.view(epoch));
        let views = Views::Augmented { augment: settings.augment, seed: settings.seed, view };
        let batching = Batching { size: settings.batch, tail: Tail::Drop, views, threads: job.threads };
        let taught = job.teacher.map(|teacher| teacher.read(view)).transpose()?;
        let steps = self.steps();
        let (begun, mut sum) = (Instant::now(), 0.0);
        for (step, batch) in Batches::start(job.images, &order, batching)?.enumerate() {
            if job.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let rate = learning_rate(settings, f64::from(epoch) + step as f64 / steps as f64);
            let loss = self.step(batch?, taught.as_ref(), rate)?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { loss, epoch: epoch + 1, step: step + 1, steps, rate });
            }
            sum += f64::from(loss);
            job.observer.step(epoch + 1, step + 1, steps, loss);
        }
        let images = (steps * settings.batch.get()) as f64;
        Ok(Some((sum / steps as f64, images / begun.elapsed().as_secs_f64())))
    }

    fn step(&mut self, batch: crate::data::Batch, view: Option<&View<'_>>, rate: f64) -> Result<f32, TrainError> {
        let taught = view.map(|view| view.taught(&batch.samples, &self.channels)).transpose()?;
        let (run, loss) = self.objective.run(&self.executor, batch, taught)?;
        let value: f32 = loss.to_scalar()?;
        if !value.is_finite() {
            return Ok(value);
        }
        let gradients = takt_ops::backward(&loss)?;
        for optimiser in &mut self.optimisers {
            optimiser.set_options(SgdOptions { learning_rate: rate, ..*optimiser.options() })?;
            optimiser.step(&gradients)?;
        }
        self.executor.update_statistics(&run, STATISTICS_SHARE)?;
        if let Some(shrink) = &self.shrink {
            shrink.step(self.executor.vars(), rate)?;
        }
        Ok(value)
    }

    /// Steps of an epoch.
    fn steps(&self) -> usize {
        self.job.train.len() / self.job.settings.batch.get()
    }

    /// Figures on the validation samples; `None` where an output is no number any more.
    fn validate(&self) -> Result<Option<Metrics>, TrainError> {
        let job = self.job;
        let batching =
            Batching { size: job.settings.batch, tail: Tail::Keep, views: Views::Plain, threads: job.threads };
        let (mut outputs, mut labels) = (Vec::new(), Vec::new());
        for batch in Batches::start(job.images, job.validate, batching)? {
            let batch = batch?;
            labels.extend(batch.labels.iter().map(|&label| label as usize));
            outputs.extend(first_output(&self.executor, batch, Mode::Eval)?);
        }
        if outputs.iter().any(|output| !output.is_finite()) {
            return Ok(None);
        }
        let input = Input {
            classes: job.classes,
            outputs: &outputs,
            labels: &labels,
            decision: None,
            columns: &[],
            metadata: &[],
            files: &[],
        };
        Ok(Some(Metrics::of(&Predictions::new(input)?)))
    }

    fn keep(&mut self, record: EpochRecord) -> Result<(), TrainError> {
        let done = &mut self.done;
        self.executor.write_to(&mut done.last_model)?;
        let best = done.records.iter().map(|record| record.balanced_accuracy).fold(f64::MIN, f64::max);
        // What was driven to zero last is what is to be cut.
        if self.shrink.is_some() || record.balanced_accuracy > best {
            done.best = record.epoch;
            done.best_model = done.last_model.clone();
        }
        done.records.push(record);
        let Some((folder, key)) = self.job.checkpoint else { return Ok(()) };
        done.momenta = Default::default();
        for optimiser in &self.optimisers {
            done.momenta.extend(optimiser.state()?);
        }
        Checkpoint { folder, key }.write(done)
    }

    fn gave_up(&self) -> bool {
        let last = self.done.records.last().map_or(0, |record| record.epoch);
        self.job.settings.patience.is_some_and(|patience| last > 0 && last - self.done.best >= patience)
    }
}
