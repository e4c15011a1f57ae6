//! The alert rules, evaluated here as well, because a board is often alone. They are named as those for Prometheus.

use std::collections::BTreeMap;

use takt_monitoring::alert::{Says, Signal};
use takt_monitoring::drift::{FeatureReport, Judgement};
use takt_monitoring::feedback::Standing;

use super::config::HealthLimits;
use super::report::{MonitorReport, VersionReport};

/// Requests from which a 99th percentile says something.
const FEWEST_OF_P99: u64 = 100;

/// What every rule says of a report.
pub(super) fn said(report: &MonitorReport) -> Vec<Says> {
    let mut said = Vec::new();
    for version in &report.versions {
        health(version, report.health_limits, &mut said);
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

fn health(version: &VersionReport, limits: HealthLimits, said: &mut Vec<Says>) {
    let health = &version.health;
    let labels = BTreeMap::from([("model", version.model.clone()), ("version", version.version.to_string())]);
    let mut say = |alert, signal, reason| said.push(Says { alert, labels: labels.clone(), signal, reason });
    let (p99, limit) = (health.p99_seconds.unwrap_or_default(), limits.p99_seconds);
    let slow = match health.answered {
        0 => Signal::Against,
        1..FEWEST_OF_P99 => Signal::Open,
        _ => signal(p99 > limit),
    };
    say(
        "TaktLatencyHigh",
        slow,
        format!("one request in a hundred takes longer than {p99:.3} s; the limit is {limit} s"),
    );
    let (rate, limit) = (100.0 * health.error_rate.unwrap_or_default(), limits.error_rate);
    let fails = health.error_rate_lower.is_some_and(|lower| lower > limit);
    let reason = format!("{rate:.2} % of the requests fail, certainly more than {:.2} %", 100.0 * limit);
    say("TaktErrorBudgetBurn", signal(fails), reason);
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

#[cfg(test)]
mod tests {
    use super::super::report::{HealthReport, ReferenceState};
    use super::*;

    fn told(health: HealthReport) -> Vec<(&'static str, Signal)> {
        let (model, digest) = ("surface".to_owned(), String::new());
        let version =
            VersionReport { model, version: 1, digest, reference: ReferenceState::Packaged, health, drift: None };
        let report = MonitorReport { versions: vec![version], ..MonitorReport::default() };
        said(&report).into_iter().map(|says| (says.alert, says.signal)).collect()
    }

    #[test]
    fn slowness_needs_a_hundred_requests_and_errors_more_than_chance() {
        let health = |answered, p99: f64, lower: f64| HealthReport {
            answered,
            p99_seconds: Some(p99),
            error_rate: Some(0.02),
            error_rate_lower: Some(lower),
            ..HealthReport::default()
        };
        let expected = |slow, fails| vec![("TaktLatencyHigh", slow), ("TaktErrorBudgetBurn", fails)];
        assert_eq!(told(health(100, 0.3, 0.015)), expected(Signal::For, Signal::For));
        assert_eq!(told(health(99, 0.3, 0.01)), expected(Signal::Open, Signal::Against));
        assert_eq!(told(health(100, 0.2, 0.01)), expected(Signal::Against, Signal::Against));
        assert_eq!(told(HealthReport::default()), expected(Signal::Against, Signal::Against), "nobody asks any more");
    }

    #[test]
    fn alerts_are_called_as_the_rules_for_prometheus() {
        let rules = include_str!("../../../k8s/deploy/prometheus/takt.rules.yml");
        for alert in [
            "TaktFeatureDrift",
            "TaktDistributionShift",
            "TaktThroughputSkew",
            "TaktLatencyHigh",
            "TaktErrorBudgetBurn",
            "TaktFalseRejects",
            "TaktFunnelChanged",
        ] {
            assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert}");
        }
    }
}
