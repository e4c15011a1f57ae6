//! A monitored feature as the monitor would hold it: a grid, reference counts, figures of a pane.

use takt_stats::grid::{self, Edges, KsBounds};
use takt_stats::psi::{self, ZeroRule};
use takt_stats::verdict::{self, ERROR, Judged, PsiEvidence};

/// Limits of the mission.
pub const PSI_LIMIT: f64 = 0.15;
pub const KS_LIMIT: f64 = 0.22;

const SLOTS: usize = 1_000;
const BINS: usize = 10;

pub struct Reference {
    pub edges: Edges,
    /// Counts or shares per slot.
    pub counts: Vec<f64>,
    /// Independent units.
    pub units: f64,
}

/// What a pane comes to.
pub struct Figures {
    pub psi: f64,
    pub pearson: f64,
    pub ks: KsBounds,
    /// Units of the pane.
    pub units: f64,
}

impl Reference {
    pub fn of(values: &[f32]) -> Self {
        let edges = grid::edges(values, SLOTS, BINS).unwrap();
        let counts = count(&edges, values);
        Self { edges, counts, units: values.len() as f64 }
    }

    pub fn figures(&self, pane: &[f32]) -> Figures {
        let current = count(&self.edges, pane);
        let (slots, n, m) = (&self.edges.slots, self.units, pane.len() as f64);
        let is_atom = |slot: usize| slot > 0 && slot < slots.len() && slots[slot - 1].next_up() == slots[slot];
        let bins = |counts: &[f64]| grid::bins(counts, &self.edges.psi);
        let (r, c) = (bins(&self.counts), bins(&current));
        Figures {
            psi: psi::of_bins(&r, &c, ZeroRule::default()).unwrap(),
            pearson: psi::pearson(&r, &c, n, m).unwrap(),
            ks: grid::ks_bounds(&self.counts, &current, is_atom).unwrap(),
            units: m,
        }
    }

    /// PSI judged as of independent units.
    pub fn judge_psi(&self, figures: &Figures) -> Judged {
        let Figures { psi, pearson, units, .. } = *figures;
        let evidence = PsiEvidence { psi, pearson, bins: self.edges.psi.len() + 1, n: self.units, m: units };
        verdict::psi(&evidence, PSI_LIMIT, ERROR)
    }

    /// KS judged as of independent units.
    pub fn judge_ks(&self, figures: &Figures) -> Judged {
        verdict::ks(figures.ks, self.units, figures.units, KS_LIMIT, ERROR)
    }
}

pub fn count(edges: &Edges, values: &[f32]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.slots.len() + 1];
    for value in values {
        counts[edges.slots.partition_point(|edge| edge <= value)] += 1.0;
    }
    counts
}
