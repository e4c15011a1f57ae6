//! The join: predictions to units, units to truths.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use takt_artifact::decision::Verdict;

use super::cells::Cell;
use super::labels::{Classes, Labels};
use super::record::Predicted;
use crate::events::{Name, PredictionId, UnixMillis};

/// A prediction that waits for its label.
#[derive(Debug, Clone)]
pub(super) struct Prediction {
    /// Counts up in the order of writing.
    pub(super) ordinal: u64,
    pub(super) id: PredictionId,
    pub(super) routed_at: UnixMillis,
    /// Its own, where the cell's may be `other`.
    pub(super) station: Option<Name>,
    pub(super) part: Option<Name>,
    /// Equal for views of one part by one version at one station; see [`part_key`]. None without a part.
    pub(super) part_key: Option<u64>,
    pub(super) verdict: Verdict,
    pub(super) cell: Arc<Cell>,
}

/// What a prediction or a unit really was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Unlabelled,
    Good,
    Defect,
    Unresolved,
}

/// Predictions in the order of their units, and within a unit of time.
#[derive(Debug)]
pub(super) struct Units<'a> {
    /// Those without a part: each is a unit.
    alone: Vec<&'a Prediction>,
    sorted: Vec<&'a Prediction>,
    span: Duration,
}

/// All views of a part in one pass, oldest first; never empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit<'s, 'a> {
    views: &'s [&'a Prediction],
}

/// What a unit counts as.
#[derive(Debug, Clone)]
pub(super) struct Judged<'a> {
    pub(super) at: UnixMillis,
    pub(super) cell: &'a Arc<Cell>,
    pub(super) verdict: Verdict,
    pub(super) truth: Truth,
    pub(super) contradicted: bool,
}

impl<'a> Units<'a> {
    /// Groups predictions into units.
    pub(super) fn of(predictions: impl Iterator<Item = &'a Prediction>, span: Duration) -> Self {
        let (mut alone, mut sorted) = (Vec::new(), Vec::new());
        for prediction in predictions {
            match prediction.part_key {
                None => alone.push(prediction),
                Some(key) => sorted.push(((key, prediction.routed_at, prediction.id), prediction)),
            }
        }
        sorted.sort_unstable_by_key(|(key, _)| *key);
        Self { alone, sorted: sorted.into_iter().map(|(_, prediction)| prediction).collect(), span }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Unit<'_, 'a>> {
        let mut rest = self.sorted.as_slice();
        let of_parts = std::iter::from_fn(move || {
            let first = rest.first()?;
            let same =
                |view: &&Prediction| view.is_of_part(first) && view.routed_at.since(first.routed_at) <= self.span;
            let end = rest.iter().position(|view| !same(view)).unwrap_or(rest.len()).max(1);
            let (views, after) = rest.split_at(end);
            rest = after;
            Some(Unit { views })
        });
        self.alone.chunks(1).map(|views| Unit { views }).chain(of_parts)
    }
}

impl Prediction {
    /// Whether both, which have a part, are views of the same, by one version at one station.
    fn is_of_part(&self, other: &Self) -> bool {
        let cells = (&*self.cell, &*other.cell);
        self.part_key == other.part_key
            && (&self.part, &self.station) == (&other.part, &other.station)
            && (cells.0.version, cells.0.arm) == (cells.1.version, cells.1.arm)
    }
}

impl<'s, 'a> Unit<'s, 'a> {
    pub(super) const fn views(&self) -> &'s [&'a Prediction] {
        self.views
    }

    pub(super) fn judge(&self, labels: &Labels, classes: &Classes) -> Option<Judged<'a>> {
        let first = self.views.first()?;
        let deciding = self
            .views
            .iter()
            .copied()
            .reduce(|worst, view| if weight(view.verdict) > weight(worst.verdict) { view } else { worst })?;
        let (mut contradicted, mut unlabelled, mut defect, mut unresolved) = (false, false, false, false);
        for view in self.views {
            let (truth, contradiction) = labels.truth(view, classes);
            contradicted |= contradiction;
            unlabelled |= truth == Truth::Unlabelled;
            defect |= truth == Truth::Defect;
            unresolved |= truth == Truth::Unresolved;
        }
        let truth = match (defect, unlabelled, unresolved) {
            (true, ..) => Truth::Defect,
            (_, true, _) => Truth::Unlabelled,
            (_, _, true) => Truth::Unresolved,
            _ => Truth::Good,
        };
        Some(Judged { at: first.routed_at, cell: &deciding.cell, verdict: deciding.verdict, truth, contradicted })
    }
}

/// Of several views the one with the greatest weight speaks for the part; the first of them.
const fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Good => 0,
        Verdict::Uncertain => 1,
        Verdict::Defect => 2,
    }
}

/// A number that is equal for views of one part by one version at one station, and hardly ever for others: sorting by it
/// brings views together. `keys` are random, so that nobody can make part ids that meet.
pub(super) fn part_key(keys: &RandomState, predicted: &Predicted) -> Option<u64> {
    let part = predicted.part.as_ref()?;
    Some(keys.hash_one((predicted.version, predicted.arm, &predicted.station, part)))
}
