//! The one owner of what is loaded: a thread that takes proposals (the watcher's, the operators', its own timer's),
//! decides with [`desired`], and moves one step at a time. Loads run on a thread of their own, one at a time, so that two
//! models never build sessions in the same memory at once; drains run beside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::counts::LoadCounts;
use super::desired::{Command, Situation, Standing, Unasked, desired};
use super::index::{IndexEntry, VersionState};
use super::load::{LoadFailure, Loader, Stage};
use super::table::{ServedModel, ServedTable, Snapshot};
use super::version::ServedVersion;
use crate::error::{ErrorKind, InferError};
use crate::repository::{Fingerprint, FoundModel, FoundVersion, ModelConfig, scan};
use crate::state::{Journal, UnixMillis};

/// How often the owner looks at what has become good, or ended, by itself.
const TICK: Duration = Duration::from_millis(500);
/// How long a version serves, with at least one good answer, before it counts as known to be good.
const PROBATION: Duration = Duration::from_secs(30);

/// Outcome of a load or unload that somebody asked for.
type Waiter = oneshot::Sender<Result<(), InferError>>;

/// What the owner is told.
enum Message {
    /// Look at the repository again.
    Scan,
    /// An operator wants a model loaded or unloaded.
    Command { model: String, command: Command, done: Waiter },
    /// The loader has finished.
    Loaded(Box<LoadOutcome>),
    /// Drain everything and end.
    Shutdown,
}

struct LoadJob {
    model: String,
    found: FoundVersion,
    config: Arc<ModelConfig>,
}

struct LoadOutcome {
    model: String,
    found: FoundVersion,
    result: Result<ServedVersion, LoadFailure>,
}

/// Handle to the owner.
pub struct Registry {
    messages: Sender<Message>,
    table: Arc<ServedTable>,
    index: Arc<Mutex<Vec<IndexEntry>>>,
    settled: Arc<AtomicBool>,
    counts: Arc<LoadCounts>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How the owner works.
pub struct RegistrySettings {
    /// The model repository.
    pub repository: PathBuf,
    /// Whether models are wanted without being asked for.
    pub unasked: Unasked,
    /// Models wanted from the start under [`Unasked::Nothing`].
    pub wanted: Vec<String>,
}

impl Registry {
    /// Starts owner and loader. The first scan begins at once; see [`Registry::has_settled`].
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(settings: RegistrySettings, loader: Loader) -> std::io::Result<Self> {
        let (messages, inbox) = channel();
        let (jobs, job_inbox) = channel::<LoadJob>();
        let table = Arc::new(ServedTable::new());
        let index = Arc::new(Mutex::default());
        let settled = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(LoadCounts::default());
        let commands = settings.wanted.iter().map(|model| (model.clone(), Command::Load)).collect();
        let owner = Owner {
            settings,
            journal: loader.journal.clone(),
            models: BTreeMap::new(),
            commands,
            waiters: BTreeMap::new(),
            loading: None,
            jobs,
            drains: Vec::new(),
            table: Arc::clone(&table),
            index: Arc::clone(&index),
            settled: Arc::clone(&settled),
            counts: Arc::clone(&counts),
        };
        let to_owner = messages.clone();
        let loader = std::thread::Builder::new().name("takt-load".into()).spawn(move || {
            while let Ok(LoadJob { model, found, config }) = job_inbox.recv() {
                let result = loader.load(&model, &found, &config);
                if to_owner.send(Message::Loaded(Box::new(LoadOutcome { model, found, result }))).is_err() {
                    return;
                }
            }
        })?;
        let owner = std::thread::Builder::new().name("takt-registry".into()).spawn(move || owner.run(&inbox))?;
        let threads = Mutex::new(vec![owner, loader]);
        let registry = Self { messages, table, index, settled, counts, threads };
        registry.rescan();
        Ok(registry)
    }

    /// What requests see.
    #[must_use]
    pub fn table(&self) -> &Arc<ServedTable> {
        &self.table
    }

    /// Proposes to look at the repository again.
    pub fn rescan(&self) {
        let _ = self.messages.send(Message::Scan);
    }

    /// Something that proposes a look at the repository, for the watcher.
    pub fn rescanner(&self) -> impl Fn() + Send + 'static {
        let messages = self.messages.clone();
        move || {
            let _ = messages.send(Message::Scan);
        }
    }

    /// Whether everything that was found at the start has been loaded or has failed.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.settled.load(Relaxed)
    }

    /// Loads since the start.
    #[must_use]
    pub fn counts(&self) -> &LoadCounts {
        &self.counts
    }

    /// Every model and version with its state.
    #[must_use]
    pub fn index(&self) -> Vec<IndexEntry> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads or unloads a model because an operator says so, and waits until it is done.
    ///
    /// # Errors
    /// The model is not in the repository, or a version of it failed to load.
    pub async fn command(&self, model: &str, command: Command) -> Result<(), InferError> {
        let (done, outcome) = oneshot::channel();
        let message = Message::Command { model: model.to_owned(), command, done };
        let gone = || InferError::new(ErrorKind::Unavailable, "the server is shutting down");
        self.messages.send(message).map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets everything that waits run, frees all sessions, and ends. Blocks.
    pub fn shutdown(&self) {
        let _ = self.messages.send(Message::Shutdown);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // The loader may be deep in a native call that nothing can interrupt; only the owner is waited for.
        if let Some(owner) = threads.into_iter().next()
            && owner.join().is_err()
        {
            error!("the registry's thread panicked; please report this");
        }
    }
}

/// A model the owner knows of.
struct ModelState {
    found: FoundModel,
    config: Option<Arc<ModelConfig>>,
    loaded: BTreeMap<u64, Loaded>,
    failed: BTreeMap<u64, Failed>,
}

struct Loaded {
    version: Arc<ServedVersion>,
    fingerprint: Fingerprint,
    since: Instant,
    /// Recorded in the journal as known to be good.
    good: bool,
}

struct Failed {
    fingerprint: Fingerprint,
    stage: Stage,
    reason: String,
}

struct Owner {
    settings: RegistrySettings,
    journal: Journal,
    models: BTreeMap<String, ModelState>,
    commands: BTreeMap<String, Command>,
    waiters: BTreeMap<String, Vec<Waiter>>,
    /// The version that the loader works on.
    loading: Option<(String, u64)>,
    jobs: Sender<LoadJob>,
    drains: Vec<(String, u64, JoinHandle<()>)>,
    table: Arc<ServedTable>,
    index: Arc<Mutex<Vec<IndexEntry>>>,
    settled: Arc<AtomicBool>,
    counts: Arc<LoadCounts>,
}

impl Owner {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Message::Scan) => self.scan(),
                Ok(Message::Command { model, command, done }) => self.command(model, command, done),
                Ok(Message::Loaded(outcome)) => self.loaded(*outcome),
                Err(RecvTimeoutError::Timeout) => {
                    self.record_good(PROBATION);
                    if !self.drains.iter().any(|(_, _, thread)| thread.is_finished()) {
                        continue;
                    }
                }
                Ok(Message::Shutdown) | Err(RecvTimeoutError::Disconnected) => return self.shutdown(),
            }
            self.step();
            self.publish();
        }
    }

    fn scan(&mut self) {
        let found = match scan(&self.settings.repository) {
            Ok(found) => found,
            Err(error) => {
                // What serves goes on serving: an unreadable folder says nothing about its models.
                error!(%error, "repository can't be read");
                return;
            }
        };
        let mut gone: BTreeSet<String> = self.models.keys().cloned().collect();
        for found in found.models {
            gone.remove(&found.name);
            self.update(found);
        }
        for name in gone {
            if let Some(mut state) = self.models.remove(&name) {
                info!(model = name, "model left the repository");
                state.loaded.values().for_each(|loaded| drain(&mut self.drains, &name, Arc::clone(&loaded.version)));
                state.loaded.clear();
            }
        }
    }

    fn update(&mut self, found: FoundModel) {
        let config = match &found.config {
            Ok(config) => {
                config.warnings.iter().for_each(|warning| warn!(model = found.name, "{warning}"));
                Some(Arc::new(config.clone()))
            }
            Err(faults) => {
                error!(model = found.name, "configuration is not usable; what serves goes on\n{faults}");
                None
            }
        };
        let (loaded, mut failed) = match self.models.remove(&found.name) {
            Some(known) => (known.loaded, known.failed),
            None => Default::default(),
        };
        let current: BTreeMap<u64, &Fingerprint> =
            found.versions.iter().map(|version| (version.number, &version.fingerprint)).collect();
        // A failure counts until the files change.
        failed.retain(|number, failed| current.get(number).is_some_and(|now| **now == failed.fingerprint));
        self.models.insert(found.name.clone(), ModelState { found, config, loaded, failed });
    }

    fn command(&mut self, model: String, command: Command, done: Waiter) {
        self.scan();
        let Some(state) = self.models.get_mut(&model) else {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            let message =
                format!("failed to load '{model}', no such model in the repository (known: {})", known.join(", "));
            let _ = done.send(Err(InferError::new(ErrorKind::NotFound, message)));
            return;
        };
        if command == Command::Load {
            // Asked for by a person: try again what failed before.
            state.failed.retain(|_, failed| failed.stage == Stage::Quarantine);
        }
        info!(model, ?command, "operator command");
        self.commands.insert(model.clone(), command);
        self.waiters.entry(model).or_default().push(done);
    }

    fn loaded(&mut self, outcome: LoadOutcome) {
        self.loading = None;
        let LoadOutcome { model, found, result } = outcome;
        self.counts.count(result.as_ref().err().map(|failure| failure.stage));
        let Some(state) = self.models.get_mut(&model) else {
            if let Ok(version) = result {
                drain(&mut self.drains, &model, Arc::new(version));
            }
            return;
        };
        match result {
            Ok(version) => {
                state.failed.remove(&found.number);
                let loaded = Loaded {
                    version: Arc::new(version),
                    fingerprint: found.fingerprint,
                    since: Instant::now(),
                    good: false,
                };
                if let Some(replaced) = state.loaded.insert(found.number, loaded) {
                    self.publish();
                    drain(&mut self.drains, &model, replaced.version);
                }
            }
            Err(failure) => {
                error!(model, version = found.number, stage = failure.stage.label(), "load failed: {failure}");
                let LoadFailure { stage, reason } = failure;
                state.failed.insert(found.number, Failed { fingerprint: found.fingerprint, stage, reason });
            }
        }
    }

    /// Starts the next load if none runs, and drains what is no longer wanted once its successors are there.
    fn step(&mut self) {
        self.drains.retain(|(_, _, thread)| !thread.is_finished());
        let mut all_settled = true;
        let names: Vec<String> = self.models.keys().cloned().collect();
        for name in names {
            let wanted = self.wanted(&name);
            let Some(state) = self.models.get_mut(&name) else { continue };
            let next = next_load(state, &wanted, &self.journal);
            match next {
                Some(found) => {
                    all_settled = false;
                    if self.loading.is_none()
                        && let Some(config) = &state.config
                    {
                        info!(model = name, version = found.number, "loading");
                        self.loading = Some((name.clone(), found.number));
                        let job = LoadJob { model: name, found, config: Arc::clone(config) };
                        let _ = self.jobs.send(job);
                    }
                }
                None => {
                    let unwanted: Vec<u64> =
                        state.loaded.keys().copied().filter(|number| !wanted.contains(number)).collect();
                    let dropped: Vec<Loaded> =
                        unwanted.iter().filter_map(|number| state.loaded.remove(number)).collect();
                    // Whoever asked for the change must see it when told that it is done.
                    if !dropped.is_empty() || self.waiters.contains_key(&name) {
                        self.publish();
                    }
                    for loaded in dropped {
                        drain(&mut self.drains, &name, loaded.version);
                    }
                    self.answer_waiters(&name, &wanted);
                }
            }
        }
        if all_settled && self.loading.is_none() && !self.settled.swap(true, Relaxed) {
            info!(models = self.models.len(), "all models are settled");
        }
    }

    fn wanted(&self, name: &str) -> BTreeSet<u64> {
        let Some(state) = self.models.get(name) else { return BTreeSet::new() };
        let serving: BTreeSet<u64> = state.loaded.keys().copied().collect();
        // With a configuration that can't be used nothing changes.
        let Some(config) = &state.config else { return serving };
        let available = state
            .found
            .versions
            .iter()
            .map(|version| {
                let standing = match state.failed.get(&version.number).map(|failed| failed.stage) {
                    None => Standing::Eligible,
                    Some(Stage::Quarantine) => Standing::Quarantined,
                    Some(_) if state.loaded.contains_key(&version.number) => Standing::Eligible,
                    Some(_) => Standing::Failed,
                };
                (version.number, standing)
            })
            .collect();
        desired(&Situation {
            available: &available,
            serving: &serving,
            policy: &config.version_policy,
            on_new_version: config.on_new_version,
            command: self.commands.get(name).copied().unwrap_or_default(),
            default: self.settings.unasked,
        })
    }

    fn answer_waiters(&mut self, name: &str, wanted: &BTreeSet<u64>) {
        let Some(waiters) = self.waiters.remove(name) else { return };
        let failure = self.models.get(name).and_then(|state| {
            let newest = state.found.versions.last().map(|version| version.number);
            let failed = state.failed.iter().next_back().filter(|(number, _)| Some(**number) == newest);
            match (failed, &state.found.config) {
                (_, Err(faults)) => Some(faults.to_string()),
                (Some((number, failed)), _) => {
                    Some(format!("version {number}: {} ({})", failed.reason, failed.stage.label()))
                }
                (None, _) if wanted.is_empty() && state.found.versions.is_empty() => {
                    Some("it has no version; put a model.onnx into <model>/1/".to_owned())
                }
                _ => None,
            }
        });
        let unloading = self.commands.get(name) == Some(&Command::Unload);
        for waiter in waiters {
            let outcome = match &failure {
                Some(reason) if !unloading => {
                    Err(InferError::new(ErrorKind::Unavailable, format!("failed to load '{name}': {reason}")))
                }
                _ => Ok(()),
            };
            let _ = waiter.send(outcome);
        }
    }

    /// Records versions that have served well for long enough: what comes up first after a power cut.
    fn record_good(&mut self, probation: Duration) {
        for loaded in self.models.values_mut().flat_map(|state| state.loaded.values_mut()) {
            if loaded.good || loaded.since.elapsed() < probation || loaded.version.stats.success.count() == 0 {
                continue;
            }
            match self.journal.set_last_good(&loaded.version.id, UnixMillis::from(std::time::SystemTime::now())) {
                Ok(()) => loaded.good = true,
                Err(error) => warn!(%error, "last good version can't be recorded"),
            }
        }
    }

    fn publish(&self) {
        let mut snapshot = Snapshot::new();
        let mut index = Vec::new();
        for (name, state) in &self.models {
            let mut served = ServedModel::default();
            for (number, loaded) in &state.loaded {
                served.versions.insert(*number, Arc::clone(&loaded.version));
            }
            let mut entry = |version: Option<u64>, state: VersionState, reason: String| {
                index.push(IndexEntry { model: name.clone(), version, state, reason });
            };
            for version in &state.found.versions {
                let number = version.number;
                let loading = self.loading.as_ref().is_some_and(|(model, at)| model == name && *at == number);
                let (standing, reason) = if state.loaded.contains_key(&number) {
                    (VersionState::Ready, String::new())
                } else if loading {
                    (VersionState::Loading, String::new())
                } else if let Some(failed) = state.failed.get(&number) {
                    (VersionState::Unavailable, format!("{} ({})", failed.reason, failed.stage.label()))
                } else if self.drains.iter().any(|(model, at, _)| model == name && *at == number) {
                    (VersionState::Unloading, String::new())
                } else {
                    (VersionState::Unavailable, "unloaded".to_owned())
                };
                if standing != VersionState::Ready {
                    let why = if reason.is_empty() { standing.label().to_lowercase() } else { reason.clone() };
                    served.unready.insert(number, why);
                }
                entry(Some(number), standing, reason);
            }
            if let Err(faults) = &state.found.config {
                served.reason = Some(faults.to_string());
                entry(None, VersionState::Unavailable, faults.to_string());
            } else if state.found.versions.is_empty() {
                let reason = "it has no version; put a model.onnx into <model>/1/".to_owned();
                served.reason = Some(reason.clone());
                entry(None, VersionState::Unavailable, reason);
            }
            snapshot.insert(name.as_str().into(), served);
        }
        self.table.replace(snapshot);
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = index;
    }

    fn shutdown(mut self) {
        self.record_good(Duration::ZERO);
        // First, for the process may be ended before all have drained.
        if let Err(error) = self.journal.abandon_intents() {
            warn!(%error, "a load in progress could not be called off; it will count as crashed");
        }
        let versions: Vec<_> = self.models.values().flat_map(|state| state.loaded.values()).collect();
        versions.iter().for_each(|loaded| loaded.version.batcher.drain());
        versions.iter().for_each(|loaded| loaded.version.drain());
        for (_, _, thread) in self.drains {
            let _ = thread.join();
        }
    }
}

/// The version to load next: the last good one first when nothing serves yet, then the highest number.
fn next_load(state: &ModelState, wanted: &BTreeSet<u64>, journal: &Journal) -> Option<FoundVersion> {
    let stale = |version: &&FoundVersion| {
        let fresh = state.loaded.get(&version.number).is_some_and(|loaded| loaded.fingerprint == version.fingerprint);
        !fresh && !state.failed.contains_key(&version.number)
    };
    state.config.as_ref()?;
    if state.loaded.is_empty() && !wanted.is_empty() {
        let good = journal.last_good(&state.found.name);
        let good = good.and_then(|good| {
            state.found.versions.iter().filter(stale).find(|version| version.number == good.current.version)
        });
        if let Some(version) = good {
            return Some(version.clone());
        }
    }
    state.found.versions.iter().rev().filter(|version| wanted.contains(&version.number)).find(stale).cloned()
}

fn drain(drains: &mut Vec<(String, u64, JoinHandle<()>)>, model: &str, version: Arc<ServedVersion>) {
    let number = version.id.version;
    let begun = Instant::now();
    version.batcher.drain();
    let thread = std::thread::Builder::new().name("takt-drain".into()).spawn(move || {
        version.drain();
        info!(version = %version.id, took = ?begun.elapsed(), "drained and freed");
    });
    match thread {
        Ok(thread) => drains.push((model.to_owned(), number, thread)),
        Err(error) => {
            error!(%error, "no thread to wait for a draining version; it is freed when its last request ends");
        }
    }
}
