//! Pruning in rounds: cut, re-estimate, fine-tune with the model as it was for a teacher.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use takt_graph::{Model, channels, clean, cost};

use super::error::StageError;
use super::fit::{ask, begin_from, key, run_fit};
use super::shop::{MODEL, Ready, Shop, folder, report};
use crate::card::Card;
use crate::data::Split;
use crate::file;
use crate::prune::{Criterion, GroupPlan, Importance, Settings as Cut, reestimate, select};
use crate::train::{Answers, Distil, Settings};

/// Batches by which running statistics are estimated anew after a cut.
const REESTIMATE_BATCHES: usize = 32;

/// A pruning run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// The model to prune, which is also the teacher.
    pub model: PathBuf,
    /// What stays, in all.
    pub cut: Cut,
    /// By what channels are judged.
    pub criterion: Criterion,
    /// Rounds of cutting and fine-tuning.
    pub rounds: NonZeroU32,
    /// Fine-tuning after each round.
    pub settings: Settings,
    /// How the teacher is listened to.
    pub distil: Distil,
    /// Points of balanced accuracy on the validation split that may be lost; a round that loses more is taken back.
    pub max_drop: Option<f64>,
}

/// What came of a pruning run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pruned {
    /// Each round that was kept.
    pub rounds: Vec<Round>,
    /// Why it ended before its target, if it did.
    pub ended_early: Option<String>,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Names the round's input; a result of another run is not taken for this one's.
    key: String,
    /// Multiply-accumulates before and after.
    pub macs: [u64; 2],
    /// Parameters before and after.
    pub parameters: [u64; 2],
    /// Best balanced accuracy on the validation split after fine-tuning.
    pub balanced_accuracy: f64,
    /// What became of each group of channels.
    pub groups: Vec<GroupPlan>,
}

/// Prunes a model and leaves the smaller one in `out`.
///
/// # Errors
/// See [`StageError`]; rounds that are done are in `out/round-<n>`.
pub fn prune(data: &Path, out: &Path, run: &Prune, shop: &Shop<'_>) -> Result<Pruned, StageError> {
    folder(out)?;
    let (mut model, card, data) = begin_from(&run.model, data, shop)?;
    clean::clean(&mut model)?;
    let ready = shop.ready(data, &card.preprocess)?;
    let answers = ask(&run.model, run.distil, &ready, &card, &run.settings, out, shop)?;
    let before = judged(&model, &ready, shop)?;
    let mut done = Pruned { rounds: Vec::new(), ended_early: None };
    for round in 1..=run.rounds.get() {
        let place = out.join(format!("round-{round}"));
        let (smaller, figures) = match finished(&place, &model, run, &ready)? {
            Some(there) => there,
            None => one_round(&model, &place, run, &ready, &answers, shop)?,
        };
        let drop = 100.0 * (before - figures.balanced_accuracy);
        if let Some(most) = run.max_drop.filter(|&most| drop > most) {
            done.ended_early = Some(format!("round {round} lost {drop:.2} points, more than {most}; it is taken back"));
            break;
        }
        model = smaller;
        done.rounds.push(figures);
    }
    finish(model, &card, out)?;
    report(out, &done)?;
    Ok(done)
}

fn finish(mut model: Model, card: &Card, out: &Path) -> Result<(), StageError> {
    card.write(&mut model)?;
    Ok(model.save(out.join(MODEL))?)
}

/// A round that an interrupted run had finished.
fn finished(place: &Path, model: &Model, run: &Prune, ready: &Ready) -> Result<Option<(Model, Round)>, StageError> {
    let Ok(text) = fs::read_to_string(place.join("round.json")) else { return Ok(None) };
    let Ok(round) = serde_json::from_str::<Round>(&text) else { return Ok(None) };
    if round.key != round_key(model, run, ready)? {
        return Ok(None);
    }
    let path = place.join(MODEL);
    let model = Model::load(&path).map_err(|source| StageError::Model { path, source: Box::new(source) })?;
    Ok(Some((model, round)))
}

fn round_key(model: &Model, run: &Prune, ready: &Ready) -> Result<String, StageError> {
    let rest = serde_json::to_string(&(run.cut, run.criterion, run.rounds, run.distil)).unwrap_or_default();
    Ok(format!("{} {rest}", key(model, &run.settings, None, ready)?))
}

fn one_round(
    model: &Model,
    place: &Path,
    run: &Prune,
    ready: &Ready,
    answers: &Answers,
    shop: &Shop<'_>,
) -> Result<(Model, Round), StageError> {
    folder(place)?;
    let round_key = round_key(model, run, ready)?;
    let groups = channels::groups(model)?;
    let importance = Importance::of(model, &groups, run.criterion, None)?;
    let keep = run.cut.keep.powf(1.0 / f64::from(run.rounds.get()));
    let plan = select(model, &groups, &importance, &Cut { keep, ..run.cut })?;
    let mut smaller = model.clone();
    plan.apply(&mut smaller, &groups)?;
    let batch = run.settings.batch;
    let train = ready.split(Split::Train)?;
    let some: Vec<usize> = train.iter().copied().take(batch.get() * REESTIMATE_BATCHES).collect();
    reestimate(&mut smaller, &ready.images, &some, batch, shop.threads, shop.progress)?;
    let checkpoint = place.join("checkpoint");
    let key = key(&smaller, &run.settings, None, ready)?;
    let fitted = run_fit(&mut smaller, ready, &run.settings, Some(answers), (&checkpoint, &key), place, shop)?;
    let best = fitted.records.iter().map(|record| record.balanced_accuracy).fold(0.0, f64::max);
    let (was, is) = (cost::total(model)?, cost::total(&smaller)?);
    let round = Round {
        key: round_key,
        macs: [was.macs, is.macs],
        parameters: [was.parameters, is.parameters],
        balanced_accuracy: best,
        groups: plan.groups,
    };
    smaller.save(place.join(MODEL))?;
    let path = place.join("round.json");
    let text = serde_json::to_string_pretty(&round).unwrap_or_default();
    file::replace(&path, text.as_bytes()).map_err(StageError::file(path))?;
    Ok((smaller, round))
}

/// Balanced accuracy on the validation split.
pub(super) fn judged(model: &Model, ready: &Ready, shop: &Shop<'_>) -> Result<f64, StageError> {
    let runner = crate::predict::Runner::executor(model)?;
    let predictions = super::evaluate::predictions(&runner, ready, Split::Validation, None, shop)?;
    Ok(crate::evaluate::Metrics::of(&predictions).balanced_accuracy)
}
