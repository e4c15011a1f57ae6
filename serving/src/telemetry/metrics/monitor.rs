//! Families of what the monitor found: drift, health, throughput by station.

use std::sync::atomic::Ordering::Relaxed;

use takt_monitoring::drift::{FeatureReport, SegmentReport};

use super::families::{Families, Label};
use crate::monitor::MonitorHub;
use crate::monitor::report::{MonitorReport, VersionReport};

/// Families per version, segment and feature, from sealed panes only: two scrapes within a pane see the same.
pub(super) fn drift(families: &mut Families, report: &MonitorReport) {
    type Of = fn(&FeatureReport) -> Option<f64>;
    let features: [(&str, &str, Of); 14] = [
        ("takt_drift_psi", "Population stability index of the window against the reference", |f| Some(f.psi)),
        ("takt_drift_psi_debiased", "PSI less what chance alone makes of it", |f| Some(f.psi_debiased)),
        ("takt_drift_psi_limit", "PSI from which the feature has drifted", |f| Some(f.psi_verdict.limit)),
        ("takt_drift_psi_verdict", "PSI judged with its sampling error: 1 drift, 0 undetermined, -1 ok", |f| {
            Some(f64::from(f.psi_verdict.sign()))
        }),
        ("takt_drift_ks_lo", "Lower bound of the Kolmogorov-Smirnov distance", |f| f.ks_lo),
        ("takt_drift_ks_hi", "Upper bound of the Kolmogorov-Smirnov distance", |f| f.ks_hi),
        ("takt_drift_ks_limit", "KS distance from which the feature has drifted", |f| f.ks_verdict.map(|v| v.limit)),
        ("takt_drift_ks_verdict", "KS judged with its sampling error: 1 drift, 0 undetermined, -1 ok", |f| {
            f.ks_verdict.map(|verdict| f64::from(verdict.sign()))
        }),
        ("takt_drift_observations", "Values of the window", |f| Some(f.m as f64)),
        ("takt_drift_effective_observations", "Independent values that those of the window are worth", |f| {
            Some(f.m_effective)
        }),
        ("takt_drift_reference_observations", "Effective values of the reference", |f| Some(f.n)),
        ("takt_drift_evidence_log10", "Evidence of drift over sealed panes, as a power of ten", |f| {
            f.evidence.map(|evidence| evidence.log10)
        }),
        ("takt_drift_named", "1 where e-BH names the feature among all of its segment over the window", |f| {
            f.evidence.map(|evidence| f64::from(u8::from(evidence.named)))
        }),
        ("takt_drift_missing_ratio", "Share of values that were missing", |f| Some(f.missing)),
    ];
    for (name, help, of) in features {
        let mut family = families.gauge(name, help);
        each(report, |labels, _, feature| {
            if let Some(value) = of(feature) {
                family.sample(labels, value);
            }
        });
    }
    let mut family = families.counter("takt_drift_evidence_alarms_total", "Alarms of the evidence of drift over panes");
    each(report, |labels, _, feature| {
        if let Some(evidence) = feature.evidence {
            family.sample(labels, evidence.alarms as f64);
        }
    });
    versions(families, report);
    webhook(families, report);
}

fn webhook(families: &mut Families, report: &MonitorReport) {
    let Some(webhook) = &report.webhook else { return };
    let mut family = families.counter("takt_webhook_messages_total", "Messages to the webhook by what became of them");
    for (result, count) in
        [("delivered", webhook.delivered), ("refused", webhook.refused), ("dropped", webhook.dropped)]
    {
        family.sample(&[("result", result)], count as f64);
    }
    families
        .counter("takt_webhook_failures_total", "Attempts to reach the webhook that failed")
        .sample(&[], webhook.failures as f64);
    families.gauge("takt_webhook_waiting", "Messages that wait for the webhook").sample(&[], webhook.waiting as f64);
}

fn each(report: &MonitorReport, mut sample: impl FnMut(&[Label<'_>], &SegmentReport, &FeatureReport)) {
    for version in &report.versions {
        let number = version.version.to_string();
        for segment in version.drift.iter().flat_map(|drift| &drift.segments) {
            for feature in &segment.features {
                let labels = [
                    ("model", version.model.as_str()),
                    ("version", &number),
                    ("segment", &segment.segment),
                    ("feature", &feature.feature),
                ];
                sample(&labels, segment, feature);
            }
        }
    }
}

fn versions(families: &mut Families, report: &MonitorReport) {
    let labelled = |sample: &mut dyn FnMut(&[Label<'_>], &VersionReport)| {
        for version in &report.versions {
            sample(&[("model", &version.model), ("version", &version.version.to_string())], version);
        }
    };
    let mut family = families.gauge("takt_drift_reference_info", "1, with where the drift reference is from");
    for version in &report.versions {
        let drift = version.drift.as_ref();
        let labels = [
            ("model", version.model.as_str()),
            ("version", &version.version.to_string()),
            ("reference", version.reference.label()),
            ("sha256", drift.map_or("", |drift| &drift.reference_sha256)),
        ];
        family.sample(&labels, 1.0);
    }
    let mut family = families.gauge("takt_drift_window_panes", "Sealed panes in the window");
    labelled(&mut |labels, version| {
        family.sample(labels, version.drift.as_ref().map_or(0.0, |drift| drift.window.panes as f64));
    });
    let mut family = families.gauge("takt_window_error_ratio", "Share of the window's requests that the server failed");
    labelled(&mut |labels, version| {
        if let Some(rate) = version.health.error_rate {
            family.sample(labels, rate);
        }
    });
    let mut family = families.gauge("takt_window_p99_seconds", "99th percentile of the window's time in the server");
    labelled(&mut |labels, version| {
        if let Some(seconds) = version.health.p99_seconds {
            family.sample(labels, seconds);
        }
    });
    families
        .gauge("takt_monitor_pane_timestamp_seconds", "End of the last sealed pane, seconds since 1970")
        .sample(&[], report.at.0 as f64 / 1e3);
    families
        .counter("takt_monitor_write_failures_total", "Files of the monitor that could not be written")
        .sample(&[], report.write_failures as f64);
    let mut family = families.gauge("takt_station_skew", "Input of the busiest station over that of the idlest");
    if let Some(skew) = report.stations.skew {
        family.sample(&[], skew);
    }
    families
        .gauge("takt_station_skew_limit", "Skew that is said to be too much")
        .sample(&[], report.stations.skew_limit);
}

/// Counters as they stand.
pub(super) fn stations(families: &mut Families, hub: &MonitorHub) {
    let all = hub.stations().all();
    let mut family = families.counter("takt_station_inputs_total", "Rows that arrived, by station");
    all.iter().for_each(|(name, c)| family.sample(&[("station", name)], c.inputs.load(Relaxed) as f64));
    let mut family = families.counter("takt_station_outputs_total", "Rows that were answered, by station");
    all.iter().for_each(|(name, c)| family.sample(&[("station", name)], c.outputs.load(Relaxed) as f64));
    let mut family = families.counter("takt_station_undecodable_total", "Requests with undecodable images, by station");
    all.iter().for_each(|(name, c)| family.sample(&[("station", name)], c.undecodable.load(Relaxed) as f64));
    families
        .counter("takt_monitor_dropped_outcomes_total", "Outcomes that the monitor was too late for")
        .sample(&[], hub.dropped() as f64);
}
