//! A greedy knapsack over blocks of channels, recounted after each block, since what a channel saves depends on the layers at
//! both its ends.

use crate::prune::bounds::Bounds;
use crate::prune::budget::Budget;
use crate::prune::importance::Importance;
use crate::prune::plan::order;
use crate::prune::settings::Settings;

/// Units that each group keeps, of the `has` that it has now: blocks go where least is lost for what they save.
pub(super) fn kept(
    has: &[usize],
    importance: &Importance,
    budget: &Budget,
    bounds: &Bounds,
    settings: &Settings,
) -> Vec<usize> {
    let mut kept = has.to_vec();
    // Units of each group, least important first.
    let orders: Vec<Vec<usize>> = importance.0.iter().map(|scores| order(scores)).collect();
    let mut cost = budget.whole();
    while cost > bounds.target {
        let candidates = (0..kept.len()).filter_map(|group| {
            let least = bounds.least.get(group).copied().unwrap_or(1);
            let (fewer, saved) = next_saving(budget, &kept, group, least, settings.block)?;
            let gone = has[group] - kept[group];
            let lost: f64 = orders[group][gone..gone + fewer].iter().map(|&unit| importance.0[group][unit]).sum();
            Some((lost / saved.powf(settings.thrift), group, fewer, saved))
        });
        // The target is within reach, so this runs dry within rounding of it at worst.
        let Some((_, group, fewer, saved)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        kept[group] -= fewer;
        cost -= saved;
    }
    kept
}

/// How many units go next and what that saves: whole blocks, several where measured times fall by steps only. `None` where no
/// more may go.
fn next_saving(budget: &Budget, kept: &[usize], group: usize, least: usize, block: usize) -> Option<(usize, f64)> {
    let has = *kept.get(group)?;
    let mut fewer = 0;
    loop {
        fewer += next_block(has - fewer, least, block)?;
        let saved = budget.saved(kept, group, fewer);
        if saved > 0.0 {
            return Some((fewer, saved));
        }
    }
}

/// How many units it is down to the next multiple of the block.
fn next_block(kept: usize, least: usize, block: usize) -> Option<usize> {
    let ragged = kept % block;
    let fewer = if ragged == 0 { block } else { ragged };
    (kept > fewer && kept - fewer >= least).then_some(fewer)
}
