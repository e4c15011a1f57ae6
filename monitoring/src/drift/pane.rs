//! Sealed panes, and the rolling window that is their sum.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::events::UnixMillis;

/// Counts of one stretch of time, by segment. Panes of instances, devices and sites add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pane {
    /// By name of the segment.
    pub segments: BTreeMap<String, SegmentCounts>,
}

/// Counts of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCounts {
    /// Units by station of the reference.
    pub units: BTreeMap<String, u32>,
    /// Units of stations that the reference does not know, or that were not named.
    pub unknown: u32,
    /// By name of the feature.
    pub features: BTreeMap<String, FeatureCounts>,
}

/// Counts of one feature. Written as the slots that were hit, since a pane hits few of a thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Hits", into = "Hits")]
pub struct FeatureCounts {
    /// By slot of the reference.
    pub slots: Vec<u32>,
    /// Values in no slot.
    pub missing: u32,
}

/// [`FeatureCounts`] on disk.
#[derive(Serialize, Deserialize)]
struct Hits {
    slots: u16,
    hits: Vec<(u16, u32)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    missing: u32,
}

impl From<FeatureCounts> for Hits {
    fn from(counts: FeatureCounts) -> Self {
        let numbered = (0_u16..).zip(counts.slots.iter().copied());
        let hits = numbered.filter(|(_, count)| *count > 0).collect();
        // Profiles have at most 10,000 slots.
        Self { slots: u16::try_from(counts.slots.len()).unwrap_or(u16::MAX), hits, missing: counts.missing }
    }
}

impl From<Hits> for FeatureCounts {
    fn from(hits: Hits) -> Self {
        let mut slots = vec![0; usize::from(hits.slots)];
        for (slot, count) in hits.hits {
            if let Some(slot) = slots.get_mut(usize::from(slot)) {
                *slot = count;
            }
        }
        Self { slots, missing: hits.missing }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Pane {
    /// What was counted since `earlier`, a reading of the same counters. They wrap, differences do not.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u32::wrapping_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.zip(other, u32::saturating_add);
        for (name, segment) in &other.segments {
            sum.segments.entry(name.clone()).or_insert_with(|| segment.clone());
        }
        sum
    }

    /// Without segments that saw nothing.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.segments.retain(|_, segment| segment.total_units() > 0);
        self
    }

    fn zip(&self, other: &Self, both: fn(u32, u32) -> u32) -> Self {
        let segments = self.segments.iter().map(|(name, segment)| {
            let counts = other.segments.get(name).map_or_else(|| segment.clone(), |other| segment.zip(other, both));
            (name.clone(), counts)
        });
        Self { segments: segments.collect() }
    }
}

impl SegmentCounts {
    /// Units of all stations.
    #[must_use]
    pub fn total_units(&self) -> u64 {
        self.units.values().chain([&self.unknown]).map(|&units| u64::from(units)).sum()
    }

    fn zip(&self, other: &Self, both: fn(u32, u32) -> u32) -> Self {
        let units = joined(&self.units, &other.units, &0, |&a, &b| both(a, b));
        let empty = FeatureCounts::default();
        let features = joined(&self.features, &other.features, &empty, |a, b| a.zip(b, both));
        Self { units, unknown: both(self.unknown, other.unknown), features }
    }
}

impl FeatureCounts {
    fn zip(&self, other: &Self, both: fn(u32, u32) -> u32) -> Self {
        let len = self.slots.len().max(other.slots.len());
        let at = |slots: &[u32], i: usize| slots.get(i).copied().unwrap_or(0);
        let slots = (0..len).map(|i| both(at(&self.slots, i), at(&other.slots, i))).collect();
        Self { slots, missing: both(self.missing, other.missing) }
    }
}

fn joined<V>(
    a: &BTreeMap<String, V>,
    b: &BTreeMap<String, V>,
    empty: &V,
    both: impl Fn(&V, &V) -> V,
) -> BTreeMap<String, V> {
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.map(|key| (key.clone(), both(a.get(key).unwrap_or(empty), b.get(key).unwrap_or(empty)))).collect()
}

/// The last sealed panes.
#[derive(Debug, Clone, Default)]
pub struct Window {
    panes: VecDeque<(UnixMillis, Pane)>,
}

impl Window {
    /// Adds a pane that was sealed at `at`, and lets go of all but the last `keep`.
    pub fn push(&mut self, at: UnixMillis, pane: Pane, keep: usize) {
        self.panes.push_back((at, pane));
        while self.panes.len() > keep.max(1) {
            self.panes.pop_front();
        }
    }

    /// Number of sealed panes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.panes.len()
    }

    /// Whether no pane was sealed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// When the last pane was sealed.
    #[must_use]
    pub fn sealed_at(&self) -> Option<UnixMillis> {
        self.panes.back().map(|(at, _)| *at)
    }

    /// The sum of the panes.
    #[must_use]
    pub fn sum(&self) -> Pane {
        self.panes.iter().fold(Pane::default(), |sum, (_, pane)| sum.plus(pane))
    }
}
