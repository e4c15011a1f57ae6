//! How channels are chosen.

use serde::{Deserialize, Serialize};

use super::budget::Measure;
use super::error::PruneStageError;
use super::keep::Keep;

/// How channels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is to shrink.
    pub measure: Measure,
    /// How much of it may stay.
    pub keep: Keep,
    /// How the groups share the loss.
    #[serde(skip_serializing_if = "Select::is_default")]
    pub select: Select,
    /// Least share of its channels that each group keeps.
    pub keep_at_least: f64,
    /// Channels kept are a multiple of this: ragged widths are no faster.
    pub block: usize,
    /// 0 ranks by importance alone; 1 by importance for what is saved. Of [`Select::Greedy`].
    pub thrift: f64,
}

/// From which groups channels go. Which ones of a group: the least important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Where they are missed least for what they save.
    #[default]
    Greedy,
    /// From all alike: every group keeps the same share of its channels, rounded to blocks. What better choices are measured
    /// against.
    Uniform,
}

impl Select {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            measure: Measure::Macs,
            keep: Keep::Share(0.5),
            select: Select::default(),
            keep_at_least: 0.1,
            block: 8,
            thrift: 1.0,
        }
    }
}

impl Settings {
    /// Units that a group of so many keeps at least.
    #[must_use]
    pub fn least(&self, units: usize) -> usize {
        ((units as f64 * self.keep_at_least).ceil() as usize).max(1)
    }

    /// Names every setting that is out of range.
    pub(crate) fn check(&self) -> Result<(), PruneStageError> {
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
