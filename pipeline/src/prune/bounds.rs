//! How far a cut goes, and what it leaves at least.

use takt_graph::channels::{Group, Groups};

use super::budget::Budget;
use super::error::PruneStageError;
use super::settings::Settings;

/// Where a plan ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The measure is to be at most this.
    pub target: f64,
    /// Units that each group keeps at least.
    pub least: Vec<usize>,
    /// Units that each group had at first.
    pub had: Vec<usize>,
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
        let bounds = Self::new(whole * share, groups.groups.iter().map(|group| group.units.len()).collect(), settings);
        bounds.reachable(groups, budget, settings)?;
        Ok(bounds)
    }

    /// For groups that had so many units at first.
    pub(crate) fn new(target: f64, had: Vec<usize>, settings: &Settings) -> Self {
        Self { target, least: had.iter().map(|&had| settings.least(had)).collect(), had }
    }

    /// Holds the target against the least that groups and blocks allow.
    pub(super) fn reachable(
        &self,
        groups: &Groups,
        budget: &Budget,
        settings: &Settings,
    ) -> Result<(), PruneStageError> {
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
