//! What a grid knows of the KS distance.

use super::total;

/// Certified bounds of the KS distance between the samples that were counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsBounds {
    /// Reached at a slot edge.
    pub lo: f64,
    /// Not passed, however values lie inside their slots.
    pub hi: f64,
}

/// Bounds of `D = sup |F - G|` from counts or weights per slot. `is_atom` says which slots hold a single value.
///
/// With cumulative shares F and G at the slots' ends, `lo = max |F_j - G_j|`; inside a slot F and G climb from their
/// values at its start to those at its end, so D is at most `F_j - G_{j-1}` or `G_j - F_{j-1}` there. An atom has no
/// inside. Hence `lo <= D <= hi`, and `hi - lo` is at most the largest reference share of a slot that is no atom, as
/// `F_j - G_{j-1} = (F_j - F_{j-1}) + (F_{j-1} - G_{j-1})`, whatever the current data is.
///
/// `None` unless both sides have the same slots and something in them.
#[must_use]
pub fn ks_bounds(reference: &[f64], current: &[f64], is_atom: impl Fn(usize) -> bool) -> Option<KsBounds> {
    if reference.len() != current.len() {
        return None;
    }
    let (n, m) = (total(reference)?, total(current)?);
    let mut bounds = KsBounds { lo: 0.0, hi: 0.0 };
    let (mut sum_f, mut sum_g) = (0.0, 0.0);
    let (mut before_f, mut before_g) = (0.0_f64, 0.0_f64);
    for (slot, (r, c)) in reference.iter().zip(current).enumerate() {
        sum_f += r;
        sum_g += c;
        let (f, g) = (sum_f / n, sum_g / m);
        bounds.lo = bounds.lo.max((f - g).abs());
        if !is_atom(slot) {
            bounds.hi = bounds.hi.max(f - before_g).max(g - before_f);
        }
        (before_f, before_g) = (f, g);
    }
    bounds.hi = bounds.hi.max(bounds.lo);
    Some(bounds)
}
