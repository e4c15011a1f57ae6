//! What can be counted. Both versions come in one event wherever they are compared, because the order of what happened
//! between two readings of a counter is not known, and must not be made up.

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;

/// So many units, of which so many were bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All.
    pub units: u64,
    /// Of these, bad.
    pub bad: u64,
}

/// The same by version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerArm {
    /// Of the version in service.
    pub stable: Tally,
    /// Of the candidate.
    pub canary: Tally,
}

/// Something that was counted since the last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Units that clients asked for, and failures among them.
    Served(Exposure),
    /// An epoch in which whole stations were given to versions, sealed. Its units are in `Served` events as well.
    Stations(StationEpoch),
    /// Session runs and slow ones, at one batch size.
    Runs(Runs),
    /// Answers of the candidate to clients, and late ones.
    Answered(Tally),
    /// Runs of the candidate on copies, and those that failed though stable's did not.
    ShadowRuns(Tally),
    /// A part that both versions judged.
    Shadow(ShadowUnit),
    /// A disagreement that an inspector settled.
    Labelled(LabelPair),
    /// Parts that an audit chose at random, whatever the versions said of them.
    Audited(Audit),
    /// Calibrated scores of the same frames, as counts per bin; both with the same bins always.
    Scores {
        /// Of the version in service.
        stable: Vec<u64>,
        /// Of the candidate.
        canary: Vec<u64>,
    },
    /// A value of a query.
    Sample {
        /// The gate's name.
        metric: String,
        /// What it gave.
        value: f64,
    },
}

/// Units routed while one share was in force. A failure is one independent event: a failed run, or a request with all its
/// retries; where the canary failed and stable then answered. Where stable failed too it was the input's fault: not bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The canary's share when they were routed.
    pub rho: TrafficShare,
    /// Served by the version in service.
    pub stable: Tally,
    /// Served by the candidate.
    pub canary: Tally,
}

/// Session runs at one batch size: only equal batches compare. Slow is what took longer than the limit that was frozen for it
/// before the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// Rows per run.
    pub batch: u32,
    /// Of the version in service.
    pub stable: Tally,
    /// Of the candidate.
    pub canary: Tally,
}

/// What stable made of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// Good.
    Good,
    /// Defective.
    Defect,
}

/// A part that both versions judged, or a lot where parts of a lot resemble each other. Shares are means over its frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShadowUnit {
    /// By stable: the denominator.
    pub stable: Called,
    /// Share of frames on which the candidate says the opposite, from 0 to 1.
    pub opposite: f64,
    /// Share of frames on which both say defect, of different classes.
    pub other_class: f64,
}

/// A disagreement of which exactly one version was right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelPair {
    /// Whether the candidate was the wrong one.
    pub candidate_wrong: bool,
    /// The probability with which it was chosen for inspection.
    pub inspected: TrafficShare,
}

/// Parts of a random audit, by who answered them; bad are those that were let through although they were defective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The canary's share when they were routed.
    pub rho: TrafficShare,
    /// Served by the version in service.
    pub stable: Tally,
    /// Served by the candidate.
    pub canary: Tally,
}

/// How stations were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawn {
    /// Exactly as many as there are, every choice equally likely.
    ByRank,
    /// Each by itself with this probability.
    Each(TrafficShare),
}

/// What took part in one draw. Stations that had the canary already when a share rose took no part in that one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StationEpoch {
    /// How stations were chosen.
    pub drawn: Drawn,
    /// Given to the candidate.
    pub canary: Vec<StationBlock>,
    /// Left with the version in service.
    pub stable: Vec<StationBlock>,
}

/// A station over the time that one draw held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationBlock {
    /// Which.
    pub station: String,
    /// What it counted.
    pub tally: Tally,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { units: self.units.saturating_add(other.units), bad: self.bad.saturating_add(other.bad) }
    }
}

impl PerArm {
    /// Both together.
    #[must_use]
    pub fn plus(self, stable: Tally, canary: Tally) -> Self {
        Self { stable: self.stable.plus(stable), canary: self.canary.plus(canary) }
    }
}
