//! Where a model's rollout stands, as it is stored: written with fsync and rename before anything is done about it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::fault::{self, Document, DocumentError, Fault};
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use crate::action::Intent;
use crate::evidence::Evidence;
use crate::observation::Copies;
use crate::plan::PlanDigest;
use crate::route::Salt;

mod phase;
mod reason;

pub use phase::{HoldReason, Phase, Stage};
pub use reason::Reason;

/// The newest schema this code reads.
pub const SCHEMA: u32 = 1;

/// Everything that is remembered about rollouts of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Counts changes; a decision applies to the revision it was made for and to no other.
    pub revision: u64,
    /// Versions that were taken back. None is tried again until somebody asks.
    pub failed: BTreeMap<VersionDigest, Failed>,
    /// The rollout that runs, or the last one.
    pub rollout: Option<Rollout>,
}

/// A version that was taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub reason: Reason,
}

/// Names a rollout for ever. Chosen by the caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub String);

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its name.
    pub id: RolloutId,
    /// The plan it follows.
    pub plan: PlanDigest,
    /// The version in service.
    pub stable: VersionDigest,
    /// The version that is tried.
    pub candidate: VersionDigest,
    /// Where it stands.
    pub phase: Phase,
    /// How both are in memory.
    pub placed: Placed,
    /// The candidate's share that was last asked for.
    pub desired: TrafficShare,
    /// The share that was last seen in routing.
    pub routed: Option<TrafficShare>,
    /// The share that it was last seen to answer.
    pub observed: Option<TrafficShare>,
    /// Key of the routing hash.
    pub salt: Salt,
    /// How often it began anew.
    pub attempt: u64,
    /// Limits above which a run is slow, in microseconds by batch size; frozen before the rollout.
    pub slow_micros: BTreeMap<u32, u64>,
    /// What was counted.
    pub evidence: Evidence,
    /// What is being tried and not yet known to go well.
    pub intent: Option<Intent>,
    /// Clocks.
    pub times: Times,
    /// Copies since the shadow stage began.
    pub copies: Copies,
    /// Clients' units that the candidate answered.
    pub exposed: u64,
    /// The step whose pause a person has ended.
    pub released: Option<usize>,
    /// How often the process ended under it.
    pub restarts: u32,
    /// How it is being, or was, taken back.
    pub rollback: Option<Rollback>,
    /// Why it stands where it stands, in one sentence.
    pub why: String,
}

/// Clocks of a rollout. They add up what passed between two decisions, so that a clock that is set, and hours in which
/// nobody asked, count little.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// When it began.
    pub started: UnixMillis,
    /// When the phase began.
    pub since: UnixMillis,
    /// When somebody last asked.
    pub asked: Option<UnixMillis>,
    /// Time in this stage, with its weight in force.
    pub dwell: Duration,
    /// Time on the way to promotion, without being held.
    pub working: Duration,
    /// Time in Held.
    pub held: Duration,
}

/// How both versions are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placed {
    /// Not yet known.
    Nowhere,
    /// Both.
    Beside,
    /// The candidate in stable's place.
    Swapped,
}

/// The two figures of a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why.
    pub reason: Reason,
    /// When it was decided.
    pub decided: UnixMillis,
    /// When routing was seen to give the candidate nothing.
    pub zero: Option<UnixMillis>,
    /// Clients' units that the candidate had answered by the decision.
    pub exposed: u64,
}

impl State {
    /// Of a model without any rollout.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: SCHEMA, revision: 0, failed: BTreeMap::new(), rollout: None }
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// A newer schema, a fault of form with its path, or all faults of meaning together.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        fault::read(bytes)
    }

    /// As JSON on one line.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn write(&self) -> Result<Vec<u8>, DocumentError> {
        fault::write_line(self)
    }

    /// Whether a rollout is under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| !rollout.phase.is_terminal())
    }

    /// Whether a version was taken back and may not be tried.
    #[must_use]
    pub fn refuses(&self, digest: &VersionDigest) -> Option<&Failed> {
        self.failed.get(digest)
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl Rollback {
    /// From the decision to weight 0; `None` until that was seen.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.zero.map(|zero| zero.since(self.decided))
    }
}

impl Document for State {
    const NAME: &'static str = "rollout state";
    const SCHEMA: u32 = SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        let Some(rollout) = &self.rollout else { return Vec::new() };
        let mut faults = Vec::new();
        if rollout.stable == rollout.candidate {
            faults.push(Fault::new(
                "rollout.candidate",
                "the digest of stable",
                "another version",
                "remove the state file: the rollout begins anew",
            ));
        }
        if rollout.phase == Phase::RolledBack && rollout.desired != TrafficShare::NONE {
            faults.push(Fault::new(
                "rollout.desired",
                rollout.desired.to_string(),
                "0 % after a rollback",
                "remove the state file: stable serves alone",
            ));
        }
        faults
    }
}
