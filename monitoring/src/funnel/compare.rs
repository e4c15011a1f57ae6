//! One stage in two windows.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use takt_stats::proportion::{self, Dispersion, Rate};

use super::{Direction, FunnelConfig};
use crate::cause::adtributor::Cause;

/// How many units reached a stage in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Units of the stage.
    pub units: u64,
    /// Units of the stage that it is a share of; none for a stage compared by its count.
    pub of: Option<u64>,
}

/// A stage before and now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// In the window before.
    pub before: Level,
    /// In the window that ends now.
    pub now: Level,
    /// Rate (or count) now over that before, less 1. Not given where it was 0 before.
    pub relative: Option<f64>,
    /// Probability of a change at least as large in the bad direction when nothing changed.
    pub p: f64,
    /// Variance of past periods over what chance alone explains, at least 1.
    pub dispersion: f64,
    /// Past periods that tell the dispersion; 0 where there were too few and chance alone is presumed.
    pub periods: usize,
    /// Beyond the limit in the bad direction, and more than chance explains.
    pub alarm: bool,
    /// Where the change lies, when there is an alarm.
    pub causes: Vec<Cause>,
}

/// Units per hour: of a stage, and of the stage that it is a share of.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) hours: BTreeMap<u64, Level>,
    /// Whether there is a stage that it is a share of.
    pub(super) share: bool,
}

/// Chances to be counted in a window, where a count is compared and not a share: so many that the binomial is Poisson.
const EXPOSURE: u64 = 1 << 52;
/// Past periods at most.
const MOST_PERIODS: u64 = 14;
/// Past periods at least; with fewer the window before is cut into as many pieces as a week has days.
const LEAST_PERIODS: usize = 3;
const PIECES: u64 = 7;

impl Series {
    pub(super) fn level(&self, window: &Range<u64>) -> Level {
        // A range that ends before it begins would panic.
        let hours = self.hours.range(window.start..window.end.max(window.start));
        let none = Level { units: 0, of: self.share.then_some(0) };
        hours.fold(none, |sum, (_, level)| sum.plus(level.units, level.of))
    }

    /// Compares two windows of equal length. `None` where there is nothing to compare.
    pub(super) fn compare(
        &self,
        before: &Range<u64>,
        now: &Range<u64>,
        first: u64,
        bad: Direction,
        config: &FunnelConfig,
    ) -> Option<Change> {
        let (before_level, now_level) = (self.level(before), self.level(now));
        let (before_rate, now_rate) = (before_level.rate()?, now_level.rate()?);
        let (dispersion, periods) = self.dispersion(before, first);
        let test = proportion::compare(before_rate, now_rate, dispersion);
        let (p, beyond) = match bad {
            Direction::Down => (test.p_fall, test.relative < -config.limit),
            Direction::Up => (test.p_rise, test.relative > config.limit),
        };
        Some(Change {
            before: before_level,
            now: now_level,
            relative: Some(test.relative).filter(|relative| relative.is_finite()),
            p,
            dispersion: dispersion.factor(),
            periods,
            alarm: beyond && p < config.significance,
            causes: Vec::new(),
        })
    }

    /// From periods as long as the window, back to the hour `first`; else from pieces of the window before, which tell
    /// less: what varies from week to week may be alike on all days of one.
    fn dispersion(&self, before: &Range<u64>, first: u64) -> (Dispersion, usize) {
        let length = before.end - before.start;
        let back = |count: u64| {
            let start = before.start.checked_sub(count.checked_mul(length)?)?;
            (start >= first).then_some(start..start + length)
        };
        let long = self.rates((0..MOST_PERIODS).map_while(back));
        let piece = length.div_ceil(PIECES);
        let pieces = || {
            let starts = (before.start..before.end).step_by(usize::try_from(piece).unwrap_or(usize::MAX));
            self.rates(starts.map(|start| start..(start + piece).min(before.end)))
        };
        let rates = if long.len() >= LEAST_PERIODS { long } else { pieces() };
        Dispersion::estimate(&rates).map_or((Dispersion::BINOMIAL, 0), |dispersion| (dispersion, rates.len()))
    }

    fn rates(&self, windows: impl Iterator<Item = Range<u64>>) -> Vec<Rate> {
        windows.filter_map(|window| self.level(&window).rate()).collect()
    }
}

impl Level {
    pub(super) fn plus(self, units: u64, of: Option<u64>) -> Self {
        Self { units: self.units + units, of: self.of.zip(of).map(|(a, b)| a + b) }
    }

    fn rate(self) -> Option<Rate> {
        Rate::new(self.units, self.of.unwrap_or(EXPOSURE))
    }
}
