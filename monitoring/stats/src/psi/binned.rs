//! Binning of raw samples, by the variants in use.

use std::collections::BTreeMap;

use super::{ZeroRule, count, count_sorted, of_bins};
use crate::grid::cuts;
use crate::order::{ascending, at_ranks};

/// With at most this many distinct reference values Evidently takes each value for a bin.
const EVIDENTLY_DISTINCT: usize = 20;

/// How numbers are binned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binning {
    /// At this many bins, quantiles of the reference, as on a grid (see [`crate::grid::edges`]): `[a, b)`, end bins open.
    /// An outlier in the current sample moves no edge.
    ReferenceQuantile(usize),
    /// As in Evidently: bins of equal width over both samples together, as many as Sturges' rule says
    /// (`ceil(log2(n + m) + 1)`), the last one closed; or one bin per value where the reference has at most 20 distinct
    /// ones. One outlier can empty all bins but two. Infinities count as missing.
    SturgesUnion,
}

/// What a bin is.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// Intervals, one more than these ascending edges: edge `i` lies between the bins `i` and `i + 1`.
    Intervals(Vec<f64>),
    /// One of these values, ascending.
    Values(Vec<f64>),
}

/// Two samples, binned.
#[derive(Debug, Clone, PartialEq)]
pub struct Binned {
    /// The bins.
    pub bins: Bins,
    /// Counts of the reference per bin.
    pub reference: Vec<f64>,
    /// Counts of the current sample per bin.
    pub current: Vec<f64>,
    /// Values left out, of the reference and of the current sample.
    pub missing: [usize; 2],
}

impl Binned {
    /// PSI of the bins; `None` where a side has no values.
    #[must_use]
    pub fn psi(&self, zero: ZeroRule) -> Option<f64> {
        of_bins(&self.reference, &self.current, zero)
    }
}

/// Bins two samples. `None` where the reference has no finite value, or together they have none that is not missing.
#[must_use]
pub fn binned(reference: &[f64], current: &[f64], binning: Binning) -> Option<Binned> {
    match binning {
        Binning::ReferenceQuantile(bins) => reference_quantile(reference, current, bins.max(2)),
        Binning::SturgesUnion => sturges_union(reference, current),
    }
}

/// Counts of two samples of categories, the reference first, in the order of the union's categories.
pub fn categories<K: Ord>(
    reference: impl IntoIterator<Item = K>,
    current: impl IntoIterator<Item = K>,
) -> BTreeMap<K, [f64; 2]> {
    let mut counts: BTreeMap<K, [f64; 2]> = BTreeMap::new();
    for category in reference {
        counts.entry(category).or_default()[0] += 1.0;
    }
    for category in current {
        counts.entry(category).or_default()[1] += 1.0;
    }
    counts
}

fn reference_quantile(reference: &[f64], current: &[f64], bins: usize) -> Option<Binned> {
    let edges = quantile_edges(reference, bins)?;
    let missing = [reference, current].map(|side| side.iter().filter(|x| x.is_nan()).count());
    let [reference, current] = [reference, current].map(|side| count(side, &edges));
    Some(Binned { bins: Bins::Intervals(edges), reference, current, missing })
}

/// Deciles and the like of the finite values.
fn quantile_edges(reference: &[f64], bins: usize) -> Option<Vec<f64>> {
    let (mut finite, mut below) = (0, 0);
    for value in reference {
        finite += usize::from(value.is_finite());
        below += usize::from(*value == f64::NEG_INFINITY);
    }
    if finite == 0 {
        return None;
    }
    let at = |ranks: &[usize]| at_ranks(reference, &ranks.iter().map(|rank| rank + below).collect::<Vec<_>>());
    let mut edges = Vec::with_capacity(bins);
    for cut in cuts(finite, bins, at) {
        edges.push(cut.at);
        if cut.atom && cut.at.next_up().is_finite() {
            edges.push(cut.at.next_up());
        }
    }
    edges.dedup();
    Some(edges)
}

/// Of an ascending sample what is finite; `None` where nothing is.
fn finite_part(sorted: &[f64]) -> Option<&[f64]> {
    let from = sorted.partition_point(|x| *x == f64::NEG_INFINITY);
    let to = sorted.partition_point(|x| *x < f64::INFINITY);
    sorted.get(from..to).filter(|finite| !finite.is_empty())
}

fn sturges_union(reference: &[f64], current: &[f64]) -> Option<Binned> {
    let (r, c) = (ascending(reference), ascending(current));
    let (r, c) = (finite_part(&r)?, finite_part(&c).unwrap_or_default());
    let missing = [reference.len() - r.len(), current.len() - c.len()];
    let distinct = r.chunk_by(|a, b| a == b).count();
    if distinct <= EVIDENTLY_DISTINCT {
        let ordered = |side: &[f64]| side.iter().map(|x| Total(*x)).collect::<Vec<_>>();
        let counts = categories(ordered(r), ordered(c));
        let values = counts.keys().map(|value| value.0).collect();
        let (reference, current) = counts.into_values().map(|[r, c]| (r, c)).unzip();
        return Some(Binned { bins: Bins::Values(values), reference, current, missing });
    }
    let edges = equal_width_edges(r, c);
    let [reference, current] = [r, c].map(|side| count_sorted(side, &edges));
    Some(Binned { bins: Bins::Intervals(edges), reference, current, missing })
}

/// The inner edges; with open ends the first and the last bin hold the minimum and the maximum.
fn equal_width_edges(reference: &[f64], current: &[f64]) -> Vec<f64> {
    let both = || reference.iter().chain(current).copied();
    let (low, high) = both().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let n = (reference.len() + current.len()) as f64;
    let bins = (n.log2() + 1.0).ceil();
    let step = (high - low) / bins;
    (1..bins as usize).map(|i| low + i as f64 * step).collect()
}

/// Numbers in their total order, as keys.
#[derive(Clone, Copy)]
struct Total(f64);

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
