//! Settings of the feedback store.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;

use super::Shifts;
use crate::log::Limits;

/// Settings of the feedback store and of what is made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Limits of the segments. `max_age_days` is how late a label may come.
    pub store: Limits,
    /// Predictions that wait for a label, in memory (about 130 bytes each) and on disk. The oldest beyond are settled.
    pub max_predictions: usize,
    /// Labels that are kept; the oldest beyond are dropped.
    pub max_labels: usize,
    /// Days of counts per hour that are kept; comparing four weeks needs 35.
    pub history_days: u32,
    /// Seconds within which views of a part belong together; after that it is another pass of the part.
    pub part_span_secs: u64,
    /// Share of the passed parts, drawn at random, that the line inspects. Not given: what is known of passed parts is
    /// chance (a complaint, a lucky find), so escapes and accuracy are unknown.
    pub audit_share: Option<f64>,
    /// Share of the inspected parts above which false rejects are too many.
    pub false_reject_limit: f64,
    /// Confidence of each bound, one-sided.
    pub confidence: f64,
    /// Stations, products and classes that are told apart, of each; the rest are counted as `other`.
    pub max_names: usize,
    /// When shifts begin.
    pub shifts: Shifts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: Limits { segment_bytes: 2 << 20, total_bytes: 64 << 20, ..Limits::default() },
            max_predictions: 200_000,
            max_labels: 50_000,
            history_days: 35,
            part_span_secs: 600,
            audit_share: None,
            false_reject_limit: 0.0037,
            confidence: 0.95,
            max_names: 64,
            shifts: Shifts::default(),
        }
    }
}

impl Config {
    /// Everything about the settings that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.store.faults().into_iter().map(|fault| fault.under("store")).collect();
        faults.extend(self.shifts.faults().into_iter().map(|fault| fault.under("shifts")));
        let counts = [
            ("max_predictions", self.max_predictions, 1_000, 5_000_000, "200000 are some 26 MB"),
            ("max_labels", self.max_labels, 1_000, 5_000_000, "50000 are some 10 MB"),
            ("max_names", self.max_names, 1, 1_000, "64 stations are many"),
        ];
        for (path, found, least, most, fix) in counts {
            if !(least..=most).contains(&found) {
                faults.push(Fault::new(path, found.to_string(), format!("{least} to {most}"), fix));
            }
        }
        if !(1..=400).contains(&self.history_days) {
            let found = self.history_days.to_string();
            faults.push(Fault::new("history_days", found, "1 to 400", "35 days compare four weeks"));
        }
        if !(1..=7 * 24 * 3600).contains(&self.part_span_secs) {
            let found = self.part_span_secs.to_string();
            faults.push(Fault::new("part_span_secs", found, "1 to 604800", "give how long a part stays at a station"));
        }
        let shares = [
            ("audit_share", self.audit_share, "leave it out where passed parts are not inspected at random"),
            ("false_reject_limit", Some(self.false_reject_limit), "0.37 percent is 0.0037"),
        ];
        for (path, share, fix) in shares {
            if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
                faults.push(Fault::new(path, share.to_string(), "a share above 0, at most 1", fix));
            }
        }
        if !(0.5..1.0).contains(&self.confidence) {
            let found = self.confidence.to_string();
            faults.push(Fault::new("confidence", found, "0.5 to below 1", "0.95 is usual"));
        }
        faults
    }

    pub(super) const fn part_span(&self) -> Duration {
        Duration::from_secs(self.part_span_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_sense_are_refused_all_at_once() {
        assert_eq!(Config::default().faults(), []);
        let config = Config {
            store: Limits { max_age_days: 0, ..Limits::default() },
            max_predictions: 1,
            history_days: 0,
            part_span_secs: 0,
            audit_share: Some(2.0),
            confidence: f64::NAN,
            ..Config::default()
        };
        let paths: Vec<_> = config.faults().into_iter().map(|fault| fault.path).collect();
        let expected =
            ["store.max_age_days", "max_predictions", "history_days", "part_span_secs", "audit_share", "confidence"];
        assert_eq!(paths, expected);
    }
}
