//! The reference as it would look with the stations in the shares of the current window, so that one idle camera is not
//! drift.

use takt_artifact::profile::Feature;
use takt_stats::mix::{Mix, Station, reweight};

use super::pane::SegmentCounts;

/// The reference of `feature` in the mix of `current`. What stations saw that the reference does not know is compared with
/// all of it. `None` where it has no values.
pub(super) fn mixed(feature: &Feature, current: &SegmentCounts) -> Option<Mix> {
    let mut pooled = vec![0; feature.bins.slots()];
    for counts in feature.counts.values() {
        pooled.iter_mut().zip(&counts.slots).for_each(|(sum, count)| *sum += count);
    }
    let station = |reference, current| Station { reference, units: total(reference), current };
    let known = feature.counts.iter().filter(|(_, counts)| counts.total() > 0).filter_map(|(name, counts)| {
        let units = f64::from(*current.units.get(name)?);
        (units > 0.0).then(|| station(&counts.slots, units))
    });
    let mut stations: Vec<_> = known.collect();
    let unknown = current.total_units() as f64 - stations.iter().map(|station| station.current).sum::<f64>();
    if stations.is_empty() || unknown > 0.0 {
        stations.push(station(&pooled, unknown.max(f64::MIN_POSITIVE)));
    }
    reweight(&stations)
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use takt_artifact::profile::{Bins, Counts};

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
        assert_eq!((mixed.shares, mixed.effective_units), (vec![1.0, 0.0], 100.0));
    }

    #[test]
    fn stations_count_by_their_current_shares() {
        let mixed = mixed(&feature(), &current([10, 10], 0)).unwrap();
        assert_eq!(mixed.shares, [0.5, 0.5]);
        assert!((mixed.effective_units - 1.0 / (0.25 / 100.0 + 0.25 / 300.0)).abs() < 1e-9);
    }

    #[test]
    fn unknown_stations_are_compared_with_everything() {
        let mixed = mixed(&feature(), &current([0, 0], 7)).unwrap();
        assert_eq!((mixed.shares, mixed.effective_units), (vec![0.25, 0.75], 400.0));
    }
}
