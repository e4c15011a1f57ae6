//! A fixed reference grid: edges `e_0 < e_1 < ...` make one slot more than there are edges, below `e_0`,
//! `[e_i, e_{i+1})`, and from the last edge up. An atom, a single value v with a share of its own, has the slot
//! `[v, next_up(v))`, inside which nothing can hide.
//!
//! A monitor keeps one counter per slot, so merging is adding. What a sketch would estimate is known here: PSI exactly, as
//! its bins are runs of whole slots, and the KS distance between bounds that hold whatever the current data is.

mod bounds;
mod edges;
#[cfg(test)]
mod tests;

pub use bounds::{KsBounds, ks_bounds};
pub(crate) use edges::cuts;
pub use edges::{Edges, edges};

use crate::psi::{self, ZeroRule};

/// PSI from counts or weights per slot. `psi_edges` are the indices of those edges that also bound PSI bins, increasing.
/// `None` unless both sides have the same slots and something in them.
#[must_use]
pub fn psi(reference: &[f64], current: &[f64], psi_edges: &[usize], zero: ZeroRule) -> Option<f64> {
    if reference.len() != current.len() {
        return None;
    }
    psi::of_bins(&bins(reference, psi_edges), &bins(current, psi_edges), zero)
}

/// Sums slots into PSI bins, one more than there are `psi_edges`. Edge `i` lies between the slots `i` and `i + 1`.
#[must_use]
pub fn bins(slots: &[f64], psi_edges: &[usize]) -> Vec<f64> {
    let ends = psi_edges.iter().map(|&edge| edge + 1).chain([slots.len()]);
    let mut from = 0;
    ends.map(|to| {
        let bin = slots.get(from..to).unwrap_or_default();
        from = to;
        bin.iter().sum()
    })
    .collect()
}

/// Sum of counts or weights, where it is one to divide by.
pub(crate) fn total(counts: &[f64]) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    (total > 0.0 && total.is_finite()).then_some(total)
}
