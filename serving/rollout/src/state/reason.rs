//! Why a candidate was taken back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::Intent;
use crate::evidence::GateReport;
use crate::observation::DeadMan;

/// Why a candidate was taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A gate rejected it.
    Gate(Box<GateReport>),
    /// The process found it out by itself.
    DeadMan(DeadMan),
    /// The process died while this was tried.
    Died(Intent),
    /// The process ended so often while it was tried.
    Restarts(u32),
    /// Its files are not good.
    Invalid(String),
    /// It did not load or warm up.
    NotReady(String),
    /// A budget was spent, and the plan says to go back then.
    Inconclusive(String),
    /// It was held longer than the plan allows.
    HeldTooLong,
    /// A person said so.
    Person,
}

impl Reason {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Gate(_) => "gate",
            Self::DeadMan(_) => "dead_man",
            Self::Died(_) => "died",
            Self::Restarts(_) => "restarts",
            Self::Invalid(_) => "invalid",
            Self::NotReady(_) => "not_ready",
            Self::Inconclusive(_) => "inconclusive",
            Self::HeldTooLong => "held_too_long",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate(report) => {
                let (canary, stable) = (report.seen.canary, report.seen.stable);
                write!(f, "{} rejected it: {} of {} units were bad", report.gate, canary.bad, canary.units)?;
                write!(f, ", {} of {} of stable's", stable.bad, stable.units)?;
                if let Some(against) = report.against {
                    write!(f, "; evidence {:.1}, {:.1} decides", against.e(), against.threshold())?;
                }
                report.note.iter().try_for_each(|note| write!(f, "; {note}"))
            }
            Self::DeadMan(dead_man) => dead_man.fmt(f),
            Self::Died(intent) => write!(f, "the process died while the candidate was {intent}"),
            Self::Restarts(times) => write!(f, "the process ended {times} times while the candidate was tried"),
            Self::Invalid(what) => write!(f, "its files are not good: {what}"),
            Self::NotReady(what) => write!(f, "it did not become ready: {what}"),
            Self::Inconclusive(what) => write!(f, "the time is up: {what}"),
            Self::HeldTooLong => f.write_str("it was held longer than the plan's hold_timeout"),
            Self::Person => f.write_str("a person aborted it"),
        }
    }
}
