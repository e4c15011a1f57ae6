//! Keeping the store within its bounds: predictions are settled, segments removed.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::record::Record;
use super::settled::oldest;
use super::store::Feedback;
use super::units::{Prediction, Units};
use crate::events::UnixMillis;
use crate::log::LogError;

/// How long a label waits for a prediction that has not come, in milliseconds: a day.
const PENDING: u64 = 24 * 3_600_000;
/// Predictions are settled by age once an hour, not one by one.
const OVERDUE: Duration = Duration::from_secs(3600);

impl Feedback {
    /// Settles predictions that are too many, too old, or in a segment that has to go.
    pub(super) fn settle_excess(&mut self) {
        let (now, most) = (self.now, self.config.max_predictions);
        let age = |prediction: &Prediction| now.since(prediction.routed_at);
        let mut cut = self.settled.through;
        let max_age = self.config.store.max_age();
        if self.predictions.front().is_some_and(|oldest| age(oldest) > max_age + OVERDUE) {
            cut = cut.max(self.first(|prediction| age(prediction) <= max_age));
        }
        if let Some(segment) = self.segments.excess(now) {
            let extents = self.extents.iter().take_while(|extent| extent.segment <= segment);
            cut = cut.max(extents.last().map_or(cut, |extent| extent.until));
        }
        if cut > self.settled.through {
            // A part that may still be passing is not over.
            cut = cut.min(self.first(|prediction| age(prediction) <= self.config.part_span()));
        }
        // But for memory's sake it is. A tenth more than needed, so that this does not happen at each tick.
        if self.predictions.len() > most {
            let from = self.predictions.len() - (most - most / 10);
            cut = cut.max(self.predictions.get(from).map_or(cut, |prediction| prediction.ordinal));
        }
        if cut > self.settled.through {
            self.settle(cut);
        }
    }

    /// Ordinal of the first prediction of which this is true, or else of the one to come.
    fn first(&self, is: impl Fn(&Prediction) -> bool) -> u64 {
        self.predictions.iter().find(|prediction| is(prediction)).map_or(self.next, |prediction| prediction.ordinal)
    }

    /// Settles the units that have views with ordinals below `cut`, with all their views.
    fn settle(&mut self, cut: u64) {
        let mut ahead = BTreeSet::new();
        let below = self.predictions.iter().take_while(|prediction| prediction.ordinal < cut);
        let parts: HashSet<u64> = below.filter_map(|prediction| prediction.part_key).collect();
        let concerned = self.predictions.iter().filter(|prediction| {
            prediction.ordinal < cut || prediction.part_key.is_some_and(|part| parts.contains(&part))
        });
        for unit in Units::of(concerned, self.config.part_span()).iter() {
            if unit.views().iter().all(|view| view.ordinal >= cut) {
                continue;
            }
            if let Some(judged) = unit.judge(&self.labels, &self.classes) {
                self.settled.count(&judged);
            }
            for view in unit.views() {
                self.labels.spend(view);
                ahead.insert(view.ordinal);
            }
        }
        self.settled.advance(cut, ahead);
        self.settled.bound(oldest(self.now, self.config.history_days));
        self.predictions.retain(|prediction| !self.settled.has(prediction.ordinal));
    }

    /// Removes the oldest segments whose predictions are all settled.
    pub(super) fn remove_settled(&mut self) -> Result<(), LogError> {
        let through = self.settled.through;
        let sealed: HashSet<u64> = self.segments.sealed().collect();
        let over = self.extents.iter().take_while(|extent| extent.until <= through && sealed.contains(&extent.segment));
        let over: Vec<_> = over.copied().collect();
        // Moving labels alone from segment to segment gains nothing.
        if over.iter().all(|extent| extent.from == extent.until) && self.segments.excess(self.now).is_none() {
            return Ok(());
        }
        let going: HashSet<u64> = over.iter().map(|extent| extent.segment).collect();
        let pending = UnixMillis(self.now.0.saturating_sub(PENDING));
        let to = self.segments.current();
        let (leaving, forgotten) = self.labels.leaving(&going, self.predictions.iter(), pending);
        self.forgotten_labels += forgotten as u64;
        // First what is kept of them, then they themselves: a process that dies in between finds both.
        for (label, kept) in leaving {
            self.write(&Record::Labelled { label, received: kept.received })?;
        }
        self.segments.flush()?;
        self.labels.moved(&going, to);
        self.settled.store(&self.dir, &self.classes)?;
        while self.segments.sealed().next().is_some_and(|oldest| !self.holds(oldest) || going.contains(&oldest)) {
            self.segments.remove_oldest()?;
        }
        self.extents.retain(|extent| !going.contains(&extent.segment));
        Ok(())
    }

    /// Whether anything readable lies in the segment.
    fn holds(&self, segment: u64) -> bool {
        self.extents.iter().any(|extent| extent.segment == segment)
    }
}
