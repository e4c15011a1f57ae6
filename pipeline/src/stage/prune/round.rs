//! One cut: choose, drop, re-estimate, fine-tune.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use takt_graph::channels::{self, Groups};
use takt_graph::{Model, cost};

use super::Prune;
use super::scale::Scale;
use super::search::Search;
use crate::data::{Split, epoch_order};
use crate::file;
use crate::prune::{Criterion, GroupPlan, Importance, Lesson, Measure, Plan, Taylor, reestimate, select};
use crate::stage::error::StageError;
use crate::stage::fit::{Course, key, run_fit};
use crate::stage::shop::{MODEL, Ready, Shop, folder};
use crate::train::Answers;

/// Batches by which running statistics are estimated anew after a cut.
const REESTIMATE_BATCHES: usize = 32;
/// Batches whose gradients rank channels.
const TAYLOR_BATCHES: usize = 32;

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Names the round's input; a result of another run is not taken for this one's.
    key: String,
    /// Share of the measure that is left, of what the model had before the first round.
    pub share: f64,
    /// Multiply-accumulates before and after.
    pub macs: [u64; 2],
    /// Parameters before and after.
    pub parameters: [u64; 2],
    /// Milliseconds of its layers in INT8 before and after, where it was pruned by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<[f64; 2]>,
    /// Best balanced accuracy on the validation split after fine-tuning.
    pub balanced_accuracy: f64,
    /// What became of each group of channels.
    pub groups: Vec<GroupPlan>,
}

/// What all rounds of a run share.
pub(super) struct Cutter<'a> {
    pub(super) run: &'a Prune,
    pub(super) ready: &'a Ready,
    pub(super) answers: &'a Answers,
    pub(super) shop: &'a Shop<'a>,
}

/// A model that is to be cut to a share, and the folder for what comes of it.
pub(super) struct Task<'a> {
    pub(super) model: &'a Model,
    pub(super) share: f64,
    pub(super) place: &'a Path,
}

/// What came of a task.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, moved once")]
pub(super) enum Outcome {
    /// A smaller model.
    Cut(Model, Round),
    /// Blocks are so coarse that it would be the cut to this share, which was taken back before.
    Known(f64),
}

impl Cutter<'_> {
    /// Cuts and fine-tunes, or takes what an earlier run had finished.
    pub(super) fn cut(&self, scale: &mut Scale, task: &Task<'_>, search: &Search) -> Result<Outcome, StageError> {
        let key = self.key(task)?;
        if let Some((model, round)) = finished(task.place, &key)? {
            return Ok(Outcome::Cut(model, round));
        }
        let groups = channels::groups(task.model)?;
        let importance = self.importance(task.model, &groups)?;
        let budget = scale.budget(task.model, &groups, self.shop)?;
        let bounds = scale.bounds(&groups, task.share);
        let plan = select(&groups, &importance, &budget, &bounds, &self.run.cut)?;
        // Short enough to be the same after a file: the next cut's share follows from it.
        let share = (plan.after as f64 / scale.whole.max(1.0) * 1e6).round() / 1e6;
        if search.was_taken_back(share) {
            return Ok(Outcome::Known(share));
        }
        let (smaller, balanced_accuracy) = self.fine_tune(task, &groups, &plan)?;
        let (was, is) = (cost::total(task.model)?, cost::total(&smaller)?);
        let milliseconds = |microseconds: u64| microseconds as f64 / 1e3;
        let round = Round {
            key,
            share,
            macs: [was.macs, is.macs],
            parameters: [was.parameters, is.parameters],
            latency_ms: (self.run.cut.measure == Measure::Latency).then(|| [plan.before, plan.after].map(milliseconds)),
            balanced_accuracy,
            groups: plan.groups,
        };
        smaller.save(task.place.join(MODEL))?;
        let path = task.place.join("round.json");
        let text = serde_json::to_string_pretty(&round).unwrap_or_default();
        file::replace(&path, text.as_bytes()).map_err(StageError::file(path))?;
        Ok(Outcome::Cut(smaller, round))
    }

    fn key(&self, task: &Task<'_>) -> Result<String, StageError> {
        let run = self.run;
        let rest = serde_json::to_string(&(run.cut, run.criterion, task.share, &run.distil)).unwrap_or_default();
        Ok(format!("{} {rest}", key(task.model, &run.settings, None, self.ready)?))
    }

    fn importance(&self, model: &Model, groups: &Groups) -> Result<Importance, StageError> {
        let taylor = match self.run.criterion {
            Criterion::Gamma | Criterion::L1 | Criterion::L2 => None,
            Criterion::Taylor => {
                let lesson = Lesson {
                    images: &self.ready.images,
                    train: &self.ready.split(Split::Train)?,
                    settings: &self.run.settings,
                    batches: TAYLOR_BATCHES,
                    threads: self.shop.threads,
                    progress: self.shop.progress,
                    stop: self.shop.stop,
                };
                Some(Taylor::measure(model, groups, &lesson)?.ok_or(StageError::Interrupted)?)
            }
        };
        Ok(Importance::of(model, groups, self.run.criterion, taylor.as_ref())?)
    }

    /// Carries a plan out, and gives the balanced accuracy of what comes of it.
    fn fine_tune(&self, task: &Task<'_>, groups: &Groups, plan: &Plan) -> Result<(Model, f64), StageError> {
        let (settings, ready, shop) = (&self.run.settings, self.ready, self.shop);
        folder(task.place)?;
        let mut smaller = task.model.clone();
        plan.apply(&mut smaller, groups)?;
        // Shuffled: data sets list one class after another.
        let mut some = epoch_order(&ready.split(Split::Train)?, settings.seed, 0);
        some.truncate(settings.batch.get() * REESTIMATE_BATCHES);
        reestimate(&mut smaller, &ready.images, &some, settings.batch, shop.threads, shop.progress, shop.stop)?
            .ok_or(StageError::Interrupted)?;
        let rest = serde_json::to_string(&self.run.distil).unwrap_or_default();
        let key = format!("{} {rest}", key(&smaller, settings, None, ready)?);
        let course = Course { settings, teacher: Some(self.answers), sparsity: None, key: &key, out: task.place };
        let fitted = run_fit(&mut smaller, ready, &course, shop)?;
        Ok((smaller, fitted.records.iter().map(|record| record.balanced_accuracy).fold(0.0, f64::max)))
    }
}

/// A round that an interrupted run had finished.
fn finished(place: &Path, key: &str) -> Result<Option<(Model, Round)>, StageError> {
    let Ok(text) = fs::read_to_string(place.join("round.json")) else { return Ok(None) };
    let Ok(round) = serde_json::from_str::<Round>(&text) else { return Ok(None) };
    if round.key != key {
        return Ok(None);
    }
    let path = place.join(MODEL);
    let model = Model::load(&path).map_err(|source| StageError::Model { path, source: Box::new(source) })?;
    Ok(Some((model, round)))
}
