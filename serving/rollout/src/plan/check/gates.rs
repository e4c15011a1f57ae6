//! The gates of a plan, read.

use takt_artifact::share::TrafficShare;

use super::super::raw::{
    RawDisagreement, RawDrift, RawErrors, RawGates, RawLabels, RawLatency, RawMetric, RawNumber, RawShare,
};
use super::super::{Disagreement, Drift, Errors, Gates, Labels, Latency, Metric, Mode, Slo};
use super::Reader;

impl Reader {
    pub(super) fn gates(&mut self, raw: RawGates) -> Gates {
        let errors = raw.errors.unwrap_or_default();
        let latency = raw.latency.unwrap_or_default();
        let disagreement = raw.disagreement.unwrap_or_default();
        let labels = raw.labels.unwrap_or_default();
        let drift = raw.drift.unwrap_or_default();
        let wanted = |enabled: Option<bool>| enabled != Some(false);
        Gates {
            errors: wanted(errors.enabled).then(|| self.errors(&errors)),
            latency: wanted(latency.enabled).then(|| self.latency(&latency)),
            disagreement: wanted(disagreement.enabled).then(|| self.disagreement(&disagreement)),
            labels: wanted(labels.enabled).then(|| self.labels(&labels)),
            drift: wanted(drift.enabled).then(|| self.drift(&drift)),
            metrics: self.metrics(raw.metrics),
        }
    }

    fn errors(&mut self, raw: &RawErrors) -> Errors {
        let default = Errors::default();
        let gate = Errors {
            mode: self.mode("gates.errors", raw.mode.as_deref(), raw.dry_run, default.mode),
            tolerated: self.ratio("gates.errors.tolerated", raw.tolerated.as_ref(), default.tolerated),
            margin: self.ratio("gates.errors.margin", raw.margin.as_ref(), default.margin),
            ceiling: self.optional_share("gates.errors.ceiling", raw.ceiling.as_ref(), default.ceiling),
            negligible: self.optional_share("gates.errors.negligible", raw.negligible.as_ref(), default.negligible),
        };
        self.order("gates.errors", gate.tolerated, gate.margin);
        gate
    }

    fn latency(&mut self, raw: &RawLatency) -> Latency {
        let default = Latency::default();
        let within = raw
            .slo
            .as_deref()
            .map(|slo| self.positive_time("gates.latency.slo", Some(slo), std::time::Duration::from_secs(1)));
        let late =
            self.share_in("gates.latency.late", raw.late.as_ref(), TrafficShare::of_millionths(10_000), 0.001, 50.0);
        if raw.late.is_some() && within.is_none() {
            self.fault("gates.latency.late", "a share", "none without slo", "add slo, such as \"200ms\"");
        }
        let gate = Latency {
            mode: self.mode("gates.latency", raw.mode.as_deref(), raw.dry_run, default.mode),
            tolerated: self.ratio("gates.latency.tolerated", raw.tolerated.as_ref(), default.tolerated),
            margin: self.ratio("gates.latency.margin", raw.margin.as_ref(), default.margin),
            slow: self.share_in("gates.latency.slow", raw.slow.as_ref(), default.slow, 0.1, 20.0),
            slack: self.share_in("gates.latency.slack", raw.slack.as_ref(), default.slack, 0.0, 100.0),
            least: self.time("gates.latency.least", raw.least.as_deref(), default.least),
            negligible: self.optional_share("gates.latency.negligible", raw.negligible.as_ref(), default.negligible),
            slo: within.map(|within| Slo { within, late }),
        };
        self.order("gates.latency", gate.tolerated, gate.margin);
        gate
    }

    fn disagreement(&mut self, raw: &RawDisagreement) -> Disagreement {
        let default = Disagreement::default();
        let gate = Disagreement {
            mode: self.mode("gates.disagreement", raw.mode.as_deref(), raw.dry_run, default.mode),
            escape: self.optional_share("gates.disagreement.escape", raw.escape.as_ref(), default.escape),
            overkill: self.optional_share("gates.disagreement.overkill", raw.overkill.as_ref(), default.overkill),
            class_swap: self.optional_share(
                "gates.disagreement.class_swap",
                raw.class_swap.as_ref(),
                default.class_swap,
            ),
        };
        if gate.escape.is_none() && gate.overkill.is_none() && gate.class_swap.is_none() {
            self.fault(
                "gates.disagreement",
                "no limit at all",
                "at least one of escape, overkill, class_swap",
                "set one, or enabled = false",
            );
        }
        gate
    }

    fn labels(&mut self, raw: &RawLabels) -> Labels {
        let default = Labels::default();
        Labels {
            mode: self.mode("gates.labels", raw.mode.as_deref(), raw.dry_run, default.mode),
            margin: self.share_in("gates.labels.margin", raw.margin.as_ref(), default.margin, 51.0, 95.0),
            inspected: self.share_in("gates.labels.inspected", raw.inspected.as_ref(), default.inspected, 0.1, 100.0),
        }
    }

    fn drift(&mut self, raw: &RawDrift) -> Drift {
        let default = Drift::default();
        let distance = self.number("gates.drift.distance", raw.distance.as_ref()).unwrap_or(default.distance);
        if !(0.01..1.0).contains(&distance) {
            self.fault(
                "gates.drift.distance",
                distance.to_string(),
                "a distance from 0.01 to 1",
                "write 0.2, or leave it out",
            );
        }
        Drift { mode: self.mode("gates.drift", raw.mode.as_deref(), raw.dry_run, default.mode), distance }
    }

    fn metrics(&mut self, raw: Vec<RawMetric>) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for (i, raw) in raw.into_iter().enumerate() {
            let path = format!("gates.metrics[{i}]");
            let name = raw.name.unwrap_or_default();
            if name.trim().is_empty() || metrics.iter().any(|metric| metric.name == name) {
                self.fault(
                    format!("{path}.name"),
                    format!("'{name}'"),
                    "a name of its own",
                    "name each query differently",
                );
            }
            let query = raw.query.unwrap_or_default();
            if query.trim().is_empty() {
                self.fault(
                    format!("{path}.query"),
                    "nothing",
                    "a Prometheus query",
                    "write the query whose value is to stay below the ceiling",
                );
            }
            if raw.ceiling.is_none() {
                self.fault(format!("{path}.ceiling"), "nothing", "a number", "write the largest good value");
            }
            let ceiling = self.number(&format!("{path}.ceiling"), raw.ceiling.as_ref()).unwrap_or_default();
            let mode = self.mode(&path, raw.mode.as_deref(), raw.dry_run, Mode::Mandatory);
            let failures = self.at_least_one(&format!("{path}.failures"), raw.failures, 3);
            let samples = self.at_least_one(&format!("{path}.samples"), raw.samples, 5);
            metrics.push(Metric { name, mode, query, ceiling, failures, samples });
        }
        metrics
    }

    fn mode(&mut self, path: &str, mode: Option<&str>, dry_run: Option<bool>, default: Mode) -> Mode {
        let mode = match mode {
            None => None,
            Some("mandatory") => Some(Mode::Mandatory),
            Some("guard") => Some(Mode::Guard),
            Some("dry_run" | "dryRun") => Some(Mode::DryRun),
            Some(other) => {
                self.fault(
                    format!("{path}.mode"),
                    format!("'{other}'"),
                    "'mandatory', 'guard' or 'dry_run'",
                    "choose one of them",
                );
                None
            }
        };
        match (mode, dry_run) {
            (Some(mode), Some(true)) if mode != Mode::DryRun => {
                self.fault(
                    format!("{path}.dry_run"),
                    "true beside another mode",
                    "one of the two",
                    "remove dry_run or mode",
                );
                mode
            }
            (_, Some(true)) => Mode::DryRun,
            (mode, _) => mode.unwrap_or(default),
        }
    }

    /// A share, or nothing where `none` was written.
    fn optional_share(
        &mut self,
        path: &str,
        raw: Option<&RawShare>,
        default: Option<TrafficShare>,
    ) -> Option<TrafficShare> {
        match raw {
            Some(RawNumber::Text(text)) if text == "none" => None,
            None => default,
            raw => Some(self.share_in(path, raw, default.unwrap_or_default(), 0.001, 90.0)),
        }
    }

    fn order(&mut self, path: &str, tolerated: f64, margin: f64) {
        if margin <= 1.0 || margin < tolerated {
            let found = format!("margin {margin}, tolerated {tolerated}");
            self.fault(path, found, "a margin above 1 and not below what is tolerated", "raise the margin, such as 2");
        }
    }
}
