//! What comes from each station and what goes back to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use takt_monitoring::events::Name;

/// Name under which stations beyond the bound count.
pub const OTHER: &str = "other";

/// Name under which requests that name no station count.
pub const UNNAMED: &str = "unnamed";

/// Counters of one station.
#[derive(Debug, Default)]
pub struct StationCounters {
    /// What its outcomes call it, shared by all of them; none where several stations count together, or the text is no name.
    pub(super) name: Option<Name>,
    /// Rows that arrived.
    pub inputs: AtomicU64,
    /// Rows that were answered.
    pub outputs: AtomicU64,
    /// Requests whose image could not be decoded.
    pub undecodable: AtomicU64,
}

/// Counters of all stations; looked up without a lock, and added to under one.
#[derive(Debug)]
pub struct Stations {
    known: ArcSwap<HashMap<Box<str>, Arc<StationCounters>>>,
    adding: Mutex<()>,
    most: usize,
}

impl Stations {
    pub(super) fn new(most: usize) -> Self {
        Self { known: ArcSwap::default(), adding: Mutex::new(()), most }
    }

    /// What `count` makes of the counters of that station.
    pub(super) fn with<R>(&self, station: Option<&str>, count: impl FnOnce(&StationCounters) -> R) -> R {
        let name = station.unwrap_or(UNNAMED);
        if let Some(counters) = self.known.load().get(name) {
            return count(counters);
        }
        count(&self.add(name))
    }

    /// Every station with its counters, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Arc<StationCounters>)> {
        let mut all: Vec<_> =
            self.known.load().iter().map(|(name, counters)| (name.to_string(), Arc::clone(counters))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn add(&self, name: &str) -> Arc<StationCounters> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        let full = known.len() >= self.most && name != UNNAMED;
        let name = if full { OTHER } else { name };
        if let Some(counters) = known.get(name) {
            return Arc::clone(counters);
        }
        let mut more = HashMap::clone(&known);
        let own = Name::new(name).ok().filter(|_| !full && name != UNNAMED);
        let counters = Arc::new(StationCounters { name: own, ..StationCounters::default() });
        more.insert(name.into(), Arc::clone(&counters));
        self.known.store(Arc::new(more));
        counters
    }
}

/// Counts of one station at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) inputs: u64,
    pub(super) outputs: u64,
}

impl StationCounters {
    pub(super) fn read(&self) -> Reading {
        Reading { inputs: self.inputs.load(Relaxed), outputs: self.outputs.load(Relaxed) }
    }
}

/// Throughput of the busiest station over that of the idlest, from parts in the same time. A station that stands still
/// counts as one part, so that the ratio is a number. `None` for fewer than two stations, or when nothing came at all.
#[must_use]
pub fn skew(parts: &[u64]) -> Option<f64> {
    let (most, least) = (parts.iter().max()?, parts.iter().min()?);
    (parts.len() >= 2 && *most > 0).then(|| *most as f64 / (*least).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_beyond_the_bound_count_together() {
        let stations = Stations::new(2);
        for name in ["a", "b", "c", "d", "a"] {
            stations.with(Some(name), |counters| {
                counters.inputs.fetch_add(1, Relaxed);
            });
        }
        stations.with(None, |counters| {
            counters.inputs.fetch_add(1, Relaxed);
        });
        let all: Vec<_> = stations.all().into_iter().map(|(name, c)| (name, c.read().inputs)).collect();
        let expected = [("a", 2), ("b", 1), (OTHER, 2), (UNNAMED, 1)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(all, expected);
    }

    #[test]
    fn skew_is_busiest_over_idlest() {
        assert_eq!(skew(&[600, 100]), Some(6.0));
        assert_eq!(skew(&[600, 0]), Some(600.0));
        assert_eq!(skew(&[600]), None);
        assert_eq!(skew(&[0, 0]), None);
    }
}
