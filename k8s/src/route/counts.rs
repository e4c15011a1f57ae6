//! What the servers counted, as a Prometheus has it, turned into evidence.
//!
//! Pods are scraped at different moments, so counts of one moment cannot be compared. A window ends when every pod has been
//! scraped anew since it began; what was counted in it is one piece of evidence. The share that counts is the one that was realised in
//! it: connections of gRPC live long, and a weight says how new ones are spread, not how requests are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_prometheus::{Series, moment};
use takt_rollout::counter::Counter;
use takt_rollout::evidence::{Exposure, Tally};

/// Answers of a version: requests.
pub const ANSWERED: &str = "nv_inference_request_success";
/// Failures that are the version's own, each run once.
pub const FAILED: &str = "takt_failed_runs_total";
/// Pods and versions at once; more are not counted.
const MOST_SERIES: usize = 1024;

/// One version in one pod, as it was last scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its labels.
    pub key: String,
    /// Whether it is the candidate.
    pub canary: bool,
    /// When it was scraped.
    pub scraped: UnixMillis,
    /// Requests answered since the process began.
    pub answered: u64,
    /// Failures since the process began.
    pub failed: u64,
}

/// What is remembered of the counters between two looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    series: BTreeMap<String, Reading>,
    stable: Tally,
    canary: Tally,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Reading {
    scraped: UnixMillis,
    answered: Counter,
    failed: Counter,
    /// Whether it was scraped since the window began.
    fresh: bool,
}

/// The rows of two answers: counters, and when they were scraped. A counter without a time of its scrape is left out.
#[must_use]
pub fn rows(counters: &[Series], scraped: &[Series], candidate: u64) -> Vec<Row> {
    let candidate = candidate.to_string();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for series in scraped {
        let canary = series.labels.get("version") == Some(&candidate);
        let row = Row { key: key(series), canary, scraped: moment(series.value), answered: 0, failed: 0 };
        rows.insert(row.key.clone(), row);
    }
    for series in counters {
        if let Some(row) = rows.get_mut(&key(series)) {
            match series.labels.get("__name__").map(String::as_str) {
                Some(ANSWERED) => row.answered = count(series.value),
                Some(FAILED) => row.failed = count(series.value),
                _ => {}
            }
        }
    }
    rows.into_values().collect()
}

/// All labels but the name: a pod and a version.
fn key(series: &Series) -> String {
    let labels = series.labels.iter().filter(|(name, _)| *name != "__name__");
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 2^53")]
fn count(value: f64) -> u64 {
    value.max(0.0) as u64
}

impl Readings {
    /// Takes rows in. What was counted in the window, if it ended with them and anything was.
    ///
    /// What is seen for the first time counts from then on; a counter that began anew counts whole; a pod that is gone is forgotten, and what
    /// was counted of it stays.
    pub fn take(&mut self, rows: &[Row]) -> Option<Exposure> {
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        self.series.retain(|key, _| listed.contains(key.as_str()));
        for row in rows {
            if !self.series.contains_key(&row.key) && self.series.len() >= MOST_SERIES {
                continue;
            }
            let new = !self.series.contains_key(&row.key);
            let reading = self.series.entry(row.key.clone()).or_default();
            if !new && row.scraped <= reading.scraped {
                continue;
            }
            let (answered, failed) = (reading.answered.delta(row.answered), reading.failed.delta(row.failed));
            (reading.scraped, reading.fresh) = (row.scraped, !new);
            let tally = if row.canary { &mut self.canary } else { &mut self.stable };
            tally.units = tally.units.saturating_add(answered).saturating_add(failed);
            tally.bad = tally.bad.saturating_add(failed);
        }
        if self.series.is_empty() || self.series.values().any(|reading| !reading.fresh) {
            return None;
        }
        self.series.values_mut().for_each(|reading| reading.fresh = false);
        let (stable, canary) = (std::mem::take(&mut self.stable), std::mem::take(&mut self.canary));
        let share = canary.units as f64 / stable.units.saturating_add(canary.units) as f64;
        // Of nothing there is no share.
        TrafficShare::new(share).ok().map(|rho| Exposure { rho, stable, canary })
    }

    /// When the newest of the counters was read.
    #[must_use]
    pub fn newest(&self) -> Option<UnixMillis> {
        self.series.values().map(|reading| reading.scraped).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, canary: bool, scraped: u64, answered: u64, failed: u64) -> Row {
        Row { key: key.to_owned(), canary, scraped: UnixMillis(scraped), answered, failed }
    }

    fn tally(units: u64, bad: u64) -> Tally {
        Tally { units, bad }
    }

    #[test]
    fn a_window_ends_when_every_pod_was_scraped_anew() {
        let mut readings = Readings::default();
        assert_eq!(
            readings.take(&[row("a", false, 10, 1000, 7), row("b", true, 11, 50, 1)]),
            None,
            "who knows since when"
        );
        assert_eq!(readings.take(&[row("a", false, 25, 1090, 8), row("b", true, 11, 50, 1)]), None, "b is as before");
        let exposure = readings.take(&[row("a", false, 25, 1090, 8), row("b", true, 26, 57, 3)]).unwrap();
        assert_eq!((exposure.stable, exposure.canary), (tally(91, 1), tally(9, 2)));
        assert_eq!(exposure.rho, TrafficShare::new(0.09).unwrap());
        assert_eq!(readings.newest(), Some(UnixMillis(26)));
    }

    #[test]
    fn pods_begin_anew_come_and_go() {
        let mut readings = Readings::default();
        readings.take(&[row("a", false, 10, 100, 0), row("b", true, 10, 100, 0)]);
        // b was restarted, c is new.
        let rows = [row("a", false, 20, 110, 0), row("b", true, 20, 4, 1), row("c", true, 20, 70, 0)];
        assert_eq!(readings.take(&rows), None, "c was seen for the first time");
        // a is gone; what it had counted counts.
        let exposure = readings.take(&[row("b", true, 30, 6, 1), row("c", true, 30, 75, 0)]).unwrap();
        assert_eq!((exposure.stable, exposure.canary), (tally(10, 0), tally(12, 1)));
    }

    #[test]
    fn nothing_counted_is_no_evidence() {
        let mut readings = Readings::default();
        assert_eq!(readings.take(&[]), None);
        readings.take(&[row("a", false, 10, 100, 0)]);
        assert_eq!(readings.take(&[row("a", false, 20, 100, 0)]), None);
        assert!(readings.take(&[row("a", false, 30, 101, 0)]).is_some());
    }

    #[test]
    fn answers_of_prometheus_become_rows() {
        let series = |labels: &[(&str, &str)], value: f64| Series {
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            at: UnixMillis(0),
            value,
        };
        let (one, two) = ([("pod", "p"), ("version", "1")], [("pod", "p"), ("version", "2")]);
        let named =
            |name: &'static str, labels: &[(&'static str, &'static str)]| [&[("__name__", name)], labels].concat();
        let counters = [
            series(&named(ANSWERED, &one), 9.0),
            series(&named(FAILED, &one), 1.0),
            series(&named(ANSWERED, &two), 5.0),
        ];
        let scraped = [series(&one, 1.5)];
        assert_eq!(rows(&counters, &scraped, 1), [row("pod=p,version=1", true, 1500, 9, 1)]);
    }
}
