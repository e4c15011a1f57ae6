//! The machine's states.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a rollout stands. (Idle is no rollout at all.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way.
    Running(Stage),
    /// Waiting; not a failure.
    Held {
        /// For what.
        reason: HoldReason,
        /// Where it goes on.
        stage: Stage,
    },
    /// Going back to stable.
    Aborting,
    /// It should go back, and stable does not answer.
    Degraded,
    /// Stable alone.
    RolledBack,
    /// The candidate alone.
    Succeeded,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Are the files good, can the plan finish?
    Validating,
    /// Is there room?
    Placing,
    /// Loading, and running at every batch size.
    Warming,
    /// On copies.
    Shadowing,
    /// With a share of clients: the plan's step of this index.
    Stepping(usize),
    /// The model's name is given to the candidate.
    Promoting,
    /// It serves, stable keeps a holdback.
    Baking,
}

/// What a held rollout waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Nothing was seen, or a query gave nothing.
    NoData,
    /// A budget is spent, and the gates said neither yes nor no.
    Inconclusive,
    /// A person said so.
    Manual,
    /// What was seen is old.
    Stale,
    /// The candidate finds no room.
    NoCapacity,
}

impl Phase {
    /// Whether it has ended.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::RolledBack | Self::Succeeded)
    }

    /// The stage it is in, or was held in.
    #[must_use]
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::Running(stage) | Self::Held { stage, .. } => Some(*stage),
            _ => None,
        }
    }

    /// Stable label for metrics and keys.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Running(stage) => stage.label(),
            Self::Held { .. } => "held",
            Self::Aborting => "aborting",
            Self::Degraded => "degraded",
            Self::RolledBack => "rolled_back",
            Self::Succeeded => "succeeded",
        }
    }
}

impl Stage {
    /// Stable label for metrics and keys.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Placing => "placing",
            Self::Warming => "warming",
            Self::Shadowing => "shadowing",
            Self::Stepping(_) => "stepping",
            Self::Promoting => "promoting",
            Self::Baking => "baking",
        }
    }

    /// Whether the candidate is given work here.
    #[must_use]
    pub const fn works(&self) -> bool {
        matches!(self, Self::Shadowing | Self::Stepping(_) | Self::Promoting | Self::Baking)
    }
}

impl HoldReason {
    /// Stable label for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Inconclusive => "inconclusive",
            Self::Manual => "manual",
            Self::Stale => "stale",
            Self::NoCapacity => "no_capacity",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(stage) => stage.fmt(f),
            Self::Held { reason, stage } => write!(f, "Held({}) in {stage}", reason.label()),
            Self::Aborting => f.write_str("Aborting"),
            Self::Degraded => f.write_str("Degraded"),
            Self::RolledBack => f.write_str("RolledBack"),
            Self::Succeeded => f.write_str("Succeeded"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validating => f.write_str("Validating"),
            Self::Placing => f.write_str("Placing"),
            Self::Warming => f.write_str("Warming"),
            Self::Shadowing => f.write_str("Shadowing"),
            Self::Stepping(step) => write!(f, "Stepping({step})"),
            Self::Promoting => f.write_str("Promoting"),
            Self::Baking => f.write_str("Baking"),
        }
    }
}
