//! What is counted where requests are answered while a rollout is under way: the evidence of its gates.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use takt_rollout::evidence::Tally;

use crate::telemetry::failed_runs::FailedRuns;

/// Counts of one arm under one share.
#[derive(Debug, Default)]
pub struct ArmCounts {
    /// Requests that were routed to it and answered, by it or by the other arm for it.
    pub units: AtomicU64,
    /// Independent failures: runs that failed although the input was good.
    pub failed: FailedRuns,
    /// Answers that took longer than the objective, from arrival to answer.
    pub late: AtomicU64,
    /// When it last answered, ms since the epoch; 0 before the first.
    pub last_ms: AtomicU64,
}

impl ArmCounts {
    /// Counts an answer that took so long.
    pub fn answer(&self, took: Duration, objective: Option<Duration>) {
        self.units.fetch_add(1, Relaxed);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ms.store(since_epoch.as_millis() as u64, Relaxed);
        if objective.is_some_and(|objective| took > objective) {
            self.late.fetch_add(1, Relaxed);
        }
    }
}

/// Counts by station, for plans that route whole stations. Locked once per request, and only under such a plan.
#[derive(Debug, Default)]
pub struct StationCounts(Mutex<BTreeMap<String, Tally>>);

impl StationCounts {
    /// Of these stations, which took part in the draw.
    #[must_use]
    pub fn of(stations: impl IntoIterator<Item = String>) -> Self {
        Self(Mutex::new(stations.into_iter().map(|station| (station, Tally::default())).collect()))
    }

    /// Counts one request. A station that took no part in the draw is no evidence.
    pub fn add(&self, station: &str, bad: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = counts.get_mut(station) {
            *tally = tally.plus(Tally { units: 1, bad: u64::from(bad) });
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> BTreeMap<String, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes the candidate out of traffic by itself, at the moment of what must never be, before anybody decides anything.
#[derive(Debug)]
pub struct DeadMan {
    limit: u32,
    in_a_row: AtomicU32,
    tripped: AtomicBool,
}

/// Why the dead man's switch tripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trip {
    /// An output that is no answer, where the stable version gave one.
    BadOutput(String),
    /// So many failed runs in a row that the stable version answered.
    FailedRuns(u32),
    /// It did not answer in time, where the stable version did.
    Hung(Duration),
}

impl DeadMan {
    /// Trips at `limit` failed runs in a row.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), in_a_row: AtomicU32::new(0), tripped: AtomicBool::new(false) }
    }

    /// Whether the candidate gets nothing any more.
    #[must_use]
    pub fn has_tripped(&self) -> bool {
        self.tripped.load(Relaxed)
    }

    /// The candidate answered well.
    pub fn answered(&self) {
        // A store to a shared line for every answer would be a price for nothing.
        if self.in_a_row.load(Relaxed) != 0 {
            self.in_a_row.store(0, Relaxed);
        }
    }

    /// A run of the candidate failed and the stable version answered. `Some` exactly once, when the switch trips.
    #[must_use]
    pub fn failed(&self) -> Option<Trip> {
        let failed = self.in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        if failed >= self.limit { self.trip(Trip::FailedRuns(failed)) } else { None }
    }

    /// Trips at once. `Some` exactly once.
    #[must_use]
    pub fn trip(&self, why: Trip) -> Option<Trip> {
        (!self.tripped.swap(true, Relaxed)).then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_trip_the_switch_and_it_says_so_once() {
        let switch = DeadMan::new(3);
        assert_eq!((switch.failed(), switch.failed()), (None, None));
        switch.answered();
        assert_eq!((switch.failed(), switch.failed()), (None, None));
        assert!(!switch.has_tripped());
        assert_eq!(switch.failed(), Some(Trip::FailedRuns(3)));
        assert_eq!((switch.failed(), switch.trip(Trip::Hung(Duration::from_secs(1)))), (None, None));
        assert!(switch.has_tripped());
    }
}
