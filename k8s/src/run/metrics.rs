//! What the operator counts of itself. Labels come from enums, never from names of objects: a fleet would drown them.

use std::collections::BTreeSet;

use prometheus::core::Collector;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::fleet::Do;
use crate::reconcile::ReconcileError;

/// Counters and gauges.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    looks: IntCounterVec,
    errors: IntCounterVec,
    orders: IntCounterVec,
    statuses: IntCounter,
    leads: IntGauge,
    seconds: Histogram,
}

/// Which kind of object was looked at.
#[derive(Debug, Clone, Copy)]
pub enum Looked {
    /// A ModelRollout.
    Rollout,
    /// A ModelServer.
    Server,
}

impl Looked {
    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rollout => "model_rollout",
            Self::Server => "model_server",
        }
    }
}

impl Metrics {
    /// All at 0.
    ///
    /// # Errors
    /// Two of them have one name: a fault of this program.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let looks = counters("takt_operator_reconciles_total", "Looks at objects.", &["kind"])?;
        let errors =
            counters("takt_operator_reconcile_errors_total", "Looks that came to nothing.", &["kind", "error"])?;
        let orders = counters("takt_operator_orders_total", "What devices were told.", &["order", "outcome"])?;
        let statuses = IntCounter::new("takt_operator_status_writes_total", "Statuses written to the API server.")?;
        registry.register(Box::new(statuses.clone()))?;
        let leads = IntGauge::new("takt_operator_leader", "Whether this process leads.")?;
        registry.register(Box::new(leads.clone()))?;
        let buckets = vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
        let options = HistogramOpts::new("takt_operator_reconcile_seconds", "How long looks take.").buckets(buckets);
        let seconds = Histogram::with_opts(options)?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { registry, looks, errors, orders, statuses, leads, seconds })
    }

    /// A device was told something.
    pub fn order(&self, what: Do, obeyed: bool) {
        self.orders.with_label_values(&[what.label(), if obeyed { "obeyed" } else { "refused" }]).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.statuses.inc();
    }

    /// An object was looked at for so long.
    pub fn looked(&self, at: Looked, took: std::time::Duration, error: Option<&ReconcileError>) {
        self.looks.with_label_values(&[at.label()]).inc();
        self.seconds.observe(took.as_secs_f64());
        if let Some(error) = error {
            self.errors.with_label_values(&[at.label(), error.kind()]).inc();
        }
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// Names of all metrics, also of those that have no value yet.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let vectors = [&self.looks, &self.errors, &self.orders].into_iter().flat_map(Collector::desc);
        let single = self.statuses.desc().into_iter().chain(self.leads.desc()).chain(self.seconds.desc());
        vectors.chain(single).map(|desc| desc.fq_name.clone()).collect()
    }

    /// In the text format of Prometheus.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind() {
        let metrics = Metrics::new().unwrap();
        metrics.looked(Looked::Rollout, std::time::Duration::from_millis(3), Some(&ReconcileError::NotLeading));
        metrics.order(Do::Abort, false);
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"takt_operator_reconcile_errors_total{error="not_leading",kind="model_rollout"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"takt_operator_orders_total{order="abort",outcome="refused"} 1"#), "{text}");
    }
}
