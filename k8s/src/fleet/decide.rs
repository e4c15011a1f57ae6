//! The decision what is next for a fleet.

use takt_artifact::time::UnixMillis;

use super::device::Seen;
use super::evidence::Pooled;
use super::turn::Turn;
use super::{Fleet, Want};

/// What is next. What devices are told needs no record but the state *before*: whoever is told to begin was `Asked` there.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to remember.
    pub next: Fleet,
    /// What to tell devices, in this order. Each may be told twice.
    pub orders: Vec<Order>,
    /// Evidence of all devices together.
    pub pooled: Vec<Pooled>,
    /// Devices at work that have been silent for longer than the plan allows.
    pub stale: Vec<String>,
    /// Why, in one sentence.
    pub why: String,
}

/// Something to tell a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub device: String,
    /// What.
    pub what: Do,
}

/// What a device is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Begin.
    Start {
        /// Even if the candidate was taken back before.
        retry: bool,
    },
    /// Stay.
    Pause,
    /// Go on.
    Resume,
    /// Take the candidate back.
    Abort,
}

impl Do {
    /// Stable label for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }
}

/// What is next, given what was seen. Asking twice with the same gives the same.
#[must_use]
pub fn decide(want: &Want, fleet: &Fleet, seen: &[Seen], now: UnixMillis) -> Decision {
    Turn::new(want, fleet, now).take(seen)
}
