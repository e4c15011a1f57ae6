//! Which channels go: the least important ones of each group, and from which groups as [`Select`] says.

mod greedy;
mod uniform;

use takt_graph::channels::Groups;

use super::bounds::Bounds;
use super::budget::Budget;
use super::error::PruneStageError;
use super::importance::Importance;
use super::plan::Plan;
use super::settings::{Select, Settings};

/// Chooses what to drop until the measure is at most the target.
///
/// # Errors
/// The target is out of reach, or there is nothing to drop.
pub fn select(
    groups: &Groups,
    importance: &Importance,
    budget: &Budget,
    bounds: &Bounds,
    settings: &Settings,
) -> Result<Plan, PruneStageError> {
    settings.check()?;
    bounds.reachable(groups, budget, settings)?;
    let has: Vec<usize> = groups.groups.iter().map(|group| group.units.len()).collect();
    let kept = match settings.select {
        Select::Greedy => greedy::kept(&has, importance, budget, bounds, settings),
        Select::Uniform => uniform::kept(&has, budget, bounds, settings.block),
    };
    Ok(Plan::new(groups, importance, budget, &kept))
}
