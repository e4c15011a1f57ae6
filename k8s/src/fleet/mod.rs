//! Many devices, one rollout. Each device runs its own rollout and takes the candidate back by itself; this decides which begin,
//! and when all must go back. Pure: no clock, no network.
//!
//! Devices see different parts, so their evidence is independent, and e-values of independent evidence may be multiplied. What
//! ten devices half suspect is then certain, and what one of a hundred believes by chance is not: at alpha = 0.05, stopping
//! at the first device that rejects would stop nine good waves of a hundred devices in ten.

mod cause;
mod decide;
mod device;
mod evidence;
mod limits;
#[cfg(test)]
mod tests;
mod turn;

pub use cause::{Cause, CauseKind, Course, Hold};
pub use decide::{Decision, Do, Order, decide};
pub use device::{Device, Heard, Report, Seen, Standing};
pub use evidence::{LnE, Pooled, pool};
pub use limits::{Amount, Waves};

use std::collections::BTreeMap;
use std::time::Duration;

use takt_artifact::time::UnixMillis;
use takt_rollout::Plan;

use crate::crd::ModelRollout;

/// What is asked of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Says whether what is tried is the same: of model, version, plan and attempt.
    pub goal: String,
    /// Distinguishes this rollout's choice of first devices from others'.
    pub seed: u64,
    /// What each device follows.
    pub plan: Plan,
    /// Which devices begin when.
    pub waves: Waves,
    /// So many silent devices at most, for another to begin.
    pub max_unavailable: Amount,
    /// So many devices at most may take the candidate back.
    pub max_failed: Amount,
    /// How long a wave that is through is watched.
    pub soak: Duration,
    /// The attempt: above 0, what was taken back is tried again.
    pub attempt: u32,
    /// What people want now.
    pub wish: Wish,
}

/// What people want now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Go,
    /// Stay.
    Pause,
    /// Take it back.
    Abort,
    /// Take it back, and be forgotten.
    Leave,
}

impl Wish {
    /// As a resource says it.
    #[must_use]
    pub fn of(object: &ModelRollout) -> Self {
        match (object.metadata.deletion_timestamp.is_some(), object.spec.abort, object.spec.paused) {
            (true, ..) => Self::Leave,
            (false, true, _) => Self::Abort,
            (false, false, true) => Self::Pause,
            (false, false, false) => Self::Go,
        }
    }
}

/// What is remembered of a fleet. Everything else is seen again.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// How the whole stands.
    pub course: Course,
    /// The wave under way.
    pub wave: usize,
    /// Since when it is through.
    pub through: Option<UnixMillis>,
    /// What is tried.
    pub goal: String,
    /// How often that changed under way.
    pub restarts: u32,
    /// The attempt that was begun.
    pub attempt: u32,
    /// Whether devices were paused because people wanted it.
    pub paused: bool,
    /// By name.
    pub devices: BTreeMap<String, Device>,
}

impl Fleet {
    /// Nothing has begun.
    #[must_use]
    pub fn new(want: &Want) -> Self {
        Self {
            course: Course::Rolling,
            wave: 0,
            through: None,
            goal: want.goal.clone(),
            restarts: 0,
            attempt: want.attempt,
            paused: false,
            devices: BTreeMap::new(),
        }
    }

    /// Devices that stand so.
    pub fn standing(&self, standing: Standing) -> impl Iterator<Item = (&String, &Device)> {
        self.devices.iter().filter(move |(_, device)| device.standing == standing)
    }

    /// Devices that give the candidate work now, as far as is known.
    pub fn at_work(&self) -> impl Iterator<Item = (&String, &Device)> {
        self.devices.iter().filter(|(_, device)| device.at_work())
    }

    /// Whether nothing happens any more until what is wanted changes.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.course, Course::RolledBack(_) | Course::Degraded(_) | Course::Succeeded)
    }
}
