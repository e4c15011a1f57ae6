//! What a caller is to do. Everything here may be done twice: a decision that was persisted and perhaps carried out is simply
//! carried out again.

use std::fmt;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::share::TrafficShare;

use crate::route::Arm;

/// Something to do, with a key that is the same whenever the same thing is asked for again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Rollout, attempt, phase and what: `r1/0/stepping-1/set_weight`.
    pub key: String,
    /// What to do.
    #[serde(rename = "do")]
    pub what: Do,
}

/// What to do. In the order given: an intent is recorded before what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// Write down, with fsync and in place of any other, what is about to be tried. If the process dies before it is cleared, the candidate did it.
    RecordIntent(Intent),
    /// It went well.
    ClearIntent,
    /// Load the candidate beside whatever is loaded.
    LoadCandidate,
    /// Run it at every batch size it will see.
    WarmCandidate,
    /// Drain and free it.
    UnloadCandidate,
    /// Bring the version in service back.
    LoadStable,
    /// Drain and free it; it stays on disk, verified.
    UnloadStable,
    /// The candidate's share of clients.
    SetWeight(TrafficShare),
    /// The share of units of which a copy goes to the candidate.
    SetShadow(TrafficShare),
    /// Which version the model's name stands for.
    PointAlias(Arm),
    /// Serve this version never again, until somebody asks for it.
    Quarantine(VersionDigest),
}

/// What is about to be tried with a version that may kill the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// To load it.
    Load,
    /// To warm it up.
    Warm,
    /// To give it copies.
    Shadow,
    /// To give it this share of clients.
    Weight(TrafficShare),
}

impl Do {
    /// Stable label for keys and metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::RecordIntent(Intent::Load) => "intend_load",
            Self::RecordIntent(Intent::Warm) => "intend_warm",
            Self::RecordIntent(Intent::Shadow) => "intend_shadow",
            Self::RecordIntent(Intent::Weight(_)) => "intend_weight",
            Self::ClearIntent => "clear_intent",
            Self::LoadCandidate => "load_candidate",
            Self::WarmCandidate => "warm_candidate",
            Self::UnloadCandidate => "unload_candidate",
            Self::LoadStable => "load_stable",
            Self::UnloadStable => "unload_stable",
            Self::SetWeight(_) => "set_weight",
            Self::SetShadow(_) => "set_shadow",
            Self::PointAlias(_) => "point_alias",
            Self::Quarantine(_) => "quarantine",
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => f.write_str("loading"),
            Self::Warm => f.write_str("warming up"),
            Self::Shadow => f.write_str("taking copies"),
            Self::Weight(share) => write!(f, "taking {share} of the traffic"),
        }
    }
}
