//! Metric families being put together for one scrape.

use prometheus::core::Metric as _;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Name and value of a label.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Families in the order in which they were declared.
#[derive(Default)]
pub(super) struct Families {
    families: Vec<MetricFamily>,
}

/// One family; every sample of it is added through this.
pub(super) struct Family<'a> {
    family: &'a mut MetricFamily,
}

impl Families {
    /// A family of counters.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.declare(name, help, MetricType::COUNTER)
    }

    /// A family of gauges.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.declare(name, help, MetricType::GAUGE)
    }

    /// A family of histograms.
    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.declare(name, help, MetricType::HISTOGRAM)
    }

    fn declare(&mut self, name: &str, help: &str, kind: MetricType) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.families.push(family);
        let last = self.families.len() - 1;
        Family { family: &mut self.families[last] }
    }

    /// Families that have samples; the others cannot be written.
    pub(super) fn finish(mut self) -> Vec<MetricFamily> {
        self.families.retain(|family| !family.get_metric().is_empty());
        self.families
    }
}

impl Family<'_> {
    /// Adds a sample. Counts above 2^53 lose their last digits, as every number of the format does.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        let mut metric = Metric::from_label(pairs(labels));
        if self.family.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
    }

    /// Adds a histogram as it stands.
    pub(super) fn buckets(&mut self, labels: &[Label<'_>], histogram: &prometheus::Histogram) {
        let mut metric = histogram.metric();
        metric.set_label(pairs(labels));
        self.family.mut_metric().push(metric);
    }

    /// Adds a histogram of whole numbers, each given with how often it was seen. The last edge is the largest number.
    pub(super) fn distribution(&mut self, labels: &[Label<'_>], edges: &[usize], seen: &[(usize, u64)]) {
        let buckets = edges.iter().map(|&edge| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(edge as f64);
            bucket.set_cumulative_count(seen.iter().filter(|(value, _)| *value <= edge).map(|(_, count)| count).sum());
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(seen.iter().map(|(_, count)| count).sum());
        histogram.set_sample_sum(seen.iter().map(|&(value, count)| value as f64 * count as f64).sum());
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.family.mut_metric().push(metric);
    }
}

fn pairs(labels: &[Label<'_>]) -> Vec<LabelPair> {
    let pair = |&(name, value): &Label<'_>| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}
