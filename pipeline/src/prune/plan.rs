//! What is to be dropped.

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{self, Group, Groups, Selection};

use super::budget::Budget;
use super::error::PruneStageError;
use super::importance::Importance;
use crate::lineage;

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

impl Plan {
    /// Each group keeps so many of its units, the most important ones.
    pub(super) fn new(groups: &Groups, importance: &Importance, budget: &Budget, kept: &[usize]) -> Self {
        let mut selection = Selection::new();
        let mut plans = Vec::new();
        for (place, (group, scores)) in groups.groups.iter().zip(&importance.0).enumerate() {
            let kept = kept.get(place).copied().unwrap_or(group.units.len());
            let mut dropped = order(scores);
            dropped.truncate(group.units.len().saturating_sub(kept));
            let lost: f64 = dropped.iter().filter_map(|&unit| scores.get(unit)).sum();
            let all: f64 = scores.iter().sum();
            plans.push(GroupPlan {
                name: name(group).to_owned(),
                channels: group.units.len(),
                kept,
                // A figure for people, and the same after a file.
                importance: if all > 0.0 { ((1.0 - lost / all) * 1e6).round() / 1e6 } else { 1.0 },
            });
            selection = selection.drop_units(place, dropped);
        }
        let (before, after) = (budget.whole().round() as u64, budget.cost(kept).round() as u64);
        Self { selection, groups: plans, before, after }
    }

    /// Carries it out; the model then says which of its channels are left.
    ///
    /// # Errors
    /// The graph refuses, with the model as it was.
    pub fn apply(&self, model: &mut Model, groups: &Groups) -> Result<(), PruneStageError> {
        let left = lineage::Lineage::after(model, &channels::kept(groups, &self.selection)?)?;
        channels::prune(model, groups, &self.selection)?;
        Ok(left.write(model)?)
    }
}

/// How a group is called: by the first weight that it runs through. It keeps its name when it is pruned.
#[must_use]
pub fn name(group: &Group) -> &str {
    group.members.first().map_or("", |member| &member.initializer)
}

/// Least important first; ties by place, so that the same model is pruned the same everywhere.
pub(super) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order
}
