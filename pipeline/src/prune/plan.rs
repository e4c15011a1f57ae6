//! What is to be dropped.

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{self, Group, Groups, Role, Selection};

use super::budget::Budget;
use super::error::PruneStageError;
use super::importance::Importance;
use crate::lineage;

/// What becomes of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// A weight that the group runs through, as its name; with the axis where it begins several groups.
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
        let groups = groups.groups.iter().zip(names(groups));
        for (place, ((group, name), scores)) in groups.zip(&importance.0).enumerate() {
            let kept = kept.get(place).copied().unwrap_or(group.units.len());
            let mut dropped = order(scores);
            dropped.truncate(group.units.len().saturating_sub(kept));
            let lost: f64 = dropped.iter().filter_map(|&unit| scores.get(unit)).sum();
            let all: f64 = scores.iter().sum();
            plans.push(GroupPlan {
                name,
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

/// What tells a group from all others, and stays when it is pruned: every weight that it runs through, and on which axis. The
/// first weight alone does not, since it may begin two groups. Lists of indices are no weights: pruning adds some.
#[must_use]
pub fn identity(group: &Group) -> Vec<(String, usize)> {
    let weights = group.members.iter().filter(|member| member.role != Role::Other);
    weights.map(|member| (member.initializer.clone(), member.axis)).collect()
}

/// How groups are called: each by the first weight that it runs through, with the axis where others begin with it too.
fn names(groups: &Groups) -> Vec<String> {
    let first = |group: &Group| group.members.first().map(|member| (member.initializer.clone(), member.axis));
    let all: Vec<(String, usize)> = groups.groups.iter().map(|group| first(group).unwrap_or_default()).collect();
    let name = |(name, axis): &(String, usize)| match all.iter().filter(|(other, _)| other == name).count() {
        1 => name.clone(),
        _ => format!("{name}, axis {axis}"),
    };
    all.iter().map(name).collect()
}

/// Least important first; ties by place, so that the same model is pruned the same everywhere.
pub(super) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gated;

    #[test]
    fn groups_that_begin_with_one_weight_are_told_apart() {
        let groups = channels::groups(&gated()).unwrap();
        assert_eq!(names(&groups), ["squeeze, axis 0", "squeeze, axis 1"]);
        let identities = groups.groups.iter().map(identity).collect::<Vec<_>>();
        assert_ne!(identities[0], identities[1]);
        let groups = channels::groups(&crate::testing::network(1)).unwrap();
        assert!(names(&groups).iter().all(|name| !name.contains("axis")), "{:?}", names(&groups));
    }
}
