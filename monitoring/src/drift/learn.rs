//! A reference learned on the line, for a version that brought none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use takt_artifact::profile::Profile;

use super::builder::{Reference, Row, build};
use crate::events::UnixMillis;
use crate::features::IMAGE_LEN;

/// Most rows kept; beyond, every other row is let go and only every other one is taken from then on.
const MOST_ROWS: usize = 20_000;

/// When enough was seen. A reference from less than a shift would call the evening's light drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnRule {
    /// Fewest units.
    pub units: u64,
    /// Shortest time: one whole shift.
    pub time: Duration,
    /// Fewest units of each station that was active.
    pub units_per_station: u64,
}

impl Default for LearnRule {
    fn default() -> Self {
        Self { units: 2_000, time: Duration::from_secs(8 * 3600), units_per_station: 50 }
    }
}

/// How far learning is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Units seen.
    pub units: u64,
    /// Of those that are needed.
    pub units_needed: u64,
    /// Time seen, in milliseconds.
    pub time_ms: u64,
    /// Of that which is needed.
    pub time_needed_ms: u64,
    /// Active stations with fewer units than are needed.
    pub stations_wanting: Vec<String>,
}

/// Collects rows until the rule is met.
#[derive(Debug)]
pub struct Learner {
    rule: LearnRule,
    rows: Vec<Row>,
    seen: u64,
    /// Every so many rows is kept.
    stride: u64,
    first: Option<UnixMillis>,
    last: UnixMillis,
    stations: BTreeMap<String, u64>,
    has_images: bool,
}

impl Learner {
    /// A learner that has seen nothing.
    #[must_use]
    pub fn new(rule: LearnRule) -> Self {
        Self {
            rule,
            rows: Vec::new(),
            seen: 0,
            stride: 1,
            first: None,
            last: UnixMillis::default(),
            stations: BTreeMap::new(),
            has_images: false,
        }
    }

    /// Takes a row that was routed at `at`.
    pub fn observe(&mut self, at: UnixMillis, row: Row) {
        self.first.get_or_insert(at);
        self.has_images |= row.values.iter().take(IMAGE_LEN).any(|value| !value.is_nan());
        self.last = self.last.max(at);
        if let Some(station) = &row.station {
            *self.stations.entry(station.clone()).or_default() += 1;
        }
        if self.seen.is_multiple_of(self.stride) {
            self.rows.push(row);
        }
        self.seen += 1;
        if self.rows.len() >= MOST_ROWS {
            let mut keep = false;
            self.rows.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// Whether a row with figures of its image was among them. From then on others would leave holes.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.has_images
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wanting = self.stations.iter().filter(|(_, units)| **units < self.rule.units_per_station);
        Progress {
            units: self.seen,
            units_needed: self.rule.units,
            time_ms: self.first.map_or(0, |first| millis(self.last.since(first))),
            time_needed_ms: millis(self.rule.time),
            stations_wanting: wanting.map(|(station, _)| station.clone()).collect(),
        }
    }

    /// The reference, once the rule is met.
    #[must_use]
    pub fn finish(&self, reference: &Reference<'_>) -> Option<Profile> {
        let Progress { units, units_needed, time_ms, time_needed_ms, stations_wanting } = self.progress();
        let met = units >= units_needed && time_ms >= time_needed_ms && stations_wanting.is_empty();
        if !met { None } else { build(reference, &self.rows).ok() }
    }
}
