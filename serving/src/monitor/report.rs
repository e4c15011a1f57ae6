//! What the monitor found, as one value: for metrics, for `GET /monitor`, for people.

use serde::Serialize;
use takt_monitoring::alert::Firing;
use takt_monitoring::capture::CaptureStats;
use takt_monitoring::drift::{DriftReport, Progress};
use takt_monitoring::events::UnixMillis;
use takt_monitoring::feedback::{self, QualityReport};
use takt_monitoring::funnel::FunnelReport;
use takt_monitoring::log;

use super::config::HealthLimits;
use super::webhook::WebhookReport;

/// Everything that was found at the end of the last pane.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MonitorReport {
    /// When; milliseconds since 1970 UTC.
    pub at: UnixMillis,
    /// Outcomes that were not taken note of, as the monitor was behind.
    pub dropped_outcomes: u64,
    /// Files that could not be written.
    pub write_failures: u64,
    /// Throughput by station.
    pub stations: StationsReport,
    /// One per version that is watched.
    pub versions: Vec<VersionReport>,
    /// What labels say of verdicts, and the funnel.
    pub quality: QualitySection,
    /// From where on a version is not healthy.
    pub health_limits: HealthLimits,
    /// What fires.
    pub alerts: Vec<Firing>,
    /// What became of alerts on their way to the webhook; none where there is no webhook.
    pub webhook: Option<WebhookReport>,
}

/// What labels say of verdicts, and the funnel.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct QualitySection {
    /// Labels taken: new, revised, known already.
    pub labels: LabelCounts,
    /// Rates with bounds over the quality window; none before the first look, or where feedback is off.
    pub rates: Option<QualityReport>,
    /// Each funnel against the past.
    pub funnels: Vec<FunnelReport>,
    /// Whether the clock is known to be right. While it is not, week over week is off.
    pub clock_synchronised: bool,
    /// The prediction log; none where it is off.
    pub prediction_log: Option<log::Stats>,
    /// Images that were kept; none where they are not.
    pub captured_images: Option<CaptureStats>,
    /// The feedback store; none where it is off.
    pub feedback_store: Option<feedback::Stats>,
}

/// Labels by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LabelCounts {
    /// The first of an inspector about a subject.
    pub added: u64,
    /// Replaced an older one.
    pub revised: u64,
    /// Changed nothing.
    pub known: u64,
}

/// Throughput by station over the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StationsReport {
    /// Length of the window in milliseconds.
    pub window_ms: u64,
    /// Rows per second of each station.
    pub stations: Vec<StationReport>,
    /// Input of the busiest station over that of the idlest; none for fewer than two stations.
    pub skew: Option<f64>,
    /// The limit that was set.
    pub skew_limit: f64,
    /// Whether the skew is over it.
    pub skewed: bool,
}

/// Throughput of one station over the window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StationReport {
    /// Its name.
    pub station: String,
    /// Rows in the window.
    pub inputs: u64,
    /// Rows in the window that were answered.
    pub outputs: u64,
    /// Rows per second that arrived.
    pub inputs_per_second: f64,
    /// Rows per second that were answered.
    pub outputs_per_second: f64,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionReport {
    /// Model name.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// Version digest.
    pub digest: String,
    /// Where the reference is from.
    pub reference: ReferenceState,
    /// Requests over the window.
    pub health: HealthReport,
    /// Drift over the window; none without a reference.
    pub drift: Option<DriftReport>,
}

/// Where a version's drift reference is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ReferenceState {
    /// From the package.
    Packaged,
    /// Learned on this line.
    Learned,
    /// Being learned; no verdict before it is complete.
    Learning {
        /// How far it is.
        progress: Progress,
    },
}

impl ReferenceState {
    /// Stable label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Packaged => "packaged",
            Self::Learned => "learned",
            Self::Learning { .. } => "learning",
        }
    }
}

/// How requests of a version fared over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HealthReport {
    /// Requests answered.
    pub answered: u64,
    /// Requests that the server failed; those that were wrong themselves do not count.
    pub failed: u64,
    /// Share that the server failed; none without requests.
    pub error_rate: Option<f64>,
    /// That share is at least this, with 95 % confidence (Clopper and Pearson); none without requests.
    pub error_rate_lower: Option<f64>,
    /// 99th percentile of the time in the server in seconds, from the buckets of `takt_stage_seconds`.
    pub p99_seconds: Option<f64>,
}
