//! Where a reference puts its edges.

use crate::quantile::Position;

/// Edges of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Edges {
    /// Slot edges, finite and increasing; at least one.
    pub slots: Vec<f32>,
    /// Indices into `slots` of the edges that also bound PSI bins, increasing; at least one.
    pub psi: Vec<usize>,
}

/// A quantile that bounds a bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    pub(crate) at: f64,
    /// More than one quantile fell on this value: it gets a bin of its own.
    pub(crate) atom: bool,
}

/// The grid of a reference: about `slots` slots of equal share, and `bins` PSI bins of equal share whose edges are slot
/// edges too. Fewer than two of either count as two.
///
/// - A value with a share of at least `1 / slots` is an atom and gets a slot of its own, so every other slot holds less
///   than `2 / slots` of the reference, and a reference of at most `slots` values has nothing but atoms.
/// - PSI edges are quantiles by linear interpolation, rounded up to the next `f32`, which moves no `f32` value into
///   another bin. Where several quantiles fall on one value, that value gets a bin of its own: a feature that was
///   constant is seen to leave its value upwards as well as downwards.
/// - NaN and infinities are left out; `None` when nothing is left.
#[must_use]
pub fn edges(values: &[f32], slots: usize, bins: usize) -> Option<Edges> {
    // Adding zero turns -0 into +0, which is the same value and must be the same edge.
    let mut sorted: Vec<f32> = values.iter().filter(|value| value.is_finite()).map(|value| value + 0.0).collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by(f32::total_cmp);
    let psi_edges = psi_edges(&sorted, bins.max(2));
    let mut edges = slot_edges(&sorted, slots.max(2));
    edges.extend(&psi_edges);
    edges.retain(|edge| edge.is_finite());
    edges.sort_unstable_by(f32::total_cmp);
    edges.dedup();
    let psi = psi_edges.iter().filter_map(|edge| edges.binary_search_by(|e| e.total_cmp(edge)).ok()).collect();
    Some(Edges { slots: edges, psi })
}

/// The quantiles `1/bins, 2/bins, ...` of a sample of `n` > 0 values, by linear interpolation (Hyndman and Fan 1996,
/// type 7), each once. `at` gives the values at ascending ranks.
pub(crate) fn cuts(n: usize, bins: usize, at: impl FnOnce(&[usize]) -> Vec<f64>) -> Vec<Cut> {
    let positions: Vec<Position> = (1..bins).map(|k| Position::new(n, k as f64 / bins as f64)).collect();
    // Neighbouring quantiles of a small sample share ranks: in order, but not each once.
    let mut ranks: Vec<usize> = positions.iter().flat_map(|position| [position.below, position.above]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let values = at(&ranks);
    let value = |rank: usize| ranks.binary_search(&rank).ok().and_then(|i| values.get(i).copied()).unwrap_or(f64::NAN);
    let mut cuts: Vec<Cut> = Vec::with_capacity(bins);
    for position in positions {
        let at = position.between(value(position.below), value(position.above));
        match cuts.last_mut() {
            Some(last) if last.at == at => last.atom = true,
            _ => cuts.push(Cut { at, atom: false }),
        }
    }
    cuts
}

fn psi_edges(sorted: &[f32], bins: usize) -> Vec<f32> {
    let cuts = cuts(sorted.len(), bins, |ranks| {
        ranks.iter().map(|rank| sorted.get(*rank).copied().map_or(f64::NAN, f64::from)).collect()
    });
    let mut edges = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let edge = round_up(cut.at);
        edges.push(edge);
        if cut.atom && edge.next_up().is_finite() {
            edges.push(edge.next_up());
        }
    }
    edges.dedup();
    edges
}

/// For each run of equal values: both edges of an atom, the lower edge where a quantile falls into the run.
fn slot_edges(sorted: &[f32], slots: usize) -> Vec<f32> {
    let (n, slots) = (sorted.len() as u128, slots as u128);
    let mut edges = Vec::new();
    let mut start = 0;
    for run in sorted.chunk_by(|a, b| a == b) {
        let end = start + run.len() as u128;
        let Some(&value) = run.first() else { continue };
        if run.len() as u128 * slots >= n {
            edges.extend([value, value.next_up()]);
        } else {
            // The first quantile k/slots, k >= 1, at or after the start of the run.
            let k = (start * slots).div_ceil(n).max(1);
            if k * n < end * slots && k < slots {
                edges.push(value);
            }
        }
        start = end;
    }
    edges
}

/// The smallest `f32` that is not below `x`, so that an `f32` value is below the one exactly if it is below the other.
fn round_up(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) < x { nearest.next_up() } else { nearest + 0.0 }
}
