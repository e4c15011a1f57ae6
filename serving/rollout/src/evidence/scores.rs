//! Other scores than stable's on the same frames.

use serde::{Deserialize, Serialize};
use takt_stats::sequential::{Alpha, dkw};

use super::event::{PerArm, Tally};
use super::{GateReport, Verdict};
use crate::plan::{GateName, Mode};

/// More bins than this are no histogram of ours.
const MOST_BINS: usize = 1_024;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoreEvidence {
    stable: Vec<u64>,
    canary: Vec<u64>,
}

impl ScoreEvidence {
    pub(super) fn observe(&mut self, stable: &[u64], canary: &[u64]) {
        let fits =
            |bins: &[u64], counts: &[u64]| (bins.is_empty() || bins.len() == counts.len()) && counts.len() <= MOST_BINS;
        if stable.len() == canary.len() && fits(&self.stable, stable) {
            add(&mut self.stable, stable);
            add(&mut self.canary, canary);
        }
    }

    pub(super) fn report(&self, limit: f64, alpha: Alpha) -> GateReport {
        let band = dkw::band(&self.stable, &self.canary, alpha.get());
        let units = |bins: &[u64]| Tally { units: bins.iter().fold(0, |sum, n| sum.saturating_add(*n)), bad: 0 };
        let seen = PerArm { stable: units(&self.stable), canary: units(&self.canary) };
        let verdict = match band {
            Some(band) if band.lower > limit => Verdict::Reject,
            Some(band) if band.upper < limit => Verdict::Accept,
            _ => Verdict::Undecided,
        };
        let note = band.map_or("no scores yet".to_owned(), |band| {
            format!(
                "distance {:.3}, surely between {:.3} and {:.3}, limit {limit}",
                band.distance, band.lower, band.upper
            )
        });
        GateReport {
            gate: GateName::Drift,
            mode: Mode::DryRun,
            verdict,
            against: None,
            needed: Vec::new(),
            seen,
            in_step: seen.canary.units,
            note: Some(note),
        }
    }
}

fn add(bins: &mut Vec<u64>, counts: &[u64]) {
    bins.resize(counts.len(), 0);
    bins.iter_mut().zip(counts).for_each(|(bin, count)| *bin = bin.saturating_add(*count));
}
