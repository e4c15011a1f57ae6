//! What the caller saw since it last asked.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;

use crate::evidence::Event;
use crate::plan::Rates;

/// What was seen. Counts are of the time since the last observation; everything else is as it is now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// Whether stable answers.
    pub stable_ready: bool,
    /// How far the candidate is.
    pub candidate: Candidate,
    /// Whether digest and signature of the candidate are good; `None` while that is being found out, otherwise what is
    /// wrong with it.
    pub verified: Option<Result<(), String>>,
    /// Whether both find room; `None` while that is being found out.
    pub admission: Option<Admission>,
    /// The weight that routing has; `None` if not known.
    pub routed: Option<TrafficShare>,
    /// The share that the candidate really answered; `None` if not known.
    pub observed: Option<TrafficShare>,
    /// The share of units that are copied now; `None` if not known.
    pub shadowed: Option<TrafficShare>,
    /// Whether the model's name stands for the candidate; `None` if not known.
    pub promoted: Option<bool>,
    /// Copies.
    pub copies: Copies,
    /// Age of the newest data; `None` where data cannot be old, as counts of the own process.
    pub age: Option<Duration>,
    /// Queries that gave nothing.
    pub missing: Vec<String>,
    /// What was counted.
    pub events: Vec<Event>,
    /// What a person wants.
    pub command: Option<Command>,
    /// What the process itself found out about the candidate.
    pub dead_man: Option<DeadMan>,
    /// How much traffic there is, for saying how long things take.
    pub rates: Option<Rates>,
}

/// How far the candidate is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// Not in memory.
    #[default]
    Absent,
    /// Being loaded or warmed up.
    Coming,
    /// Loaded and cold.
    Loaded,
    /// Warm at every batch size.
    Ready,
    /// It will not come, for this reason.
    Failed(String),
}

/// Whether both versions find room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Beside each other, with the headroom left free.
    Beside,
    /// One at a time.
    Alone,
    /// The candidate does not fit at all; bytes.
    None {
        /// What it needs.
        needed: u64,
        /// What there is.
        budget: u64,
    },
}

/// Copies for the candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Chosen by hash.
    pub chosen: u64,
    /// Of these, dropped because there was no room or no time.
    pub dropped: u64,
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Promote on this person's word, without waiting for evidence.
    Promote,
    /// Take it back.
    Abort,
    /// Let the candidate of an ended rollout be tried again.
    Retry,
}

/// Why the candidate must go at once, without statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadMan {
    /// It took its process with it.
    Crashed,
    /// A run did not come back.
    Hung,
    /// An output was not finite or had the wrong shape.
    BadOutput,
    /// So many runs failed in a row that stable answered.
    FailedRuns(u32),
    /// Memory ran out.
    OutOfMemory,
}

impl fmt::Display for DeadMan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed => f.write_str("it took its process with it"),
            Self::Hung => f.write_str("a run of it did not come back"),
            Self::BadOutput => f.write_str("an output of it was not finite or had the wrong shape"),
            Self::FailedRuns(runs) => write!(f, "{runs} of its runs failed in a row that stable answered"),
            Self::OutOfMemory => f.write_str("memory ran out"),
        }
    }
}
