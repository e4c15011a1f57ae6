//! The steps of a look at an object, in order. Each takes what the one before gave, so that none can be left out: a status
//! is made of what was applied, and what is applied was decided under a term.

mod backoff;
mod rollout;
mod route;
mod server;

pub use backoff::Backoff;
pub use rollout::reconcile as reconcile_rollout;
pub use server::reconcile as reconcile_server;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use takt_artifact::time::UnixMillis;
use takt_prometheus::Prometheus;

use crate::build::{Children, Kept};
use crate::crd::{ModelRollout, ModelRolloutStatus};
use crate::hands::events::Teller;
use crate::hands::{Cluster, ClusterError, Devices};
use crate::lead::Leadership;
use crate::run::metrics::Metrics;

/// A rollout that has nothing to do is looked at up to so many times more rarely than one that has just begun to wait. A thousand of
/// them ask the API server for their pods.
const QUIET: u32 = 12;

/// How often things are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// While devices are at work.
    pub at_work: Duration,
    /// While something is waited for, at first; longer where it does not come.
    pub waiting: Duration,
    /// How often figures are written where nothing else changes.
    pub figures: Duration,
    /// How often a Prometheus is asked about a rollout between two Services.
    pub queries: Duration,
}

/// What a look has at hand.
pub struct Context {
    /// The API server.
    pub cluster: Cluster,
    /// The devices.
    pub devices: Devices,
    /// What counts requests behind routes, where there is one.
    pub prometheus: Option<Prometheus>,
    /// Who tells people.
    pub teller: Teller,
    /// Whether we may act.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Metrics,
    /// How often things are looked at.
    pub pace: Pace,
    /// How long failures wait.
    pub backoff: Backoff,
    /// How long rollouts wait that have nothing to do.
    pub quiet: Backoff,
    remembered: Mutex<HashMap<String, Remembered>>,
    left: Mutex<HashMap<String, Left>>,
    asked: Mutex<HashMap<String, Instant>>,
}

/// The children of a server as we left them.
#[derive(Debug)]
struct Left {
    wanted: Children,
    generation: Option<i64>,
    /// Services count no generations.
    service: Option<String>,
}

/// What was last written of an object. The watch may be behind it.
#[derive(Debug, Clone)]
struct Remembered {
    read: Option<String>,
    written: Option<String>,
    status: ModelRolloutStatus,
    at: Instant,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// We do not lead, or may not be sure.
    #[error("another operator leads")]
    NotLeading,
    /// Another operator has written under a later term.
    #[error("the status was written under term {theirs}, ours is {ours}; another operator took over")]
    Fenced {
        /// The later term.
        theirs: i64,
        /// Our own.
        ours: i64,
    },
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl ReconcileError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotLeading => "not_leading",
            Self::Fenced { .. } => "fenced",
            Self::Cluster(error) => error.kind(),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            at_work: Duration::from_secs(1),
            waiting: Duration::from_secs(5),
            figures: Duration::from_secs(15),
            queries: Duration::from_secs(15),
        }
    }
}

impl Context {
    /// With nothing remembered.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        devices: Devices,
        teller: Teller,
        leadership: Leadership,
        metrics: Metrics,
        pace: Pace,
    ) -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let quiet = Backoff::new(pace.waiting, pace.waiting * QUIET);
        let (remembered, left, asked) = (Mutex::default(), Mutex::default(), Mutex::default());
        let prometheus = None;
        Self {
            cluster,
            devices,
            prometheus,
            teller,
            leadership,
            metrics,
            pace,
            backoff,
            quiet,
            remembered,
            left,
            asked,
        }
    }

    /// The same with a Prometheus.
    #[must_use]
    pub fn with_prometheus(self, prometheus: Option<Prometheus>) -> Self {
        Self { prometheus, ..self }
    }

    /// Whether a rollout may ask its Prometheus now; if so, it counts as done.
    fn may_ask(&self, object: &ModelRollout) -> bool {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = asked.get(&uid).is_none_or(|last| last.elapsed() >= self.pace.queries);
        if due {
            asked.insert(uid, Instant::now());
        }
        due
    }

    /// The term under which we may act now on something that was written under another.
    fn term(&self, written: Option<i64>) -> Result<i64, ReconcileError> {
        let ours = self.leadership.term().ok_or(ReconcileError::NotLeading)?;
        match written {
            Some(theirs) if theirs > ours => Err(ReconcileError::Fenced { theirs, ours }),
            _ => Ok(ours),
        }
    }

    /// The newest status that is known of an object, its version, and how old our last writing is.
    fn newest(&self, object: &ModelRollout) -> (Option<String>, ModelRolloutStatus, Duration) {
        let seen = object.metadata.resource_version.clone();
        let status = object.status.clone().unwrap_or_default();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        match remembered.get_mut(uid) {
            Some(last) if last.read == seen => (last.written.clone(), last.status.clone(), last.at.elapsed()),
            Some(last) => (seen, status, last.at.elapsed()),
            None => (seen, status, Duration::MAX),
        }
    }

    fn remember(&self, object: &ModelRollout, written: &ModelRollout, status: ModelRolloutStatus) {
        let last = Remembered {
            read: object.metadata.resource_version.clone(),
            written: written.metadata.resource_version.clone(),
            status,
            at: Instant::now(),
        };
        let uid = object.metadata.uid.clone().unwrap_or_default();
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, last);
    }

    /// Whether the children of a server were left as they are wanted and nobody has changed them since.
    fn is_as_left(&self, uid: &str, wanted: &Children, kept: &Kept, service: &Service) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(uid).is_some_and(|left| {
            left.wanted == *wanted
                && left.generation == kept.generation()
                && left.service == service.metadata.resource_version
        })
    }

    fn leave(&self, uid: &str, wanted: Children, kept: &Kept, service: &Service) {
        let left = Left { wanted, generation: kept.generation(), service: service.metadata.resource_version.clone() };
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), left);
    }

    fn forget(&self, object: &ModelRollout) {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.backoff.forget(uid);
        self.quiet.forget(uid);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

fn clock() -> (UnixMillis, Timestamp) {
    (UnixMillis::from(std::time::SystemTime::now()), Timestamp::now())
}
