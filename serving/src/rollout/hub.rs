//! The handle to the thread that owns every rollout, what it works with, and what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;
use takt_monitoring::events::Label;
use takt_monitoring::feedback::Audited;
use takt_rollout::observation::{Command, Copies};
use takt_rollout::plan::{Feasibility, Rates, feasibility};
use takt_rollout::{Plan, Progress};
use tokio::sync::oneshot;
use tracing::error;

use super::owner::Owner;
use super::settings::RolloutSettings;
use super::store::{Found, RolloutStore, Stored};
use crate::error::{ErrorKind, InferError};
use crate::monitor::MonitorHub;
use crate::registry::desired::Rolling;
use crate::registry::handle::Registry;
use crate::route::{Wake, Waker};
use crate::state::{Journal, UnixMillis};

/// Messages that may wait.
const WAITING: usize = 1024;

/// What the hub works with.
pub struct Hands {
    /// What is loaded.
    pub registry: Arc<Registry>,
    /// What is refused, and what was being tried.
    pub journal: Journal,
    /// Who knows the stations.
    pub monitor: Arc<MonitorHub>,
    /// Where models are.
    pub repository: PathBuf,
    /// What holds for all rollouts.
    pub settings: RolloutSettings,
    /// Where rollouts are written down.
    pub store: RolloutStore,
    /// Wakes the hub.
    pub(super) waker: Waker,
}

/// What is to be rolled out.
#[derive(Debug, Clone)]
pub struct StartOrder {
    /// Name of the model.
    pub model: String,
    /// Number of the version.
    pub candidate: u64,
    /// What to follow; the model's own plan where there is none.
    pub plan: Option<Plan>,
    /// Try again what was taken back.
    pub retry: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who or what asked.
    pub asked: String,
}

/// How a model's rollout stands, or how its last one ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutReport {
    /// Name of the model.
    pub model: String,
    /// Number of the version to go back to.
    pub stable: u64,
    /// Number of the version that is tried.
    pub candidate: u64,
    /// Expected hours by step and gate; none where too little traffic was seen.
    pub expected: Option<Feasibility>,
    /// When the candidate last answered a client, ms since 1970; none for never.
    pub last_candidate_answer: Option<u64>,
    /// Time until the next maintenance window; none while one is open, or where there are none.
    pub waits_for_window: Option<Duration>,
    /// What became of copies.
    pub copies: Copies,
    /// Everything else.
    pub progress: Progress,
}

pub(super) type Done<T> = oneshot::Sender<Result<T, InferError>>;

/// What the hub is told.
pub(super) enum Message {
    Start(Box<StartOrder>, Done<RolloutReport>),
    Control { model: String, command: Command, reason: String, done: Done<RolloutReport> },
    Label { label: Box<Label>, audited: Vec<Audited> },
    Wake(Wake),
    Stop,
}

/// Handle to the hub; dropping the last one ends its thread.
pub struct RolloutHub {
    messages: SyncSender<Message>,
    reports: Arc<ArcSwap<Vec<RolloutReport>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Found {
    /// What the registry is to keep loaded from its start: stable alone. The candidate comes when the hub says so.
    #[must_use]
    pub fn rolling(&self) -> BTreeMap<String, Rolling> {
        let active = self.0.iter().filter(|(_, stored)| stored.state.is_active());
        let alone = |stored: &Stored| Rolling { stable: stored.stable, keeps_stable: true, candidate: None };
        active.map(|(model, stored)| (model.clone(), alone(stored))).collect()
    }
}

impl RolloutHub {
    /// Starts the thread and takes up the rollouts that were found.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        registry: Arc<Registry>,
        journal: Journal,
        monitor: Arc<MonitorHub>,
        repository: PathBuf,
        settings: RolloutSettings,
        store: RolloutStore,
        found: Found,
    ) -> std::io::Result<Self> {
        let (messages, inbox) = sync_channel(WAITING);
        let reports = Arc::new(ArcSwap::default());
        let to_self = messages.clone();
        // Where the inbox is full the hub is awake.
        let waker = Waker::new(move |why| {
            let _ = to_self.try_send(Message::Wake(why));
        });
        let hands = Hands { registry, journal, monitor, repository, settings, store, waker };
        let owner = Owner::new(hands, Arc::clone(&reports));
        let thread = std::thread::Builder::new().name("takt-rollout".into()).spawn(move || owner.run(&inbox, found))?;
        Ok(Self { messages, reports, thread: Mutex::new(Some(thread)) })
    }

    /// How every rollout stands.
    #[must_use]
    pub fn reports(&self) -> Arc<Vec<RolloutReport>> {
        self.reports.load_full()
    }

    /// Begins a rollout.
    ///
    /// # Errors
    /// There is no such model or version, a rollout is under way, the version was taken back, or the plan cannot finish.
    pub async fn begin(&self, order: StartOrder) -> Result<RolloutReport, InferError> {
        self.ask(|done| Message::Start(Box::new(order), done)).await
    }

    /// Pauses, resumes, promotes or aborts a model's rollout.
    ///
    /// # Errors
    /// The model has no rollout.
    pub async fn control(&self, model: &str, command: Command, reason: &str) -> Result<RolloutReport, InferError> {
        let (model, reason) = (model.to_owned(), reason.to_owned());
        self.ask(|done| Message::Control { model, command, reason, done }).await
    }

    /// A label has come: it may settle on what the versions of a rollout disagreed, or say what one of them let through in an
    /// audit. Never waits; a label that is lost here is evidence that is not used.
    pub fn labelled(&self, label: Label, audited: Vec<Audited>) {
        let _ = self.messages.try_send(Message::Label { label: Box::new(label), audited });
    }

    async fn ask<T>(&self, message: impl FnOnce(Done<T>) -> Message) -> Result<T, InferError> {
        let (done, outcome) = oneshot::channel();
        let busy = || InferError::new(ErrorKind::Unavailable, "the server is ending or overrun; try again in a second");
        self.messages.try_send(message(done)).map_err(|_| busy())?;
        outcome.await.map_err(|_| busy())?
    }

    /// Writes down how everything stands, and ends the thread. What is served stays as it is.
    pub fn shutdown(&self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            error!("the rollouts' thread panicked; please report this");
        }
    }
}

impl Drop for RolloutHub {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Hands {
    /// Folder of a version.
    pub(super) fn version_dir(&self, model: &str, version: u64) -> PathBuf {
        self.repository.join(model).join(version.to_string())
    }

    /// Stations that sent anything, by name.
    pub(super) fn stations(&self) -> Vec<String> {
        self.monitor.station_names()
    }
}

impl RolloutReport {
    /// Of what is stored; `None` where there was no rollout. `last` is when the candidate last answered, 0 for never.
    pub(super) fn new(model: &str, stored: &Stored, rates: Option<&Rates>, last: u64) -> Option<Self> {
        let now = UnixMillis::from(SystemTime::now());
        Some(Self {
            model: model.to_owned(),
            stable: stored.stable,
            candidate: stored.candidate,
            expected: rates.map(|rates| feasibility(&stored.plan, rates)),
            last_candidate_answer: (last > 0).then_some(last),
            waits_for_window: None,
            copies: stored.state.rollout.as_ref()?.copies,
            progress: Progress::new(&stored.plan, &stored.state, rates, now)?,
        })
    }
}
