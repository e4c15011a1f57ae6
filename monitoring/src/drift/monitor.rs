//! Drift of one version: counters shared with the request path, and the sealed panes of one owner.

use std::sync::Arc;

use takt_artifact::profile::Profile;

use super::config::DriftConfig;
use super::counters::{Counters, Seen};
use super::evaluate::{Evidence, evaluate, pane_ks};
use super::evidence::{PaneEvidence, Processes};
use super::lag::{Lags, PaneLags, autocorrelation};
use super::pane::{Pane, SegmentCounts, Window};
use super::report::{DriftReport, FeatureReport, SegmentReport, WindowReport};
use crate::events::UnixMillis;
use crate::features::{VISION_LEN, VISION_NAMES};

/// Panes and verdicts of one version. Its owner seals panes; the request path only sees [`Counters`].
#[derive(Debug)]
pub struct DriftMonitor {
    profile: Arc<Profile>,
    config: DriftConfig,
    counters: Arc<Counters>,
    last: Pane,
    window: Window,
    lags: Lags,
    pane_lags: std::collections::VecDeque<PaneLags>,
    processes: Processes,
}

impl DriftMonitor {
    /// A monitor against `profile`, of a version whose classes are `labels`.
    #[must_use]
    pub fn new(profile: Arc<Profile>, labels: &[String], config: DriftConfig) -> Self {
        let counters = Arc::new(Counters::new(&profile, labels));
        let last = counters.read();
        let (window, lags) = (Window::default(), Lags::default());
        let processes = Processes::new(config.pane, config.window);
        let pane_lags = std::collections::VecDeque::new();
        Self { profile, config, counters, last, window, lags, pane_lags, processes }
    }

    /// What the request path counts with.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The reference.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Takes note of the order of values. [`Counters`] have counted them already, or will.
    pub fn follow(&mut self, seen: &Seen<'_>) {
        let segment = seen.product.filter(|product| self.profile.segments.contains_key(*product));
        let segment = segment.unwrap_or(takt_artifact::profile::ANY_SEGMENT);
        self.lags.observe(segment, seen.station.unwrap_or_default(), seen.values);
    }

    /// Ends the pane that is open and gives it with what it said, for keeping.
    pub fn seal(&mut self, now: UnixMillis) -> (Pane, PaneEvidence) {
        let reading = self.counters.read();
        let pane = reading.since(&self.last).trimmed();
        self.last = reading;
        self.window.push(now, pane.clone(), self.config.window.get());
        let lags = self.lags.seal();
        self.pane_lags.push_back(lags);
        while self.pane_lags.len() > self.config.window.get() {
            self.pane_lags.pop_front();
        }
        let evidence = self.weigh(now, &pane);
        (pane, evidence)
    }

    /// Takes in a pane as evidence.
    fn weigh(&mut self, now: UnixMillis, pane: &Pane) -> PaneEvidence {
        let mut said = PaneEvidence::new();
        for (name, counts) in &pane.segments {
            let Some(reference) = self.profile.segments.get(name) else { continue };
            let lags = autocorrelation(self.pane_lags.iter(), name);
            for (feature, of) in &counts.features {
                let index = VISION_NAMES.iter().position(|name| name == feature);
                let evidence = index.map(|at| Evidence { segment: counts, counts: of, autocorrelation: lags[at] });
                let ks = reference.features.get(feature).zip(evidence).and_then(|(of, evidence)| pane_ks(of, evidence));
                if let Some(ks) = ks {
                    let e_value = self.processes.observe(name, feature, now, ks);
                    // JSON knows no infinity.
                    if e_value.is_finite() {
                        said.entry(name.clone()).or_default().insert(feature.clone(), e_value);
                    }
                }
            }
        }
        said
    }

    /// Puts back a pane that was sealed earlier, as after a restart; oldest first.
    pub fn resume(&mut self, sealed_at: UnixMillis, pane: Pane, evidence: &PaneEvidence) {
        self.processes.resume(evidence, sealed_at);
        self.window.push(sealed_at, pane, self.config.window.get());
    }

    /// Verdicts about the window of sealed panes.
    #[must_use]
    pub fn report(&self) -> DriftReport {
        let sum = self.window.sum();
        DriftReport {
            reference: self.profile.origin,
            reference_sha256: self.profile.reference_sha256.clone(),
            reference_created: self.profile.created.clone(),
            window: WindowReport {
                panes: self.window.len(),
                pane_ms: u64::try_from(self.config.pane.as_millis()).unwrap_or(u64::MAX),
                sealed_at: self.window.sealed_at(),
            },
            segments: sum.segments.iter().filter_map(|(name, counts)| self.segment(name, counts)).collect(),
        }
    }

    fn segment(&self, name: &str, counts: &SegmentCounts) -> Option<SegmentReport> {
        let reference = self.profile.segments.get(name)?;
        let lags = autocorrelation(self.pane_lags.iter(), name);
        let collected = self.processes.report(name);
        Some(SegmentReport {
            segment: name.to_owned(),
            units: counts.total_units(),
            units_of_unknown_stations: u64::from(counts.unknown),
            features: counts
                .features
                .iter()
                .filter_map(|(feature, of)| {
                    let index = VISION_NAMES.iter().position(|name| name == feature);
                    let evidence = Evidence {
                        segment: counts,
                        counts: of,
                        // Classes follow the answer, whose dependence the surest of its figures shows.
                        autocorrelation: lags[index.unwrap_or(VISION_LEN - 1)],
                    };
                    let limits = self.config.limits_of(feature);
                    let report = evaluate(feature, reference.features.get(feature)?, evidence, limits)?;
                    Some(FeatureReport { evidence: collected.get(feature.as_str()).copied(), ..report })
                })
                .collect::<Vec<FeatureReport>>(),
        })
    }
}
