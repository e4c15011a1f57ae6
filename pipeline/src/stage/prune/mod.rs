//! Pruning in rounds: cut, re-estimate, fine-tune with the model as it was for a teacher.

mod round;
mod scale;
mod search;
mod sparse;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use takt_graph::{Model, channels, clean};

use super::error::StageError;
use super::evaluate::balanced_accuracy;
use super::fit::{ask, begin_from, can_be_trained};
use super::shop::{MODEL, Shop, claim, keep_input, report};
use crate::prune::{Criterion, Importance, PruneStageError, Settings as Cut};
use crate::train::{Distil, Settings, Sparsity};

pub use round::Round;
use round::{Cutter, Outcome, Task};
pub(in crate::stage) use scale::LATENCIES;
use scale::Scale;
use search::Search;

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
    /// Channels are driven to zero before the first cut; without it they are cut as they are.
    #[serde(default)]
    pub sparsity: Option<Sparsity>,
    /// For so many epochs.
    #[serde(default = "sparse_epochs")]
    pub sparse_epochs: u32,
    /// Rounds of cutting and fine-tuning.
    pub rounds: NonZeroU32,
    /// Fine-tuning after each round.
    pub settings: Settings,
    /// How the teacher is listened to.
    pub distil: Distil,
    /// Points of balanced accuracy on the validation split that may be lost. A round that loses more is taken back, and smaller
    /// cuts are tried in its place.
    pub max_drop: Option<f64>,
    /// File of measured latencies, where they are what is to shrink; without it in the folder of results.
    #[serde(default)]
    pub latencies: Option<PathBuf>,
}

/// What came of a pruning run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pruned {
    /// Each round that was kept.
    pub rounds: Vec<Round>,
    /// Each cut that lost too much.
    #[serde(default)]
    pub taken_back: Vec<TakenBack>,
    /// Why it ended before its target, if it did.
    pub ended_early: Option<String>,
}

/// A cut that lost more than it may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakenBack {
    /// Share of the measure that it left.
    pub share: f64,
    /// Points of balanced accuracy that it lost.
    pub lost: f64,
}

/// What [`Prune::sparse_epochs`] is where nothing is said.
#[must_use]
pub const fn sparse_epochs() -> u32 {
    10
}

impl Prune {
    /// What is wrong with its settings.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let of_cut = self.cut.check().err().map(|error| format!("cut: {error}"));
        let of_settings = self.settings.check().err().map(|error| error.to_string());
        let of_distil = self.distil.check().err().map(|error| error.to_string());
        let mut faults: Vec<String> = [of_cut, of_settings, of_distil].into_iter().flatten().collect();
        if let Some(Sparsity { strength }) = self.sparsity {
            if !(strength > 0.0 && strength.is_finite()) {
                faults.push(format!("the strength of sparsity is {strength}, expected above 0, such as 0.01"));
            }
            if self.sparse_epochs == 0 {
                faults.push("sparse_epochs is 0, expected at least 1 with sparsity".to_owned());
            }
        }
        if let Some(most) = self.max_drop.filter(|most| !(*most >= 0.0 && most.is_finite())) {
            faults.push(format!("max_drop is {most}, expected 0 or more points"));
        }
        faults
    }
}

/// Prunes a model and leaves the smaller one in `out`.
///
/// # Errors
/// See [`StageError`]; cuts that are done are in `out/round-<n>` and `out/round-<n>-smaller-<m>`.
pub fn prune(data: &Path, out: &Path, run: &Prune, shop: &Shop<'_>) -> Result<Pruned, StageError> {
    let faults = run.faults();
    if !faults.is_empty() {
        return Err(PruneStageError::Settings(faults.join("; ")).into());
    }
    keep_input(&run.model, out)?;
    let (mut model, card, data) = begin_from(&run.model, data, shop)?;
    clean::clean(&mut model)?;
    let ready = shop.ready(data, &card.preprocess)?;
    can_be_trained(&ready, &run.settings)?;
    can_be_judged(&model, run)?;
    let _held = claim(out)?;
    let mut scale = Scale::new(&model, run, out, shop)?;
    let answers = ask(&run.model, &run.distil, &ready, &card, &run.settings, out, shop)?;
    let before = balanced_accuracy(&model, &ready, shop)?;
    let sparse = sparse::sparse(model.clone(), out, run, &ready, &answers, shop)?;
    let cutter = Cutter { run, ready: &ready, answers: &answers, shop };
    let mut done = Pruned::default();
    let mut smaller = None;
    let mut search = Search::new(scale.share, run.rounds);
    while let Some(share) = search.next() {
        let task = Task { model: smaller.as_ref().unwrap_or(&sparse), share, place: &out.join(search.name()) };
        let (cut, round) = match cutter.cut(&mut scale, &task, &search)? {
            Outcome::Cut(cut, round) => (cut, round),
            Outcome::Known(share) => {
                search.take_back(share);
                continue;
            }
        };
        let lost = 100.0 * (before - round.balanced_accuracy);
        if run.max_drop.is_some_and(|most| lost > most) {
            search.take_back(round.share);
            done.taken_back.push(TakenBack { share: round.share, lost });
            continue;
        }
        search.keep(round.share);
        smaller = Some(cut);
        done.rounds.push(round);
    }
    done.ended_early = early(&done, run.max_drop);
    // Where no cut was kept, not even sparsity is.
    let mut model = smaller.unwrap_or(model);
    card.write(&mut model)?;
    model.save(out.join(MODEL))?;
    report(out, &done)?;
    Ok(done)
}

/// Refuses a criterion for which the model has not what it needs, before its answers are asked for.
fn can_be_judged(model: &Model, run: &Prune) -> Result<(), StageError> {
    if run.criterion != Criterion::Taylor {
        Importance::of(model, &channels::groups(model)?, run.criterion, None)?;
    }
    Ok(())
}

fn early(done: &Pruned, max_drop: Option<f64>) -> Option<String> {
    let (first, most) = (done.taken_back.first()?, max_drop?);
    let left = done.rounds.last().map_or(1.0, |round| round.share);
    Some(format!(
        "a cut to {:.1} % lost {:.2} points, more than {most}, and was taken back; after smaller ones {:.1} % are left",
        100.0 * first.share,
        first.lost,
        100.0 * left
    ))
}
