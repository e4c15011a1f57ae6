//! What drift monitoring says, for metrics, JSON and people.

use serde::Serialize;
use takt_artifact::profile::Origin;

use super::evidence::EvidenceReport;
use crate::events::UnixMillis;

/// Drift of one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftReport {
    /// Where the reference came from.
    pub reference: Origin,
    /// sha256 of the reference data.
    pub reference_sha256: String,
    /// When it was made or frozen, RFC 3339.
    pub reference_created: String,
    /// The window that was judged.
    pub window: WindowReport,
    /// One per segment that the window saw.
    pub segments: Vec<SegmentReport>,
}

/// A window of sealed panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// Sealed panes in it.
    pub panes: usize,
    /// Length of a pane in milliseconds.
    pub pane_ms: u64,
    /// When the last one was sealed; milliseconds since 1970 UTC.
    pub sealed_at: Option<UnixMillis>,
}

/// Drift of one segment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentReport {
    /// Product, or `*`.
    pub segment: String,
    /// Independent units in the window.
    pub units: u64,
    /// Of those, units of stations that the reference does not know.
    pub units_of_unknown_stations: u64,
    /// One per feature of the reference.
    pub features: Vec<FeatureReport>,
}

/// Drift of one feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureReport {
    /// Its name.
    pub feature: String,
    /// Values of the reference, reweighted to the current stations; effective number.
    pub n: f64,
    /// Values in the window.
    pub m: u64,
    /// Independent values that they are worth.
    pub m_effective: f64,
    /// Lag-1 autocorrelation within stations.
    pub autocorrelation: f64,
    /// Share of values that were missing.
    pub missing: f64,
    /// Population stability index, exact.
    pub psi: f64,
    /// PSI less what chance alone makes of it.
    pub psi_debiased: f64,
    /// What PSI means.
    pub psi_verdict: Judgement,
    /// Lower bound of the KS distance; none for classes.
    pub ks_lo: Option<f64>,
    /// Upper bound of the KS distance.
    pub ks_hi: Option<f64>,
    /// What KS means.
    pub ks_verdict: Option<Judgement>,
    /// Evidence over sealed panes; none for classes, and before the first pane with values.
    pub evidence: Option<EvidenceReport>,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judgement {
    /// `drift`, `ok` or `undetermined`.
    pub verdict: &'static str,
    /// Why; a stable label.
    pub reason: &'static str,
    /// The limit that was set.
    pub limit: f64,
    /// Estimates up to here are ok; none where nothing could be.
    pub ok_to: Option<f64>,
    /// Estimates from here on are drift; none where nothing could be.
    pub drift_from: Option<f64>,
    /// p-value among the reference's own panes, where it has them.
    pub p_reference: Option<f64>,
}

impl Judgement {
    /// -1 ok, 0 undetermined, 1 drift.
    #[must_use]
    pub fn sign(&self) -> i8 {
        match self.verdict {
            "drift" => 1,
            "ok" => -1,
            _ => 0,
        }
    }

    /// Whether it says drift.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        self.sign() > 0
    }
}

impl FeatureReport {
    /// Whether either statistic says drift.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        self.psi_verdict.is_drift() || self.ks_verdict.is_some_and(|verdict| verdict.is_drift())
    }
}
