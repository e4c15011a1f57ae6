//! One feature of a window against its reference.

use takt_artifact::profile::{Bins, Feature, NullPanes, Pane as PaneLength};
use takt_stats::correlation::independent_share;
use takt_stats::grid::{self, KsBounds, bins, ks_bounds};
use takt_stats::null::p_value;
use takt_stats::psi::{self, ZeroRule};
use takt_stats::verdict::{self, ERROR, Judged, PsiEvidence, Reason, Verdict};

use super::config::Limits;
use super::mix::mixed;
use super::pane::{FeatureCounts, SegmentCounts};
use super::report::{FeatureReport, Judgement};

/// What stands in for the share of an empty bin, as its logarithm has to be taken.
const EMPTY: ZeroRule = ZeroRule::Constant(1e-4);

/// A window's counts of one feature, with what they were counted among.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The segment, for its mix of stations.
    pub segment: &'a SegmentCounts,
    /// The feature's counts.
    pub counts: &'a FeatureCounts,
    /// Its lag-1 autocorrelation.
    pub autocorrelation: f64,
}

/// KS distance of one pane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PaneKs {
    /// It is at least this.
    pub(super) lo: f64,
    /// Effective values of the reference.
    pub(super) n: f64,
    /// Independent values of the pane.
    pub(super) m: f64,
}

/// The distance of a pane's counts; `None` for classes, and where the reference or the pane has no values.
pub(super) fn pane_ks(feature: &Feature, evidence: Evidence<'_>) -> Option<PaneKs> {
    let Evidence { segment, counts, autocorrelation } = evidence;
    let Bins::Grid(grid) = &feature.bins else { return None };
    let reference = mixed(feature, segment)?;
    let current: Vec<f64> = counts.slots.iter().copied().map(f64::from).collect();
    let bounds = ks_bounds(&reference.shares, &current, |slot| grid.is_atom(slot))?;
    let m = current.iter().sum::<f64>() * independent_share(autocorrelation);
    Some(PaneKs { lo: bounds.lo, n: reference.effective_units, m })
}

/// Judges a feature; `None` where the reference or the window has no values.
#[must_use]
pub fn evaluate(name: &str, feature: &Feature, evidence: Evidence<'_>, limits: Limits) -> Option<FeatureReport> {
    let Evidence { segment, counts, autocorrelation } = evidence;
    let reference = mixed(feature, segment)?;
    let current: Vec<f64> = counts.slots.iter().copied().map(f64::from).collect();
    let m: u64 = counts.slots.iter().map(|&count| u64::from(count)).sum();
    let m_effective = m as f64 * independent_share(autocorrelation);
    let (reference_bins, current_bins) = match &feature.bins {
        Bins::Grid(grid) => (bins(&reference.shares, &grid.psi_edges), bins(&current, &grid.psi_edges)),
        Bins::Categories(_) => (reference.shares.clone(), current.clone()),
    };
    let psi = psi::of_bins(&reference_bins, &current_bins, EMPTY)?;
    let pearson = psi::pearson(&reference_bins, &current_bins, reference.effective_units, m_effective)?;
    let judged = verdict::psi(
        &PsiEvidence { psi, pearson, bins: reference_bins.len(), n: reference.effective_units, m: m_effective },
        limits.psi,
        ERROR,
    );
    let null = feature.null.as_ref().filter(|null| long_enough(null, m));
    let p = null.map(|null| p_value(&null.psi, single(psi)));
    let psi_verdict = judgement(with_reference(judged, psi, p, limits.psi), limits.psi, p);
    let bounds = match &feature.bins {
        Bins::Grid(grid) => ks_bounds(&reference.shares, &current, |slot| grid.is_atom(slot)),
        Bins::Categories(_) => None,
    };
    let ks_verdict = bounds.map(|bounds: KsBounds| {
        let judged = verdict::ks(bounds, reference.effective_units, m_effective, limits.ks, ERROR);
        let p = null.map(|null| p_value(&null.ks, single(bounds.lo)));
        judgement(with_reference(judged, bounds.lo, p, limits.ks), limits.ks, p)
    });
    let values = m + u64::from(counts.missing);
    Some(FeatureReport {
        feature: name.to_owned(),
        n: reference.effective_units,
        m,
        m_effective,
        autocorrelation,
        missing: f64::from(counts.missing) / values.max(1) as f64,
        psi,
        psi_debiased: psi::debiased(psi, reference_bins.len(), reference.effective_units, m_effective),
        psi_verdict,
        ks_lo: bounds.map(|bounds| bounds.lo),
        ks_hi: bounds.map(|bounds| bounds.hi),
        ks_verdict,
        evidence: None,
    })
}

/// PSI and lower KS bound of counts against shares of the same slots, as a null distribution holds them.
pub(super) fn distances(bins_of: &Bins, reference: &[f64], current: &[f64]) -> Option<(f64, f64)> {
    match bins_of {
        Bins::Grid(grid) => {
            let bounds = ks_bounds(reference, current, |slot| grid.is_atom(slot))?;
            Some((grid::psi(reference, current, &grid.psi_edges, EMPTY)?, bounds.lo))
        }
        // Classes have no order, so no KS; the null distribution has a place for it all the same.
        Bins::Categories(_) => Some((psi::of_bins(reference, current, EMPTY)?, 0.0)),
    }
}

/// Panes of the reference tell about windows of at least their length: a longer window strays less, not more.
fn long_enough(null: &NullPanes, m: u64) -> bool {
    match null.pane {
        PaneLength::Units(units) => m >= units.get(),
        PaneLength::Seconds(_) => m > 0,
    }
}

/// The formulas' verdict, tempered by what the reference's own panes do: an excess that they show too is none, and an
/// estimate within the limit is one, as PSI and KS err upwards.
fn with_reference(judged: Judged, estimate: f64, p: Option<f64>, limit: f64) -> Judged {
    let Some(p) = p else { return judged };
    let null = verdict::by_null_panes(estimate, p, limit, ERROR);
    match (judged.verdict, null.verdict) {
        (Verdict::Drift, Verdict::Drift) | (Verdict::Ok, _) => judged,
        (Verdict::Drift, _) => Judged { verdict: Verdict::Undetermined, reason: Reason::SeenInReference, ..judged },
        (Verdict::Undetermined, Verdict::Ok) => {
            Judged { verdict: Verdict::Ok, reason: Reason::BelowBound, ok_to: limit, ..judged }
        }
        (Verdict::Undetermined, _) => judged,
    }
}

fn judgement(judged: Judged, limit: f64, p_reference: Option<f64>) -> Judgement {
    let finite = |bound: f64| bound.is_finite().then_some(bound);
    Judgement {
        verdict: judged.verdict.as_str(),
        reason: judged.reason.as_str(),
        limit,
        ok_to: finite(judged.ok_to),
        drift_from: finite(judged.drift_from),
        p_reference,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "null distributions are kept in single precision")]
pub(super) fn single(value: f64) -> f32 {
    value as f32
}
