//! A reference reweighted to the current mix of stations: that one camera stands idle is not drift.

/// What one station contributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station<'a> {
    /// Reference counts per slot.
    pub reference: &'a [u64],
    /// Independent reference units these counts stand for.
    pub units: f64,
    /// Current units, the weight it is to have.
    pub current: f64,
}

/// A reference as it would be with the current mix of stations.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Share of each slot.
    pub shares: Vec<f64>,
    /// Independent units the mix is worth: the fewer, the more weight lies on stations with little reference.
    pub effective_units: f64,
    /// Share of the current units whose station has no reference of this feature: not represented in the shares. The
    /// current counts of such stations must be left out of a comparison.
    pub unknown: f64,
}

/// Mixes the stations' references by their current units. `None` where no station has both, or references differ in
/// their number of slots.
///
/// A mix `sum w_s F_s` of stations with `n_s` units has the variance of a sample of `1 / sum(w_s^2 / n_s)` (Kish 1965).
#[must_use]
pub fn reweight(stations: &[Station<'_>]) -> Option<Mix> {
    let slots = stations.first()?.reference.len();
    if stations.iter().any(|station| station.reference.len() != slots) {
        return None;
    }
    let all: f64 = stations.iter().map(|station| station.current).sum();
    let known = || stations.iter().filter(|station| station.units > 0.0).filter_map(|s| Some((s, total(s.reference)?)));
    let weights: f64 = known().map(|(station, _)| station.current).sum();
    if weights.is_nan() || weights <= 0.0 {
        return None;
    }
    let mut shares = vec![0.0; slots];
    let mut variance = 0.0;
    for (station, count) in known() {
        let weight = station.current / weights;
        variance += weight * weight / station.units;
        shares.iter_mut().zip(station.reference).for_each(|(share, n)| *share += weight * *n as f64 / count);
    }
    Some(Mix { shares, effective_units: variance.recip(), unknown: 1.0 - weights / all })
}

fn total(counts: &[u64]) -> Option<f64> {
    let total: f64 = counts.iter().map(|&count| count as f64).sum();
    (total > 0.0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(reference: &[u64], current: f64) -> Station<'_> {
        Station { reference, units: reference.iter().sum::<u64>() as f64, current }
    }

    #[test]
    fn an_idle_station_takes_its_reference_with_it() {
        let mix = reweight(&[station(&[90, 10], 50.0), station(&[0, 400], 0.0)]).unwrap();
        assert_eq!((mix.shares, mix.effective_units.round(), mix.unknown), (vec![0.9, 0.1], 100.0, 0.0));
    }

    #[test]
    fn the_same_mix_is_worth_all_its_units() {
        let mix = reweight(&[station(&[90, 10], 10.0), station(&[0, 400], 40.0)]).unwrap();
        assert!((mix.shares[0] - 0.18).abs() < 1e-12 && (mix.effective_units - 500.0).abs() < 1e-9, "{mix:?}");
    }

    #[test]
    fn a_new_station_has_no_reference() {
        let mix = reweight(&[station(&[1, 1], 30.0), station(&[0, 0], 10.0)]).unwrap();
        assert_eq!((mix.shares, mix.unknown), (vec![0.5, 0.5], 0.25));
        assert_eq!(reweight(&[station(&[1, 1], 0.0), station(&[0, 0], 10.0)]), None);
        assert_eq!(reweight(&[station(&[1], 1.0), station(&[0, 0], 10.0)]), None);
        assert_eq!(reweight(&[]), None);
    }
}
