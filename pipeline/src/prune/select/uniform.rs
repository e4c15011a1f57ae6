//! The same share of every group: what better choices are measured against.

use crate::prune::bounds::Bounds;
use crate::prune::budget::Budget;

/// Halvings of the interval in which the share lies; widths have some thousand channels at most.
const HALVINGS: u32 = 32;

/// Units that each group keeps, of the `has` that it has now: the largest share of what it had at first with which the target is
/// met.
pub(super) fn kept(has: &[usize], budget: &Budget, bounds: &Bounds, block: usize) -> Vec<usize> {
    let of = |share: f64| -> Vec<usize> {
        let groups = has.iter().zip(bounds.had.iter().zip(&bounds.least));
        groups.map(|(&has, (&had, &least))| width(share, had, least, block).min(has)).collect()
    };
    // The least is within reach, and nothing larger than what is kept in `small` is known to be.
    let (mut small, mut large) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let share = f64::midpoint(small, large);
        if budget.cost(&of(share)) <= bounds.target { small = share } else { large = share }
    }
    of(small)
}

/// A share of `had` units, to the nearest block.
fn width(share: f64, had: usize, least: usize, block: usize) -> usize {
    let blocks = (share * had as f64 / block as f64).round() as usize;
    (blocks * block).max(least.max(1).next_multiple_of(block))
}
