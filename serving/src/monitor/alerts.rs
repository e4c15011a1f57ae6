//! The alert rules, evaluated here as well, because a board is often alone. They are named as those for Prometheus.

use std::collections::BTreeMap;

use takt_monitoring::alert::{Says, Signal};
use takt_monitoring::drift::{FeatureReport, Judgement};
use takt_monitoring::feedback::Standing;

use super::report::{MonitorReport, VersionReport};

/// What every rule says of a report.
pub(super) fn said(report: &MonitorReport) -> Vec<Says> {
    let mut said = Vec::new();
    for version in &report.versions {
        for segment in version.drift.iter().flat_map(|drift| &drift.segments) {
            for feature in &segment.features {
                drift(version, &segment.segment, feature, &mut said);
            }
        }
    }
    if let Some(skew) = report.stations.skew {
        let limit = report.stations.skew_limit;
        let reason = format!("the busiest station sends {skew:.1} times what the idlest sends; the limit is {limit}");
        said.push(Says {
            alert: "TaktThroughputSkew",
            labels: BTreeMap::new(),
            signal: signal(report.stations.skewed),
            reason,
        });
    }
    for model in report.quality.rates.iter().flat_map(|rates| &rates.models) {
        let signal = match model.quality.standing {
            Standing::Above => Signal::For,
            Standing::Within => Signal::Against,
            Standing::Undetermined => Signal::Open,
        };
        let labels = BTreeMap::from([("model", model.model.to_string())]);
        let rate = model.quality.false_rejects.rate().unwrap_or_default() * 100.0;
        let reason = format!("{rate:.2} % of the inspected parts are false rejects, certainly above the limit");
        said.push(Says { alert: "TaktFalseRejects", labels, signal, reason });
    }
    for (at, funnel) in report.quality.funnels.iter().enumerate() {
        let alarms: Vec<_> = funnel.alarms().map(|(stage, _, _)| stage).collect();
        for stage in &funnel.stages {
            let labels = BTreeMap::from([("funnel", at.to_string()), ("stage", stage.name.to_string())]);
            let reason = format!("stage '{}' changed for the worse, beyond its limit and chance", stage.name);
            said.push(Says {
                alert: "TaktFunnelChanged",
                labels,
                signal: signal(alarms.contains(&&stage.name)),
                reason,
            });
        }
    }
    said
}

fn drift(version: &VersionReport, segment: &str, feature: &FeatureReport, said: &mut Vec<Says>) {
    let labels = BTreeMap::from([
        ("model", version.model.clone()),
        ("version", version.version.to_string()),
        ("segment", segment.to_owned()),
        ("feature", feature.feature.clone()),
    ]);
    let mut say = |name, statistic: &str, value: f64, judged: &Judgement| {
        // An open verdict does not keep an alert: a line whose light wanders may never be certain to be within a limit.
        let signal = signal(judged.is_drift());
        let (feature, limit) = (&feature.feature, judged.limit);
        let reason = format!("{statistic} of {feature} is {value:.3}, certainly above {limit}");
        said.push(Says { alert: name, labels: labels.clone(), signal, reason });
    };
    say("TaktFeatureDrift", "PSI", feature.psi, &feature.psi_verdict);
    if let (Some(lo), Some(judged)) = (feature.ks_lo, &feature.ks_verdict) {
        say("TaktDistributionShift", "the KS distance", lo, judged);
    }
}

fn signal(bad: bool) -> Signal {
    if bad { Signal::For } else { Signal::Against }
}
