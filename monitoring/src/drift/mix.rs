//! The reference as it would look with the stations in the shares of the current window, so that one idle camera is not
//! drift.

use std::collections::BTreeMap;

use takt_artifact::profile::{Counts, Feature};

use super::pane::SegmentCounts;

/// A reference reweighted to a mix of stations.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mixed {
    /// Share of each slot; they sum to 1.
    pub(super) shares: Vec<f64>,
    /// How many independent units of an unweighted reference it is worth: `1 / sum(w_s^2 / n_s)`, from the variance of a
    /// stratified mean (Cochran, "Sampling Techniques", 1977, section 5.4).
    pub(super) size: f64,
}

/// The reference of `feature` in the mix of `current`. What stations the reference does not know saw is compared with all
/// of it. `None` where it has no values.
pub(super) fn mixed(feature: &Feature, current: &SegmentCounts) -> Option<Mixed> {
    let slots = feature.bins.slots();
    let pooled = pool(feature.counts.values(), slots);
    let total: f64 = pooled.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let known: BTreeMap<&str, f64> = current
        .units
        .iter()
        .filter(|(station, units)| **units > 0 && feature.counts.get(*station).is_some_and(|c| c.total() > 0))
        .map(|(station, units)| (station.as_str(), f64::from(*units)))
        .collect();
    let all = current.total_units() as f64;
    if all <= 0.0 || known.is_empty() {
        return Some(Mixed { shares: pooled.iter().map(|count| count / total).collect(), size: total });
    }
    let unknown = 1.0 - known.values().sum::<f64>() / all;
    let mut shares: Vec<f64> = pooled.iter().map(|count| unknown * count / total).collect();
    let mut variance = unknown * unknown / total;
    for (station, units) in known {
        let Some(counts) = feature.counts.get(station) else { continue };
        let (weight, size) = (units / all, counts.total() as f64);
        for (share, &count) in shares.iter_mut().zip(&counts.slots) {
            *share += weight * count as f64 / size;
        }
        variance += weight * weight / size;
    }
    Some(Mixed { shares, size: variance.recip() })
}

fn pool<'a>(counts: impl Iterator<Item = &'a Counts>, slots: usize) -> Vec<f64> {
    let mut sum = vec![0.0; slots];
    for counts in counts {
        for (sum, &count) in sum.iter_mut().zip(&counts.slots) {
            *sum += count as f64;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use takt_artifact::profile::Bins;

    use super::*;

    fn feature() -> Feature {
        let counts = |slots: [u64; 2]| Counts { slots: slots.to_vec(), ..Counts::default() };
        Feature {
            bins: Bins::Categories(vec!["a".to_owned(), "b".to_owned()]),
            counts: BTreeMap::from([("s1".to_owned(), counts([100, 0])), ("s2".to_owned(), counts([0, 300]))]),
            null: None,
        }
    }

    fn current(units: [u32; 2], unknown: u32) -> SegmentCounts {
        let [s1, s2] = units;
        SegmentCounts {
            units: BTreeMap::from([("s1".to_owned(), s1), ("s2".to_owned(), s2)]),
            unknown,
            features: BTreeMap::new(),
        }
    }

    #[test]
    fn an_idle_station_leaves_the_reference_to_the_other() {
        let mixed = mixed(&feature(), &current([50, 0], 0)).unwrap();
        assert_eq!(mixed, Mixed { shares: vec![1.0, 0.0], size: 100.0 });
    }

    #[test]
    fn stations_count_by_their_current_shares() {
        let mixed = mixed(&feature(), &current([10, 10], 0)).unwrap();
        assert_eq!(mixed.shares, [0.5, 0.5]);
        assert!((mixed.size - 1.0 / (0.25 / 100.0 + 0.25 / 300.0)).abs() < 1e-9);
    }

    #[test]
    fn unknown_stations_are_compared_with_everything() {
        let mixed = mixed(&feature(), &current([0, 0], 7)).unwrap();
        assert_eq!(mixed, Mixed { shares: vec![0.25, 0.75], size: 400.0 });
    }
}
