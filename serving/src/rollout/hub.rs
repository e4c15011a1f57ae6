//! The thread that owns every rollout, and the handle to it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;
use takt_artifact::VersionDir;
use takt_artifact::share::TrafficShare;
use takt_monitoring::events::Label;
use takt_rollout::action::{Action, Do};
use takt_rollout::decide::{Decision, Ended, Start, decide, recover, retry, start};
use takt_rollout::observation::{Command, Copies};
use takt_rollout::plan::{Feasibility, feasibility};
use takt_rollout::route::{Arm, Salt};
use takt_rollout::state::{Phase, RolloutId};
use takt_rollout::{Plan, Progress, State};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::active::Active;
use super::auto::Newcomers;
use super::rates::rates;
use super::store::{Audited, Found, RolloutStore, Stored};
use super::watch::freeze;
use crate::error::{ErrorKind, InferError};
use crate::monitor::MonitorHub;
use crate::registry::desired::Rolling;
use crate::registry::handle::Registry;
use crate::route::{Wake, Waker};
use crate::state::{Journal, UnixMillis};

/// How often every rollout is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often evidence is written down where nothing else happens: what a crash may cost, and what flash must bear.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How often the repository is looked at for versions that are to be rolled out by themselves.
const LOOK_FOR_NEW: Duration = Duration::from_secs(1);
/// Decisions at one look: each may only be the consequence of the one before.
const MOST_DECISIONS: usize = 8;
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
    /// What became of copies.
    pub copies: Copies,
    /// Everything else.
    pub progress: Progress,
}

type Done<T> = oneshot::Sender<Result<T, InferError>>;

enum Message {
    Start(Box<StartOrder>, Done<RolloutReport>),
    Control { model: String, command: Command, reason: String, done: Done<RolloutReport> },
    Label(Box<Label>),
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
        let hands = Hands { registry, journal, monitor, repository, store, waker };
        let owner = Owner {
            hands,
            active: BTreeMap::new(),
            ended: BTreeMap::new(),
            lingering: BTreeMap::new(),
            newcomers: Newcomers::default(),
            reports: Arc::clone(&reports),
        };
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

    /// A label has come: it may settle on what the versions of a rollout disagreed. Never waits; a label that is lost here is
    /// evidence that is not used.
    pub fn labelled(&self, label: &Label) {
        let _ = self.messages.try_send(Message::Label(Box::new(label.clone())));
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

/// The thread's own.
struct Owner {
    hands: Hands,
    active: BTreeMap<String, Active>,
    ended: BTreeMap<String, (Stored, RolloutReport)>,
    /// Ended, with a candidate that is not unloaded yet: their routes stay in force until it is.
    lingering: BTreeMap<String, Active>,
    newcomers: Newcomers,
    reports: Arc<ArcSwap<Vec<RolloutReport>>>,
}

impl Owner {
    fn run(mut self, inbox: &Receiver<Message>, found: Found) {
        self.take_up(found);
        let (mut next, mut look) = (Instant::now() + TICK, Instant::now() + LOOK_FOR_NEW);
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Message::Start(order, done)) => {
                    let _ = done.send(self.begin(&order));
                }
                Ok(Message::Control { model, command, reason, done }) => {
                    let _ = done.send(self.control(&model, command, &reason));
                }
                Ok(Message::Label(label)) => {
                    self.active.values_mut().for_each(|active| active.labelled(&label, &self.hands));
                    continue;
                }
                Ok(Message::Wake(Wake::Tripped(model, trip))) => {
                    if let Some(active) = self.active.get_mut(&model) {
                        warn!(model, ?trip, "the dead man's switch took the candidate out of traffic");
                        active.tripped(&trip);
                    }
                }
                Ok(Message::Wake(Wake::Failure)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= look {
                self.begin_newcomers();
                look = Instant::now() + LOOK_FOR_NEW;
            }
            self.step_all();
            next = Instant::now() + TICK;
        }
        for active in self.active.values() {
            if let Err(error) = self.hands.store.save(&active.model, &active.stored()) {
                error!(%error, "a rollout can't be written down; it goes on from its last record");
            }
        }
    }

    /// Takes up what an earlier life of the server left. It goes on, or it goes back; never forward by itself.
    fn take_up(&mut self, found: Found) {
        let now = UnixMillis::from(SystemTime::now());
        for (model, mut stored) in found.0 {
            if !stored.state.is_active() {
                self.remember(&model, stored);
                continue;
            }
            let died = stored.state.rollout.as_ref().is_some_and(|rollout| {
                // The supervisor, or the start of this process, has judged how the last one ended.
                self.hands.journal.is_quarantined(&rollout.candidate.to_string())
            });
            stored.state = recover(&stored.state, if died { Ended::Died } else { Ended::Stopped }, now);
            let mut active = Active::new(model.clone(), stored, &self.hands);
            if died {
                active.dead_man = Some(takt_rollout::observation::DeadMan::Crashed);
            }
            info!(model, died, phase = %phase(&active.state), "a rollout is taken up again");
            self.active.insert(model, active);
        }
        self.publish();
    }

    fn begin_newcomers(&mut self) {
        let busy = |model: &str| self.active.contains_key(model);
        let refused = |model: &str, digest: &takt_artifact::VersionDigest| {
            self.ended.get(model).is_some_and(|(stored, _)| stored.state.refuses(digest).is_some())
                || self.hands.journal.is_quarantined(&digest.to_string())
        };
        for (model, candidate) in self.newcomers.look(&self.hands, busy, refused) {
            let asked = "a new version and on_new_version = \"rollout\"".to_owned();
            let order = StartOrder { model, candidate, plan: None, retry: false, dry_run: false, asked };
            if let Err(error) = self.begin(&order) {
                error!(model = order.model, candidate, %error, "the new version is not rolled out");
            }
        }
    }

    fn begin(&mut self, order: &StartOrder) -> Result<RolloutReport, InferError> {
        let model = order.model.as_str();
        let not_found = |message: String| InferError::new(ErrorKind::NotFound, message);
        let refused = |message: String| InferError::new(ErrorKind::Unavailable, message);
        if let Some(active) = self.active.get(model) {
            let phase = phase(&active.state);
            return Err(refused(format!("a rollout of '{model}' is under way ({phase}); abort it first, or wait")));
        }
        let snapshot = self.hands.registry.table().snapshot();
        let served = snapshot.get(model).ok_or_else(|| {
            let known: Vec<&str> = snapshot.keys().map(AsRef::as_ref).collect();
            not_found(format!("no such model '{model}' in the repository (known: {})", known.join(", ")))
        })?;
        let (&stable, version) = served.versions.iter().next_back().ok_or_else(|| {
            refused(format!("no version of '{model}' serves, so there is nothing to go back to; load one first"))
        })?;
        if served.versions.contains_key(&order.candidate) {
            return Err(refused(format!(
                "version {} of '{model}' serves already; set on_new_version = \"ignore\" or \"rollout\" in model.toml, so that \
                 new versions wait to be tried",
                order.candidate
            )));
        }
        if order.candidate < stable {
            return Err(refused(format!(
                "version {} of '{model}' is older than version {stable}, which serves; versions only go up: put it there again \
                 under a higher number",
                order.candidate
            )));
        }
        let dir = VersionDir::open(self.hands.version_dir(model, order.candidate))
            .map_err(|error| not_found(format!("version {} of '{model}': {error}", order.candidate)))?;
        let stable_digest = VersionDir::open(version.dir.clone())
            .map_err(|error| refused(format!("version {stable} of '{model}', which serves: {error}")))?
            .digest();
        let plan = order.plan.clone().or_else(|| version.config.rollout.clone()).unwrap_or_default();
        if let Some(metric) = plan.gates.metrics.first() {
            return Err(InferError::invalid(format!(
                "gates.metrics['{}']: queries of Prometheus are asked by the Kubernetes operator, not by a server by itself; \
                 take the gate out of this plan",
                metric.name
            )));
        }
        let known = self.ended.get(model).map(|(stored, _)| stored.state.clone());
        let mut state = State { rollout: None, ..known.unwrap_or_default() };
        if order.retry && !order.dry_run {
            state = retry(&state, &dir.digest()).next;
            self.hands
                .journal
                .release(&dir.digest().to_string())
                .map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
        } else if self.hands.journal.is_quarantined(&dir.digest().to_string()) && state.refuses(&dir.digest()).is_none()
        {
            return Err(refused(format!(
                "version {} of '{model}' is quarantined after a crash; mend it, or start with --retry",
                order.candidate
            )));
        }
        let slow = plan.gates.latency.map(|latency| latency.slow.get());
        let begin = Start {
            id: RolloutId(ulid::Ulid::new().to_string()),
            stable: stable_digest,
            candidate: dir.digest(),
            salt: Salt::new(random()),
            slow_micros: slow.map(|slow| freeze(version, slow)).unwrap_or_default(),
            rates: rates(version),
        };
        let now = UnixMillis::from(SystemTime::now());
        let decision = start(&plan, &state, begin, now).map_err(|error| refused(error.to_string()))?;
        let why = decision.why.clone();
        let stored = Stored::new(stable, order.candidate, plan, decision.next);
        if order.dry_run {
            return report(model, &stored, rates(version).as_ref(), 0)
                .ok_or_else(|| InferError::new(ErrorKind::Internal, "no report of a rollout"));
        }
        self.hands.store.save(model, &stored).map_err(|error| {
            InferError::new(
                ErrorKind::Internal,
                format!("the rollout can't be written down, so it does not begin: {error}"),
            )
        })?;
        // The new rollout takes over the route that the last one may have left.
        self.lingering.remove(model);
        let active = Active::new(model.to_owned(), stored, &self.hands);
        self.hands.registry.roll(model, Some(active.rolling()));
        self.hands.registry.forgive(model, order.candidate);
        self.audit(&active, "idle", Some(&order.asked), &why);
        self.ended.remove(model);
        self.active.insert(model.to_owned(), active);
        self.step(model);
        self.publish();
        self.report_of(model)
    }

    fn control(&mut self, model: &str, command: Command, reason: &str) -> Result<RolloutReport, InferError> {
        let Some(active) = self.active.get_mut(model) else {
            return match (self.ended.get(model), command) {
                // With nothing in flight there is nothing to take back.
                (Some((_, report)), Command::Abort) => Ok(report.clone()),
                (Some((_, report)), command) => Err(InferError::new(
                    ErrorKind::Unavailable,
                    format!(
                        "nothing to {}: the last rollout of '{model}' has ended ({})",
                        command.label(),
                        report.progress.phase
                    ),
                )),
                (None, _) => Err(InferError::new(
                    ErrorKind::NotFound,
                    format!("no rollout of '{model}'; begin one with takt rollout start"),
                )),
            };
        };
        active.command = Some(command);
        let asked =
            if reason.is_empty() { command.label().to_owned() } else { format!("{}: {reason}", command.label()) };
        info!(model, asked, "a person's word about a rollout");
        if let Some(active) = self.active.get(model) {
            let why = active.rollout().map(|rollout| rollout.why.clone()).unwrap_or_default();
            self.audit(active, phase(&active.state).label(), Some(&asked), &why);
        }
        self.step(model);
        self.publish();
        self.report_of(model)
    }

    fn step_all(&mut self) {
        self.lingering.retain(|_, active| {
            let stays = active.still_guards(&self.hands);
            if !stays {
                active.leave();
            }
            stays
        });
        let models: Vec<String> = self.active.keys().cloned().collect();
        if models.is_empty() {
            return;
        }
        models.iter().for_each(|model| self.step(model));
        self.publish();
    }

    /// Decides until there is nothing more to do at once.
    fn step(&mut self, model: &str) {
        let Some(mut active) = self.active.remove(model) else { return };
        let mut done: Vec<String> = Vec::new();
        for _ in 0..MOST_DECISIONS {
            let now = UnixMillis::from(SystemTime::now());
            let observation = active.observe(&self.hands, Instant::now());
            let decision = decide(&active.plan, &active.state, &observation, now);
            if !self.carry_out(&mut active, decision, now, &mut done) {
                break;
            }
        }
        // What is left to do, to free the other version, is the registry's: it drains what nobody wants.
        let over = active.rollout().is_none_or(|rollout| rollout.phase.is_terminal());
        if over { self.end(active) } else { drop(self.active.insert(model.to_owned(), active)) }
    }

    /// Writes a decision down, then does what it says. `false` where nothing new was to be done.
    fn carry_out(&mut self, active: &mut Active, decision: Decision, now: UnixMillis, done: &mut Vec<String>) -> bool {
        let before = active.state.clone();
        let (from, was) = (phase(&before), before.rollout.as_ref().map(|rollout| (rollout.desired, rollout.intent)));
        let (actions, why) = (decision.actions.clone(), decision.why.clone());
        match decision.apply(&active.state) {
            Ok(next) => active.state = next,
            Err(conflict) => {
                error!(%conflict, "a rollout's state changed under its owner; please report this");
                return false;
            }
        }
        let to = phase(&active.state);
        let is = active.rollout().map(|rollout| (rollout.desired, rollout.intent));
        let turned = from != to;
        let due = active.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY);
        let mut written = true;
        if turned || was != is || due {
            match self.hands.store.save(&active.model, &active.stored()) {
                Ok(()) => active.saved = Some(Instant::now()),
                Err(error) => {
                    written = false;
                    error!(%error, "a rollout can't be written down; the candidate gets nothing new until it can");
                }
            }
        }
        if turned {
            info!(model = active.model, from = %from, to = %to, why, "rollout");
            self.audit(active, from.label(), None, &why);
        }
        let mut new = turned;
        for action in actions.iter().filter(|action| written || !is_a_risk(action)) {
            if !done.contains(&action.key) || is_route(action) {
                active.act(action, &self.hands, now);
            }
            if !done.contains(&action.key) {
                done.push(action.key.clone());
                new = true;
            }
        }
        new
    }

    fn end(&mut self, mut active: Active) {
        active.end(&self.hands);
        if let (Some(Phase::Succeeded), Some(id)) =
            (active.rollout().map(|rollout| rollout.phase.clone()), active.candidate_id())
            && let Err(error) = self.hands.journal.set_last_good(&id, UnixMillis::from(SystemTime::now()))
        {
            error!(%error, "the new version can't be recorded as good");
        }
        let stored = active.stored();
        if let Err(error) = self.hands.store.save(&active.model, &stored) {
            error!(%error, "the end of a rollout can't be written down");
        }
        let last = active.last_answer();
        if let Some(report) = report(&active.model, &stored, None, last) {
            self.ended.insert(active.model.clone(), (stored, report));
        }
        if active.still_guards(&self.hands) {
            self.lingering.insert(active.model.clone(), active);
        } else {
            active.leave();
        }
    }

    fn remember(&mut self, model: &str, stored: Stored) {
        if let Some(report) = report(model, &stored, None, 0) {
            self.ended.insert(model.to_owned(), (stored, report));
        }
    }

    fn report_of(&self, model: &str) -> Result<RolloutReport, InferError> {
        let reports = self.reports.load();
        let report = reports.iter().find(|report| report.model == model).cloned();
        report.ok_or_else(|| InferError::new(ErrorKind::Internal, "no report of a rollout"))
    }

    fn publish(&self) {
        let active = self
            .active
            .values()
            .filter_map(|active| report(&active.model, &active.stored(), active.rates.as_ref(), active.last_answer()));
        let ended = self.ended.values().map(|(_, report)| report.clone());
        self.reports.store(Arc::new(active.chain(ended).collect()));
    }

    fn audit(&self, active: &Active, from: &str, asked: Option<&str>, why: &str) {
        let Some(rollout) = active.rollout() else { return };
        self.hands.store.audit(&Audited {
            at: UnixMillis::from(SystemTime::now()),
            model: &active.model,
            rollout: &rollout.id.0,
            revision: active.state.revision,
            stable: active.stable,
            candidate: active.candidate,
            from,
            to: rollout.phase.label(),
            weight: rollout.desired.get(),
            asked,
            why,
        });
    }
}

fn report(model: &str, stored: &Stored, rates: Option<&takt_rollout::plan::Rates>, last: u64) -> Option<RolloutReport> {
    let now = UnixMillis::from(SystemTime::now());
    Some(RolloutReport {
        model: model.to_owned(),
        stable: stored.stable,
        candidate: stored.candidate,
        expected: rates.map(|rates| feasibility(&stored.plan, rates)),
        last_candidate_answer: (last > 0).then_some(last),
        copies: stored.state.rollout.as_ref()?.copies,
        progress: Progress::new(&stored.plan, &stored.state, rates, now)?,
    })
}

fn phase(state: &State) -> Phase {
    state.rollout.as_ref().map_or(Phase::RolledBack, |rollout| rollout.phase.clone())
}

/// Whether an action gives the candidate something, which must not happen before it is on record.
fn is_a_risk(action: &Action) -> bool {
    match &action.what {
        Do::LoadCandidate | Do::WarmCandidate | Do::UnloadStable => true,
        Do::SetWeight(share) | Do::SetShadow(share) => *share != TrafficShare::NONE,
        Do::PointAlias(arm) => *arm == Arm::Canary,
        Do::RecordIntent(_) | Do::ClearIntent | Do::UnloadCandidate | Do::LoadStable | Do::Quarantine(_) => false,
    }
}

/// Whether an action changes the route: done again where the one in force is not the one asked for.
fn is_route(action: &Action) -> bool {
    matches!(action.what, Do::SetWeight(_))
}

/// 128 bits that the system's randomness keys.
fn random() -> u128 {
    let state = RandomState::new();
    (u128::from(state.hash_one(0_u8)) << 64) | u128::from(state.hash_one(1_u8))
}
