//! Which channels go: blocks of the least important ones, cheapest loss for what they save first.

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{self, Groups, Selection};

use super::budget::{Budget, Measure};
use super::error::PruneStageError;
use super::importance::Importance;

/// How channels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is to shrink.
    pub measure: Measure,
    /// Share of it that may stay.
    pub keep: f64,
    /// Least share of its channels that each group keeps.
    pub keep_at_least: f64,
    /// Channels kept are a multiple of this: ragged widths are no faster.
    pub block: usize,
    /// 0 ranks by importance alone; 1 by importance for what is saved.
    pub thrift: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { measure: Measure::Macs, keep: 0.5, keep_at_least: 0.1, block: 8, thrift: 1.0 }
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

/// Chooses what to drop until the measure is at most [`Settings::keep`] of what it is: a greedy knapsack over blocks of
/// channels, recounted after each block, since what a channel saves depends on the layers at both its ends.
///
/// # Errors
/// The target is out of reach, or there is nothing to drop.
pub fn select(
    model: &Model,
    groups: &Groups,
    importance: &Importance,
    settings: &Settings,
) -> Result<Plan, PruneStageError> {
    check(settings)?;
    if groups.groups.is_empty() {
        let reason = groups.locked.first().map_or_else(
            || "it has no convolution".to_owned(),
            |locked| format!("'{}' is locked ({})", locked.initializer, locked.reason),
        );
        return Err(PruneStageError::Locked(reason));
    }
    let budget = Budget::new(model, groups, settings.measure)?;
    let mut kept: Vec<usize> = groups.groups.iter().map(|group| group.units.len()).collect();
    // Units of each group, least important first.
    let orders: Vec<Vec<usize>> = importance.0.iter().map(|scores| order(scores)).collect();
    let before = budget.cost(&kept);
    let target = before * settings.keep;
    let mut cost = before;
    while cost > target {
        let candidates = (0..kept.len()).filter_map(|group| {
            let fewer = next_block(groups.groups[group].units.len(), kept[group], settings)?;
            let gone = groups.groups[group].units.len() - kept[group];
            let lost: f64 = orders[group][gone..gone + fewer].iter().map(|&unit| importance.0[group][unit]).sum();
            let saved = budget.saved(&kept, group, fewer);
            (saved > 0.0).then(|| (lost / saved.powf(settings.thrift), group, fewer, saved))
        });
        let Some((_, group, fewer, saved)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else {
            return Err(PruneStageError::OutOfReach {
                measure: settings.measure.label(),
                from: before.round() as u64,
                least: cost.round() as u64,
                target: target.round() as u64,
            });
        };
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
            name: group.members.first().map(|member| member.initializer.clone()).unwrap_or_default(),
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

fn check(settings: &Settings) -> Result<(), PruneStageError> {
    let mut faults = Vec::new();
    if !(settings.keep > 0.0 && settings.keep <= 1.0) {
        faults.push(format!("keep is {}, expected above 0 and at most 1", settings.keep));
    }
    if !(0.0..=1.0).contains(&settings.keep_at_least) {
        faults.push(format!("keep_at_least is {}, expected 0 to 1", settings.keep_at_least));
    }
    if settings.block == 0 {
        faults.push("block is 0, expected at least 1".to_owned());
    }
    if !(0.0..=4.0).contains(&settings.thrift) {
        faults.push(format!("thrift is {}, expected 0 to 4", settings.thrift));
    }
    if faults.is_empty() { Ok(()) } else { Err(PruneStageError::Settings(faults.join("; "))) }
}

/// Least important first; ties by place, so that the same model is pruned the same everywhere.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order
}

/// How many units go next: down to the next multiple of the block. `None` where no more may go.
fn next_block(units: usize, kept: usize, settings: &Settings) -> Option<usize> {
    let least = ((units as f64 * settings.keep_at_least).ceil() as usize).max(1);
    let ragged = kept % settings.block;
    let fewer = if ragged == 0 { settings.block } else { ragged };
    (kept > fewer && kept - fewer >= least).then_some(fewer)
}
