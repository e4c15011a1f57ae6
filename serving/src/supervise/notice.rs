//! What the supervisor has to say: one place for its log lines, and what an observer is told.

use std::time::Duration;

use crate::state::Death;

/// Something happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A worker was started.
    Started {
        /// Its process id.
        pid: i32,
    },
    /// It serves.
    Ready {
        /// Its process id.
        pid: i32,
        /// Since it was started.
        startup: Duration,
        /// Since the death of the one before, where it replaces one: how long the line was without answers.
        outage: Option<Duration>,
    },
    /// It died without having been told to.
    Died {
        /// Its process id.
        pid: i32,
        /// How.
        death: Death,
        /// How long it lived.
        lived: Duration,
        /// When the next one is started.
        restart_in: Duration,
    },
    /// It was told to drain and end.
    Draining {
        /// Its process id.
        pid: i32,
        /// How long it may take.
        limit: Duration,
    },
    /// It did not end in time and was killed.
    Killed {
        /// Its process id.
        pid: i32,
    },
    /// A replacement could not be started; it is tried again.
    NotStarted {
        /// Why.
        reason: String,
        /// When.
        retry_in: Duration,
    },
}

impl Notice {
    pub(super) fn log(&self) {
        match self {
            Self::Started { pid } => tracing::info!(pid, "worker started"),
            Self::Ready { pid, startup, outage } => tracing::info!(
                pid,
                startup_ms = startup.as_millis(),
                outage_ms = outage.map(|outage| outage.as_millis()),
                "worker is ready"
            ),
            Self::Died { pid, death, lived, restart_in } => tracing::error!(
                pid,
                lived_s = lived.as_secs_f64(),
                restart_in_ms = restart_in.as_millis(),
                "worker is dead: {death}"
            ),
            Self::Draining { pid, limit } => {
                tracing::info!(pid, limit_s = limit.as_secs_f64(), "worker is told to drain and end");
            }
            Self::Killed { pid } => {
                tracing::error!(pid, "worker did not end in time and is killed; its requests are lost");
            }
            Self::NotStarted { reason, retry_in } => {
                tracing::error!(reason, retry_in_ms = retry_in.as_millis(), "no worker can be started");
            }
        }
    }
}
