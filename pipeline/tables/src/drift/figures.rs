//! Figures that exact and counted columns share, and what they mean.

use takt_stats::grid::KsBounds;
use takt_stats::psi::{ZeroRule, debiased, of_bins, pearson};
use takt_stats::verdict::{self, Judged, PsiEvidence, Verdict};

use super::report::{ColumnReport, Comparison, Judgement, Ks, Psi, worst};
use super::settings::Limits;

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) limits: Limits,
    pub(super) error: f64,
    pub(super) zero: ZeroRule,
}

impl Judgement {
    pub(super) fn of(judged: Judged, limit: f64) -> Self {
        let finite = |bound: f64| bound.is_finite().then_some(bound);
        Self {
            verdict: judged.verdict.as_str(),
            reason: judged.reason.as_str(),
            limit,
            ok_to: finite(judged.ok_to),
            drift_from: finite(judged.drift_from),
        }
    }
}

/// PSI of bins; nothing where a side has no value.
pub(super) fn psi(reference: &[f64], current: &[f64], held: Held) -> Option<Psi> {
    let (n, m): (f64, f64) = (reference.iter().sum(), current.iter().sum());
    let psi = of_bins(reference, current, held.zero)?;
    let bins = reference.len();
    let evidence = PsiEvidence { psi, pearson: pearson(reference, current, n, m)?, bins, n, m };
    let judged = verdict::psi(&evidence, held.limits.psi, held.error);
    let verdict = Judgement::of(judged, held.limits.psi);
    Some(Psi { psi, debiased: debiased(psi, bins, n, m), bins, verdict })
}

/// KS between bounds, of so many values on either side.
pub(super) fn ks(bounds: KsBounds, p: f64, [n, m]: [u64; 2], held: Held) -> Ks {
    let judged = verdict::ks(bounds, n as f64, m as f64, held.limits.ks, held.error);
    Ks { lo: bounds.lo, hi: bounds.hi, p, verdict: Judgement::of(judged, held.limits.ks) }
}

/// A column's report from its figures.
pub(super) fn column(
    name: &str,
    rows: [u64; 2],
    values: [u64; 2],
    limits: Limits,
    comparison: Comparison,
) -> ColumnReport {
    let share = |side: usize| match rows[side] {
        0 => 0.0,
        rows => (rows - values[side]) as f64 / rows as f64,
    };
    let missing = [share(0), share(1)];
    let more = missing[1] - missing[0] > limits.missing;
    let (verdict, reason) = if more { (Verdict::Drift, "above_limit") } else { (Verdict::Ok, "within_limit") };
    let bound = Some(missing[0] + limits.missing);
    let missing_verdict =
        Judgement { verdict: verdict.as_str(), reason, limit: limits.missing, ok_to: bound, drift_from: bound };
    let of_figures: Vec<&'static str> = match &comparison {
        Comparison::Numbers(numbers) => {
            let psi = numbers.psi.map(|psi| psi.verdict.verdict);
            psi.into_iter().chain(numbers.ks.map(|ks| ks.verdict.verdict)).collect()
        }
        Comparison::Categories(classes) => classes.psi.iter().map(|psi| psi.verdict.verdict).collect(),
        Comparison::Skipped { .. } => Vec::new(),
    };
    // Where one side has values and the other none, nothing is known; missing values alone may still be too many.
    let unknown = (of_figures.is_empty() && values != [0, 0]).then_some(Verdict::Undetermined.as_str());
    let verdict = worst(of_figures.into_iter().chain(unknown).chain([verdict.as_str()]));
    let missing_verdict = Some(missing_verdict);
    ColumnReport { column: name.to_owned(), verdict, values, missing, missing_verdict, comparison }
}
