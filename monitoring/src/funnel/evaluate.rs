//! All stages against the past.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::compare::{Change, Level, Series};
use super::config::{Dimension, Funnel, Resolved, Stage};
use crate::cause::adtributor::{self, Cause};
use crate::cause::{Quotient, Ratio, Row, Sum, Table};
use crate::events::{Name, UnixMillis};
use crate::feedback::{Cell, Counts, Cube, hour};

/// The funnel now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunnelReport {
    /// When it was made.
    pub at: UnixMillis,
    /// In the order of the configuration.
    pub stages: Vec<StageReport>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage.
    pub name: Name,
    /// The stage that it is a share of.
    pub of: Option<Name>,
    /// Its units in the window that ended with the last full hour, without waiting for labels.
    pub level: Level,
    /// Against the past.
    pub comparisons: Vec<Comparison>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// With what.
    pub against: Against,
    /// What came of it.
    pub compared: Compared,
}

/// What a stage is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The last seven days with the seven before.
    Week,
    /// The last window with the one before.
    Window,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// It was made.
    Change(Change),
    /// It was not.
    Off(Off),
}

/// Why a comparison was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// The board does not know the time, so it does not know which week it is.
    ClockNotSynchronised,
    /// Counts do not go back far enough.
    NotEnoughHistory {
        /// Hours that are needed.
        needed: u64,
        /// Hours that there are.
        found: u64,
    },
    /// No unit could have reached the stage, before or now.
    NothingToCompare,
}

const WEEK: u64 = 7 * 24;

impl FunnelReport {
    /// All alarms: the stage, what it was compared with and how it changed.
    pub fn alarms(&self) -> impl Iterator<Item = (&Name, Against, &Change)> {
        self.stages.iter().flat_map(|stage| {
            stage.comparisons.iter().filter_map(|comparison| match &comparison.compared {
                Compared::Change(change) if change.alarm => Some((&stage.name, comparison.against, change)),
                _ => None,
            })
        })
    }
}

impl Funnel {
    /// Counts each stage and compares it with the past. The current hour, which is not over, is left out.
    #[must_use]
    pub fn evaluate(&self, cube: &Cube<'_>, now: UnixMillis, clock_synchronised: bool) -> FunnelReport {
        let series = self.series(cube);
        let first = cube.first_hour().unwrap_or_else(|| hour(now));
        let stages = self.config.stages.iter().zip(&self.stages).zip(&series);
        let stages = stages.map(|((stage, resolved), series)| {
            let delay = if resolved.waits_for_labels() { u64::from(self.config.label_delay_hours) } else { 0 };
            let end = hour(now).saturating_sub(delay);
            let compare = |against, length, off: Option<Off>| {
                let compared = match off {
                    Some(off) => Compared::Off(off),
                    None => self.compare(cube, series, (stage, resolved), end, length, first),
                };
                Comparison { against, compared }
            };
            let window = u64::from(self.config.window_hours);
            let unsynchronised = (!clock_synchronised).then_some(Off::ClockNotSynchronised);
            StageReport {
                name: stage.name.clone(),
                of: resolved.of.and_then(|of| self.config.stages.get(of)).map(|of| of.name.clone()),
                level: series.level(&(hour(now).saturating_sub(window)..hour(now))),
                comparisons: vec![compare(Against::Week, WEEK, unsynchronised), compare(Against::Window, window, None)],
            }
        });
        FunnelReport { at: now, stages: stages.collect() }
    }

    /// Units per hour of each stage.
    fn series(&self, cube: &Cube<'_>) -> Vec<Series> {
        let mut series: Vec<_> =
            self.stages.iter().map(|stage| Series { share: stage.of.is_some(), ..Series::default() }).collect();
        for (hour, cell, counts) in cube.rows(0, u64::MAX).filter(|(_, cell, _)| self.counts(cell)) {
            for (stage, series) in self.stages.iter().zip(&mut series) {
                let none = Level { units: 0, of: series.share.then_some(0) };
                let level = series.hours.entry(hour).or_insert(none);
                *level = level.plus(stage.count(cell, counts), self.whole(stage, cell, counts));
            }
        }
        series
    }

    /// Units of the stage that `stage` is a share of.
    fn whole(&self, stage: &Resolved, cell: &Cell, counts: &Counts) -> Option<u64> {
        Some(self.stages.get(stage.of?)?.count(cell, counts))
    }

    /// Compares the `length` hours until `end` with as many before them.
    fn compare(
        &self,
        cube: &Cube<'_>,
        series: &Series,
        (stage, resolved): (&Stage, &Resolved),
        end: u64,
        length: u64,
        first: u64,
    ) -> Compared {
        let start = end.saturating_sub(length);
        let (before, now) = (start.saturating_sub(length)..start, start..end);
        if before.start < first {
            return Compared::Off(Off::NotEnoughHistory { needed: 2 * length, found: end.saturating_sub(first) });
        }
        let Some(mut change) = series.compare(&before, &now, first, stage.bad, &self.config) else {
            return Compared::Off(Off::NothingToCompare);
        };
        if change.alarm {
            change.causes = self.causes(cube, resolved, &before, &now);
        }
        Compared::Change(change)
    }

    fn causes(&self, cube: &Cube<'_>, stage: &Resolved, before: &Range<u64>, now: &Range<u64>) -> Vec<Cause> {
        let mut cells: BTreeMap<Vec<String>, Ratio> = BTreeMap::new();
        for (hour, cell, counts) in cube.rows(before.start, now.end).filter(|(_, cell, _)| self.counts(cell)) {
            let elements = self.config.dimensions.iter().map(|dimension| dimension.element(cell)).collect();
            let ratio = cells.entry(elements).or_default();
            let side = if now.contains(&hour) { &mut ratio.actual } else { &mut ratio.forecast };
            side.numerator += stage.count(cell, counts) as f64;
            side.denominator += self.whole(stage, cell, counts).unwrap_or_default() as f64;
        }
        let rows = cells.into_iter();
        match stage.of {
            Some(_) => self.explain(rows.map(|(elements, measure)| Row { elements, measure }).collect()),
            None => self.explain(
                rows.map(|(elements, Ratio { forecast, actual })| {
                    let count = |quotient: Quotient| quotient.numerator;
                    Row { elements, measure: Sum { forecast: count(forecast), actual: count(actual) } }
                })
                .collect(),
            ),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for this call")]
    fn explain<M: adtributor::Explained>(&self, rows: Vec<Row<M>>) -> Vec<Cause> {
        let dimensions: Vec<_> = self.config.dimensions.iter().copied().map(Dimension::name).collect();
        match Table::new(&dimensions, &rows) {
            Ok(table) => adtributor::explain(&table, &self.config.cause),
            // Without dimensions there is nowhere to look; the rest is checked.
            Err(_) => Vec::new(),
        }
    }
}
