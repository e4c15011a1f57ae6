//! How much a feature's values depend on the one before, per station: frames a second apart hardly differ, and what
//! hardly differs says less than its number.

use std::collections::BTreeMap;

use crate::features::{VISION_LEN, Vision};

/// Stations and segments for which sums are kept; what comes later is left out, which costs accuracy and nothing else.
const MOST_SERIES: usize = 1024;

/// Sums over consecutive values; additive over panes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
    pairs: f64,
    firsts: f64,
    seconds: f64,
    products: f64,
}

/// Something for each segment and station.
type BySeries<T> = BTreeMap<String, BTreeMap<String, T>>;

/// Sums of one pane.
#[derive(Debug, Clone, Default)]
pub(super) struct PaneLags(BySeries<[Sums; VISION_LEN]>);

/// Collects sums of the pane that is open.
#[derive(Debug, Default)]
pub(super) struct Lags {
    series: BySeries<Series>,
    count: usize,
}

/// What is kept of one station in one segment.
#[derive(Debug)]
struct Series {
    last: Vision,
    /// None before the first values of the pane.
    open: Option<[Sums; VISION_LEN]>,
}

impl Lags {
    /// The next values of a station.
    pub(super) fn observe(&mut self, segment: &str, station: &str, values: &Vision) {
        let known = self.series.get_mut(segment).and_then(|stations| stations.get_mut(station));
        let series = match known {
            Some(series) => series,
            None if self.count >= MOST_SERIES => return,
            None => {
                self.count += 1;
                let stations = self.series.entry(segment.to_owned()).or_default();
                stations.entry(station.to_owned()).or_insert(Series { last: [f32::NAN; VISION_LEN], open: None })
            }
        };
        let last = std::mem::replace(&mut series.last, *values);
        let sums = series.open.get_or_insert_default();
        for ((sums, &value), last) in sums.iter_mut().zip(values).zip(last) {
            sums.observe(f64::from(value), f64::from(last));
        }
    }

    /// Ends the pane. Pairs across its end count for the next one.
    pub(super) fn seal(&mut self) -> PaneLags {
        let open = |series: &mut BTreeMap<String, Series>| {
            let sums = series.iter_mut().filter_map(|(station, series)| Some((station.clone(), series.open.take()?)));
            sums.collect::<BTreeMap<_, _>>()
        };
        PaneLags(self.series.iter_mut().map(|(segment, stations)| (segment.clone(), open(stations))).collect())
    }
}

impl Sums {
    fn observe(&mut self, value: f64, last: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
        if last.is_finite() {
            self.pairs += 1.0;
            self.firsts += last;
            self.seconds += value;
            self.products += last * value;
        }
    }

    fn add(&mut self, other: &Self) {
        let Self { count, sum, squares, pairs, firsts, seconds, products } = other;
        self.count += count;
        self.sum += sum;
        self.squares += squares;
        self.pairs += pairs;
        self.firsts += firsts;
        self.seconds += seconds;
        self.products += products;
    }

    /// Sum of products of consecutive deviations from the mean, scaled to all values, and sum of squared deviations.
    fn deviations(&self) -> (f64, f64) {
        if self.pairs < 1.0 {
            return (0.0, 0.0);
        }
        let mean = self.sum / self.count;
        let covariance = self.products - mean * (self.firsts + self.seconds) + self.pairs * mean * mean;
        (covariance * self.count / self.pairs, (self.squares - self.count * mean * mean).max(0.0))
    }
}

/// Lag-1 autocorrelation of each feature of a segment over these panes, within stations: two cameras of different
/// brightness do not make a series look dependent. 0 where nothing varies or too little was seen.
pub(super) fn autocorrelation<'a>(panes: impl Iterator<Item = &'a PaneLags>, segment: &str) -> [f64; VISION_LEN] {
    let mut stations: BTreeMap<&str, [Sums; VISION_LEN]> = BTreeMap::new();
    for (station, sums) in panes.filter_map(|pane| pane.0.get(segment)).flatten() {
        let total = stations.entry(station).or_default();
        total.iter_mut().zip(sums).for_each(|(total, sums)| total.add(sums));
    }
    std::array::from_fn(|feature| {
        let (mut covariance, mut variance) = (0.0, 0.0);
        for sums in stations.values() {
            let (c, v) = sums[feature].deviations();
            covariance += c;
            variance += v;
        }
        // Differences of large sums leave dust where a feature is constant.
        let scale: f64 = stations.values().map(|sums| sums[feature].squares).sum();
        if variance > 1e-9 * scale { (covariance / variance).clamp(-1.0, 1.0) } else { 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(series: impl Iterator<Item = (&'static str, f32)>) -> f64 {
        let mut lags = Lags::default();
        for (station, value) in series {
            lags.observe("*", station, &[value; VISION_LEN]);
        }
        autocorrelation([lags.seal()].iter(), "*")[0]
    }

    /// Alternates slowly: nine of ten values are as the one before.
    fn slow(i: u32) -> f32 {
        if (i / 10).is_multiple_of(2) { 1.0 } else { 0.0 }
    }

    #[test]
    fn slow_light_is_correlated_and_alternation_is_the_opposite() {
        let found = of((0..1000).map(|i| ("s", slow(i))));
        assert!((found - 0.8).abs() < 0.01, "{found}");
        let found = of((0..1000).map(|i| ("s", (i % 2) as f32)));
        assert!((found + 1.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn two_cameras_of_different_brightness_are_not_a_series() {
        // Each alternates by itself; together, values of a station stay near its own mean.
        let series = (0..2000_u32)
            .map(|i| if i % 2 == 0 { ("a", (i / 2 % 2) as f32) } else { ("b", 100.0 + (i / 2 % 2) as f32) });
        let found = of(series);
        assert!((found + 1.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn constants_and_missing_values_have_none() {
        assert_eq!(of((0..100).map(|_| ("s", 0.1))), 0.0);
        assert_eq!(of((0..100).map(|_| ("s", f32::NAN))), 0.0);
        assert_eq!(of(std::iter::empty()), 0.0);
    }
}
