//! Which channels go: blocks of the least important ones, cheapest loss for what they save first.

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{self, Group, Groups, Selection};

use super::budget::{Budget, Measure};
use super::error::PruneStageError;
use super::importance::Importance;
use super::keep::Keep;

/// How channels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is to shrink.
    pub measure: Measure,
    /// How much of it may stay.
    pub keep: Keep,
    /// Least share of its channels that each group keeps.
    pub keep_at_least: f64,
    /// Channels kept are a multiple of this: ragged widths are no faster.
    pub block: usize,
    /// 0 ranks by importance alone; 1 by importance for what is saved.
    pub thrift: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { measure: Measure::Macs, keep: Keep::Share(0.5), keep_at_least: 0.1, block: 8, thrift: 1.0 }
    }
}

/// What becomes of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// A weight that the group runs through, as its name.
    pub name: String,
    /// Channels it has.
    pub channels: usize,
    /// Channels it keeps.
    pub kept: usize,
    /// Share of the group's importance that is kept.
    pub importance: f64,
}

/// What is to be dropped, and what that gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For `takt_graph::channels::prune`.
    pub selection: Selection,
    /// Every group.
    pub groups: Vec<GroupPlan>,
    /// The measure before.
    pub before: u64,
    /// The measure after.
    pub after: u64,
}

/// Where a plan ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The measure is to be at most this.
    pub target: f64,
    /// Units that each group keeps at least.
    pub least: Vec<usize>,
}

impl Bounds {
    /// From settings, for a model that has not been pruned before. They are checked.
    ///
    /// # Errors
    /// Every setting out of range, or a target that the model is below or that is out of reach.
    pub fn of(groups: &Groups, budget: &Budget, settings: &Settings) -> Result<Self, PruneStageError> {
        settings.check()?;
        let whole = budget.whole();
        let share = settings.keep.share(settings.measure, whole).map_err(PruneStageError::Settings)?;
        let least = groups.groups.iter().map(|group| settings.least(group.units.len())).collect();
        let bounds = Self { target: whole * share, least };
        bounds.reachable(groups, budget, settings)?;
        Ok(bounds)
    }

    /// Holds the target against the least that groups and blocks allow.
    fn reachable(&self, groups: &Groups, budget: &Budget, settings: &Settings) -> Result<(), PruneStageError> {
        if groups.groups.is_empty() {
            let reason = groups.locked.first().map_or_else(
                || "it has no convolution".to_owned(),
                |locked| format!("'{}' is locked ({})", locked.initializer, locked.reason),
            );
            return Err(PruneStageError::Locked(reason));
        }
        let fewest = |(place, group): (usize, &Group)| {
            let least = self.least.get(place).copied().unwrap_or(1).max(1);
            least.next_multiple_of(settings.block).min(group.units.len())
        };
        let fewest: Vec<usize> = groups.groups.iter().enumerate().map(fewest).collect();
        let least = budget.cost(&fewest);
        if least <= self.target {
            return Ok(());
        }
        Err(PruneStageError::OutOfReach {
            measure: settings.measure.label(),
            from: budget.whole().round() as u64,
            least: least.round() as u64,
            target: self.target.round() as u64,
        })
    }
}

impl Settings {
    /// Units that a group of so many keeps at least.
    #[must_use]
    pub fn least(&self, units: usize) -> usize {
        ((units as f64 * self.keep_at_least).ceil() as usize).max(1)
    }

    fn check(&self) -> Result<(), PruneStageError> {
        let mut faults = Vec::new();
        if let Err(fault) = self.keep.of(self.measure) {
            faults.push(format!("keep: {fault}"));
        }
        if !(0.0..=1.0).contains(&self.keep_at_least) {
            faults.push(format!("keep_at_least is {}, expected 0 to 1", self.keep_at_least));
        }
        if self.block == 0 {
            faults.push("block is 0, expected at least 1".to_owned());
        }
        if !(0.0..=4.0).contains(&self.thrift) {
            faults.push(format!("thrift is {}, expected 0 to 4", self.thrift));
        }
        if faults.is_empty() { Ok(()) } else { Err(PruneStageError::Settings(faults.join("; "))) }
    }
}

/// Chooses what to drop until the measure is at most the target: a greedy knapsack over blocks of channels, recounted after
/// each block, since what a channel saves depends on the layers at both its ends.
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
    let mut kept: Vec<usize> = groups.groups.iter().map(|group| group.units.len()).collect();
    // Units of each group, least important first.
    let orders: Vec<Vec<usize>> = importance.0.iter().map(|scores| order(scores)).collect();
    let before = budget.whole();
    let mut cost = before;
    while cost > bounds.target {
        let candidates = (0..kept.len()).filter_map(|group| {
            let least = bounds.least.get(group).copied().unwrap_or(1);
            let (fewer, saved) = next_saving(budget, &kept, group, least, settings.block)?;
            let gone = groups.groups[group].units.len() - kept[group];
            let lost: f64 = orders[group][gone..gone + fewer].iter().map(|&unit| importance.0[group][unit]).sum();
            Some((lost / saved.powf(settings.thrift), group, fewer, saved))
        });
        // The target is within reach, so this runs dry within rounding of it at worst.
        let Some((_, group, fewer, saved)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        kept[group] -= fewer;
        cost -= saved;
    }
    let mut selection = Selection::new();
    let mut plans = Vec::new();
    for (place, group) in groups.groups.iter().enumerate() {
        let gone = group.units.len() - kept[place];
        let dropped = &orders[place][..gone];
        let lost: f64 = dropped.iter().map(|&unit| importance.0[place][unit]).sum();
        let all: f64 = importance.0[place].iter().sum();
        plans.push(GroupPlan {
            name: name(group).to_owned(),
            channels: group.units.len(),
            kept: kept[place],
            // A figure for people, and the same after a file.
            importance: if all > 0.0 { ((1.0 - lost / all) * 1e6).round() / 1e6 } else { 1.0 },
        });
        selection = selection.drop_units(place, dropped.iter().copied());
    }
    Ok(Plan { selection, groups: plans, before: before.round() as u64, after: budget.cost(&kept).round() as u64 })
}

impl Plan {
    /// Carries it out.
    ///
    /// # Errors
    /// The graph refuses, with the model as it was.
    pub fn apply(&self, model: &mut Model, groups: &Groups) -> Result<(), PruneStageError> {
        Ok(channels::prune(model, groups, &self.selection)?)
    }
}

/// How a group is called: by the first weight that it runs through. It keeps its name when it is pruned.
#[must_use]
pub fn name(group: &Group) -> &str {
    group.members.first().map_or("", |member| &member.initializer)
}

/// Least important first; ties by place, so that the same model is pruned the same everywhere.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order
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
