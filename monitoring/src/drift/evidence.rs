//! Evidence over sealed panes: whether a distance that is small in each pane adds up, with a stated rate of false alarms.
//!
//! Each pane gives an e-value against "the KS distance is at most 0.05". Their process alarms at least as rarely, while
//! nothing is wrong, as [`YEAR`] says; their product over the window is an e-value of the whole window, of which e-BH names
//! the features that have drifted. Both see a pane's own counts only, so a slow drift is found before a window's verdict
//! says it. What the panes that outlive a restart had said is taken up again.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;
use takt_stats::eprocess::{PaneProcess, PaneTest, e_bh};

use super::evaluate::PaneKs;
use crate::events::UnixMillis;

/// One false alarm per feature in this time, on average, or fewer.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Probability that the reference misleads all panes.
const REFERENCE_ERROR: f64 = 0.01;

/// Of the features that are named, at most this share is named wrongly, on average.
const NAMED_WRONGLY: f64 = 0.05;

/// Logarithms of e-values of one pane, by segment and feature.
pub type PaneEvidence = BTreeMap<String, BTreeMap<String, f64>>;

/// Evidence that a feature has drifted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// Logarithm, to base 10, of the evidence so far; an alarm comes at that of the average run length.
    pub log10: f64,
    /// Panes between false alarms, on average, at least.
    pub average_run_length: f64,
    /// Alarms since the server started.
    pub alarms: u64,
    /// When the last one came; milliseconds since 1970 UTC.
    pub last_alarm: Option<UnixMillis>,
    /// Whether e-BH names the feature among all of its segment, over the window.
    pub named: bool,
}

/// Processes of all features, by segment.
#[derive(Debug)]
pub(super) struct Processes {
    window: NonZeroUsize,
    average_run_length: f64,
    features: BTreeMap<String, BTreeMap<String, Process>>,
}

#[derive(Debug)]
struct Process {
    process: PaneProcess,
    /// Logarithms of the e-values of the window's panes, oldest first.
    window: VecDeque<f64>,
    alarms: u64,
    last_alarm: Option<UnixMillis>,
}

impl Processes {
    pub(super) fn new(pane: Duration, window: NonZeroUsize) -> Self {
        let average_run_length = YEAR.as_secs_f64() / pane.as_secs_f64().max(1e-3);
        Self { window, average_run_length, features: BTreeMap::new() }
    }

    /// Takes in a feature's distance of the pane that was just sealed, and gives the logarithm of its e-value.
    pub(super) fn observe(&mut self, segment: &str, feature: &str, now: UnixMillis, ks: PaneKs) -> f64 {
        let PaneKs { lo, n, m } = ks;
        let e_value = PaneTest::new(PaneTest::TAU, REFERENCE_ERROR, n).ln_e_value(lo, m);
        let (process, alarmed) = self.weigh(segment, feature, e_value, now);
        process.alarms += u64::from(alarmed);
        e_value
    }

    /// Takes in what a pane had said before a restart. An alarm of then is remembered, and not counted again.
    pub(super) fn resume(&mut self, pane: &PaneEvidence, sealed_at: UnixMillis) {
        for (segment, features) in pane {
            for (feature, e_value) in features {
                self.weigh(segment, feature, *e_value, sealed_at);
            }
        }
    }

    fn weigh(&mut self, segment: &str, feature: &str, e_value: f64, now: UnixMillis) -> (&mut Process, bool) {
        let process = self.features.entry(segment.to_owned()).or_default().entry(feature.to_owned());
        let process = process.or_insert_with(|| Process {
            process: PaneProcess::new(self.average_run_length),
            window: VecDeque::new(),
            alarms: 0,
            last_alarm: None,
        });
        let alarmed = process.process.update(e_value);
        if alarmed {
            process.last_alarm = Some(now);
        }
        process.window.push_back(e_value);
        while process.window.len() > self.window.get() {
            process.window.pop_front();
        }
        (process, alarmed)
    }

    /// Evidence of each feature of a segment.
    pub(super) fn report(&self, segment: &str) -> BTreeMap<&str, EvidenceReport> {
        let Some(features) = self.features.get(segment) else { return BTreeMap::new() };
        let products: Vec<f64> =
            features.values().map(|process| process.window.iter().sum::<f64>().min(f64::MAX.ln()).exp()).collect();
        let named = e_bh(&products, NAMED_WRONGLY);
        features
            .iter()
            .enumerate()
            .map(|(at, (feature, process))| {
                let report = EvidenceReport {
                    log10: process.process.evidence().log10(),
                    average_run_length: process.process.average_run_length(),
                    alarms: process.alarms,
                    last_alarm: process.last_alarm,
                    named: named.binary_search(&at).is_ok(),
                };
                (feature.as_str(), report)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn processes() -> Processes {
        Processes::new(FIVE_MINUTES, NonZeroUsize::new(10).unwrap())
    }

    fn ks(lo: f64) -> PaneKs {
        PaneKs { lo, n: 5_000.0, m: 300.0 }
    }

    #[test]
    fn one_false_alarm_a_year_is_a_run_length_of_a_year_of_panes() {
        let mut processes = processes();
        processes.observe("*", "noise", UnixMillis(0), ks(0.02));
        let report = processes.report("*")["noise"];
        assert!((report.average_run_length - 105_120.0).abs() < 1e-6);
        assert!((report.log10 - 0.5_f64.log10()).abs() < 1e-12 && report.alarms == 0 && !report.named);
    }

    #[test]
    fn evidence_goes_on_after_a_restart_and_an_alarm_is_not_counted_twice() {
        let (mut whole, mut kept) = (processes(), Vec::new());
        for pane in 0..8 {
            let e_value = whole.observe("*", "noise", UnixMillis(pane), ks(0.18));
            kept.push(PaneEvidence::from([("*".to_owned(), BTreeMap::from([("noise".to_owned(), e_value)]))]));
        }
        let mut resumed = processes();
        (0..).zip(&kept).for_each(|(at, pane)| resumed.resume(pane, UnixMillis(at)));
        let (before, after) = (whole.report("*")["noise"], resumed.report("*")["noise"]);
        assert!(before.alarms > 0, "{before:?}");
        assert_eq!(after, EvidenceReport { alarms: 0, ..before });
    }

    #[test]
    fn a_drift_too_small_for_a_verdict_adds_up_and_only_it_is_named() {
        let mut processes = processes();
        for pane in 0..20 {
            processes.observe("*", "noise", UnixMillis(pane), ks(0.18));
            processes.observe("*", "contrast", UnixMillis(pane), ks(0.04));
        }
        let report = processes.report("*");
        let (noise, contrast) = (report["noise"], report["contrast"]);
        assert!(noise.alarms > 0 && noise.last_alarm.is_some() && noise.named, "{noise:?}");
        assert!(contrast.alarms == 0 && !contrast.named, "{contrast:?}");
        assert!(processes.report("lid").is_empty());
    }
}
