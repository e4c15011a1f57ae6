//! Loads since the start, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::load::Stage;

/// How many loads ended well, and how many at which stage.
#[derive(Debug, Default)]
pub struct LoadCounts {
    loaded: AtomicU64,
    failed: [AtomicU64; Stage::ALL.len()],
}

impl LoadCounts {
    /// Versions that were loaded.
    #[must_use]
    pub fn loaded(&self) -> u64 {
        self.loaded.load(Relaxed)
    }

    /// Versions whose load failed at that stage.
    #[must_use]
    pub fn failed(&self, stage: Stage) -> u64 {
        self.failed[stage as usize].load(Relaxed)
    }

    /// Counts a load by the stage at which it failed, if it did.
    pub(super) fn count(&self, failed: Option<Stage>) {
        let counter = failed.map_or(&self.loaded, |stage| &self.failed[stage as usize]);
        counter.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_counted_under_its_own_name() {
        let counts = LoadCounts::default();
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index, "Stage::ALL must be in declaration order");
            counts.count(Some(stage));
            assert_eq!(counts.failed(stage), 1);
        }
        counts.count(None);
        assert_eq!(counts.loaded(), 1);
    }
}
