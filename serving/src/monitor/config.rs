//! How much is watched: per model, and for the server as a whole.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;
use takt_monitoring::capture::CaptureConfig;
use takt_monitoring::drift::{DriftConfig, LearnRule, Limits};
use takt_monitoring::feedback;
use takt_monitoring::funnel::{Funnel, FunnelConfig};
use takt_monitoring::log;

/// How one model is watched; `[monitor]` in its `model.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorConfig {
    /// Whether it is watched at all.
    pub enabled: bool,
    /// Limits of features, by name.
    pub features: std::collections::BTreeMap<String, Limits>,
    /// Limits of the others.
    pub limits: Limits,
    /// When a learned reference is complete.
    pub learn: LearnRule,
    /// Most images per second that are measured: under load more would cost throughput and tell nothing new, as
    /// frames close in time are alike.
    pub images_per_second: u32,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            features: std::collections::BTreeMap::new(),
            limits: Limits::default(),
            learn: LearnRule::default(),
            images_per_second: 20,
        }
    }
}

/// How the server watches; `[monitor]` in `takt.toml`, as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is documented where it is checked, in MonitorSettings")]
pub struct RawMonitorSettings {
    pub pane_ms: Option<u64>,
    pub window_panes: Option<usize>,
    pub skew_limit: Option<f64>,
    pub max_stations: Option<usize>,
    pub log_predictions: Option<bool>,
    pub take_feedback: Option<bool>,
    pub capture_images: Option<bool>,
    pub quality_window_hours: Option<u64>,
    pub prediction_log: Option<log::Limits>,
    pub feedback: Option<feedback::Config>,
    pub capture: Option<CaptureConfig>,
    pub funnels: Option<Vec<FunnelConfig>>,
    pub p99_limit_ms: Option<u64>,
    pub error_limit: Option<f64>,
    pub webhook: Option<RawWebhook>,
}

/// Where alerts are sent; `[monitor.webhook]` in `takt.toml`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is documented where it is checked, in WebhookSettings")]
pub struct RawWebhook {
    pub url: String,
    pub timeout_ms: Option<u64>,
    pub max_messages: Option<usize>,
    pub instance: Option<String>,
}

/// How the server watches, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorSettings {
    /// Length of a pane; 60 s.
    pub pane: Duration,
    /// Panes of the rolling window; 10.
    pub window: NonZeroUsize,
    /// Throughput of the busiest station over that of the idlest at which it is said; 5.
    pub skew_limit: f64,
    /// Stations told apart; the others count as `other`; 64.
    pub max_stations: usize,
    /// What is kept about predictions and labels.
    pub quality: QualitySettings,
    /// From where on a version is not healthy.
    pub health: HealthLimits,
    /// Where alerts are sent; nowhere where it is not given.
    pub webhook: Option<WebhookSettings>,
}

/// From where on a version is not healthy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HealthLimits {
    /// 99th percentile of the time in the server; 0.25.
    pub p99_seconds: f64,
    /// Share of requests that the server failed; 0.0144, at which a month's budget of 99.9 % is gone in two days.
    pub error_rate: f64,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self { p99_seconds: 0.25, error_rate: 0.0144 }
    }
}

/// Where alerts are sent, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// An `http://` address.
    pub url: String,
    /// Longest time of an attempt; 5 s.
    pub timeout: Duration,
    /// Messages that may wait on the disk; 1,000.
    pub max_messages: usize,
    /// Name of this board; the host's.
    pub instance: String,
}

/// What is kept about predictions and labels, and what is made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct QualitySettings {
    /// Limits of the prediction log; none where predictions are not logged.
    pub prediction_log: Option<log::Limits>,
    /// The feedback store; none where labels are not taken.
    pub feedback: Option<feedback::Config>,
    /// The images that are kept; none where none are.
    pub capture: Option<CaptureConfig>,
    /// Time over which rates are taken; seven days.
    pub window: Duration,
    /// Funnels; one of inspected, flagged, reviewed, confirmed.
    pub funnels: Vec<Funnel>,
}

impl MonitorSettings {
    /// Checks what was written, and pushes faults that name the setting.
    pub(crate) fn check(raw: &RawMonitorSettings, faults: &mut Vec<String>) -> Self {
        let RawMonitorSettings { pane_ms, window_panes, skew_limit, max_stations, .. } = *raw;
        let pane_ms = pane_ms.unwrap_or(60_000);
        if !(100..=86_400_000).contains(&pane_ms) {
            faults.push(format!("monitor.pane_ms is {pane_ms}, expected 100 to 86400000, a day"));
        }
        let window = window_panes.unwrap_or(10);
        if !(1..=10_000).contains(&window) {
            faults.push(format!("monitor.window_panes is {window}, expected 1 to 10000"));
        }
        let skew_limit = skew_limit.unwrap_or(5.0);
        if !(skew_limit > 1.0 && skew_limit.is_finite()) {
            faults.push(format!(
                "monitor.skew_limit is {skew_limit}, expected more than 1, where all stations are equal"
            ));
        }
        let max_stations = max_stations.unwrap_or(64);
        if !(1..=4096).contains(&max_stations) {
            faults.push(format!("monitor.max_stations is {max_stations}, expected 1 to 4096"));
        }
        Self {
            pane: Duration::from_millis(pane_ms),
            window: NonZeroUsize::new(window).unwrap_or(NonZeroUsize::MIN),
            skew_limit,
            max_stations,
            quality: QualitySettings::check(raw, faults),
            health: HealthLimits::check(raw, faults),
            webhook: raw.webhook.as_ref().map(|webhook| WebhookSettings::check(webhook, faults)),
        }
    }

    /// How drift of a model is judged.
    pub(super) fn drift(&self, model: &MonitorConfig) -> DriftConfig {
        DriftConfig { pane: self.pane, window: self.window, limits: model.limits, features: model.features.clone() }
    }
}

impl HealthLimits {
    fn check(raw: &RawMonitorSettings, faults: &mut Vec<String>) -> Self {
        let usual = Self::default();
        let p99_seconds = raw.p99_limit_ms.map_or(usual.p99_seconds, |millis| millis as f64 / 1e3);
        if p99_seconds <= 0.0 {
            faults.push("monitor.p99_limit_ms is 0, expected at least 1; 250 when not given".to_owned());
        }
        let error_rate = raw.error_limit.unwrap_or(usual.error_rate);
        if !(error_rate > 0.0 && error_rate < 1.0) {
            faults.push(format!("monitor.error_limit is {error_rate}, expected a share above 0 and below 1"));
        }
        Self { p99_seconds, error_rate }
    }
}

impl WebhookSettings {
    fn check(raw: &RawWebhook, faults: &mut Vec<String>) -> Self {
        let url = raw.url.parse::<http::Uri>().ok().filter(|url| url.host().is_some());
        if url.is_none_or(|url| url.scheme() != Some(&http::uri::Scheme::HTTP)) {
            faults.push(format!(
                "monitor.webhook.url is '{}', expected http:// and a host; for a receiver with TLS give a proxy beside it",
                raw.url
            ));
        }
        let timeout_ms = raw.timeout_ms.unwrap_or(5000);
        if !(1..=60_000).contains(&timeout_ms) {
            faults.push(format!("monitor.webhook.timeout_ms is {timeout_ms}, expected 1 to 60000"));
        }
        let max_messages = raw.max_messages.unwrap_or(1000);
        if !(1..=100_000).contains(&max_messages) {
            faults.push(format!("monitor.webhook.max_messages is {max_messages}, expected 1 to 100000"));
        }
        let instance = raw.instance.clone().unwrap_or_else(host_name);
        Self { url: raw.url.clone(), timeout: Duration::from_millis(timeout_ms), max_messages, instance }
    }
}

/// As the kernel knows it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "takt".to_owned() } else { name.trim().to_owned() }
}

impl QualitySettings {
    fn check(raw: &RawMonitorSettings, faults: &mut Vec<String>) -> Self {
        let hours = raw.quality_window_hours.unwrap_or(7 * 24);
        if !(1..=366 * 24).contains(&hours) {
            faults.push(format!("monitor.quality_window_hours is {hours}, expected 1 to 8784, a year"));
        }
        let prediction_log = raw.prediction_log.unwrap_or_default();
        let feedback = raw.feedback.clone().unwrap_or_default();
        let under = |key: &str, found: Vec<Fault>| {
            found.into_iter().map(|fault| fault.under(&format!("monitor.{key}")).to_string()).collect::<Vec<_>>()
        };
        faults.extend(under("prediction_log", prediction_log.faults()));
        let capture = raw.capture.clone().unwrap_or_default();
        faults.extend(under("feedback", feedback.faults()));
        faults.extend(under("capture", capture.faults()));
        let mut funnels = Vec::new();
        for (at, funnel) in raw.funnels.clone().unwrap_or_else(|| vec![FunnelConfig::default()]).into_iter().enumerate()
        {
            match Funnel::try_from(funnel) {
                Ok(funnel) => funnels.push(funnel),
                Err(errors) => faults.extend(under(&format!("funnels[{at}]"), errors.faults)),
            }
        }
        Self {
            prediction_log: raw.log_predictions.unwrap_or(true).then_some(prediction_log),
            feedback: raw.take_feedback.unwrap_or(true).then_some(feedback),
            capture: raw.capture_images.unwrap_or(true).then_some(capture),
            window: Duration::from_secs(hours * 3600),
            funnels,
        }
    }
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self::check(&RawMonitorSettings::default(), &mut Vec::new())
    }
}
