//! The one owner of what is loaded: a thread that takes proposals (the watcher's, the operators', its own timer's),
//! decides with [`desired`], and moves one step at a time. Loads run on a thread of their own, one at a time, so that two
//! models never build sessions in the same memory at once; drains run beside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use takt_artifact::VersionDir;
use tracing::{error, info, warn};

use super::counts::LoadCounts;
use super::desired::{Command, Rolling, Situation, Standing, desired};
use super::handle::{Done, LoadJob, LoadOutcome, Message, RegistrySettings};
use super::load::{LoadFailure, Stage};
use super::publish::{NO_VERSION, Published};
use super::version::ServedVersion;
use crate::error::{ErrorKind, InferError};
use crate::repository::{Fingerprint, FoundModel, FoundVersion, ModelConfig, scan};
use crate::state::{Journal, UnixMillis, VersionId};

/// How often the owner looks at what has become good, or ended, by itself.
const TICK: Duration = Duration::from_millis(500);
/// How long a version serves, with at least one good answer, before it counts as known to be good.
const PROBATION: Duration = Duration::from_secs(30);

/// A model the owner knows of.
pub(super) struct ModelState {
    pub(super) found: FoundModel,
    config: Option<Arc<ModelConfig>>,
    pub(super) loaded: BTreeMap<u64, Loaded>,
    pub(super) failed: BTreeMap<u64, Failed>,
}

pub(super) struct Loaded {
    pub(super) version: Arc<ServedVersion>,
    fingerprint: Fingerprint,
    since: Instant,
    /// Recorded in the journal as known to be good.
    good: bool,
}

pub(super) struct Failed {
    fingerprint: Fingerprint,
    pub(super) stage: Stage,
    pub(super) reason: String,
}

/// Somebody who waits until what they asked for is done.
struct Waiter {
    /// The version they asked for; `None` for the model as a whole.
    version: Option<u64>,
    done: Done,
}

/// Decides; lives on a thread of its own.
pub(super) struct Owner {
    settings: RegistrySettings,
    journal: Journal,
    models: BTreeMap<String, ModelState>,
    commands: BTreeMap<String, Command>,
    rolling: BTreeMap<String, Rolling>,
    waiters: BTreeMap<String, Vec<Waiter>>,
    /// The version that the loader works on.
    loading: Option<(String, u64)>,
    jobs: Sender<LoadJob>,
    drains: Vec<(String, u64, JoinHandle<()>)>,
    published: Published,
    settled: Arc<AtomicBool>,
    counts: Arc<LoadCounts>,
}

impl Owner {
    pub(super) fn new(
        settings: RegistrySettings,
        journal: Journal,
        jobs: Sender<LoadJob>,
        published: Published,
        settled: Arc<AtomicBool>,
        counts: Arc<LoadCounts>,
    ) -> Self {
        let commands = settings.wanted.iter().map(|model| (model.clone(), Command::Load)).collect();
        let rolling = settings.rolling.clone();
        Self {
            settings,
            journal,
            models: BTreeMap::new(),
            commands,
            rolling,
            waiters: BTreeMap::new(),
            loading: None,
            jobs,
            drains: Vec::new(),
            published,
            settled,
            counts,
        }
    }

    pub(super) fn models(&self) -> impl Iterator<Item = (&String, &ModelState)> {
        self.models.iter()
    }

    pub(super) fn published(&self) -> &Published {
        &self.published
    }

    pub(super) fn is_loading(&self, model: &str, version: u64) -> bool {
        self.loading.as_ref().is_some_and(|(name, number)| name == model && *number == version)
    }

    pub(super) fn is_draining(&self, model: &str, version: u64) -> bool {
        self.drains.iter().any(|(name, number, _)| name == model && *number == version)
    }

    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Message::Scan) => self.scan(),
                Ok(Message::Command { model, command, done }) => self.command(model, command, done),
                Ok(Message::Retry { model, version, done }) => self.retry(model, version, done),
                Ok(Message::Forgive { model, version }) => {
                    // Where nobody watches the repository this is the first that is heard of the version.
                    self.scan();
                    if let Some(state) = self.models.get_mut(&model) {
                        state.failed.remove(&version);
                    }
                }
                Ok(Message::Roll { model, rolling }) => self.roll(model, rolling),
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

    fn command(&mut self, model: String, command: Command, done: Done) {
        self.scan();
        let Some(state) = self.models.get_mut(&model) else {
            let _ = done.send(Err(self.no_such_model(&model)));
            return;
        };
        if command == Command::Unload && self.rolling.contains_key(&model) {
            let message = format!("a rollout of '{model}' is under way; end it first: takt rollout abort {model}");
            let _ = done.send(Err(InferError::new(ErrorKind::Unavailable, message)));
            return;
        }
        if command == Command::Load {
            // Asked for by a person: try again what failed before.
            state.failed.retain(|_, failed| failed.stage == Stage::Quarantine);
        }
        info!(model, ?command, "operator command");
        self.commands.insert(model.clone(), command);
        self.waiters.entry(model).or_default().push(Waiter { version: None, done });
    }

    fn roll(&mut self, model: String, rolling: Option<Rolling>) {
        match rolling {
            Some(rolling) => self.rolling.insert(model, rolling),
            None => self.rolling.remove(&model),
        };
    }

    fn retry(&mut self, model: String, version: u64, done: Done) {
        self.scan();
        match self.forgive(&model, version) {
            Ok(()) => self.waiters.entry(model).or_default().push(Waiter { version: Some(version), done }),
            Err(error) => {
                let _ = done.send(Err(error));
            }
        }
    }

    /// Forgets why a version was refused, so that it counts as if it had just been put there.
    fn forgive(&mut self, model: &str, version: u64) -> Result<(), InferError> {
        let Some(state) = self.models.get_mut(model) else { return Err(self.no_such_model(model)) };
        let Some(found) = state.found.versions.iter().find(|found| found.number == version) else {
            let known: Vec<String> = state.found.versions.iter().map(|found| found.number.to_string()).collect();
            let message = format!("model '{model}' has no version {version} (it has: {})", known.join(", "));
            return Err(InferError::new(ErrorKind::NotFound, message));
        };
        if !state.failed.contains_key(&version) {
            let message = format!(
                "version {version} of '{model}' is not refused, so there is nothing to retry; 'takt models' shows its state"
            );
            return Err(InferError::new(ErrorKind::Unavailable, message));
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            InferError::new(
                ErrorKind::Internal,
                format!("version {version} of '{model}' can't be retried: {what}: {error}"),
            )
        };
        let dir = VersionDir::open(&found.dir).map_err(|error| failed("its files", &error))?;
        self.journal.release(&dir.digest().to_string()).map_err(|error| failed("state directory", &error))?;
        info!(model, version, "operator lets it be tried again");
        state.failed.remove(&version);
        Ok(())
    }

    fn no_such_model(&self, model: &str) -> InferError {
        let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
        let message =
            format!("failed to load '{model}', no such model in the repository (known: {})", known.join(", "));
        InferError::new(ErrorKind::NotFound, message)
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
            if self.rolling.get(&name).is_some_and(|rolling| !rolling.keeps_stable) {
                // There is no room for both: what is not wanted goes before its successor comes.
                self.drop_unwanted(&name, &wanted);
                if self.drains.iter().any(|(model, _, _)| *model == name) {
                    all_settled = false;
                    continue;
                }
            }
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
                    self.drop_unwanted(&name, &wanted);
                    self.answer_waiters(&name, &wanted);
                }
            }
        }
        if all_settled && self.loading.is_none() && !self.settled.swap(true, Relaxed) {
            info!(models = self.models.len(), "all models are settled");
        }
    }

    fn drop_unwanted(&mut self, name: &str, wanted: &BTreeSet<u64>) {
        let Some(state) = self.models.get_mut(name) else { return };
        let unwanted: Vec<u64> = state.loaded.keys().copied().filter(|number| !wanted.contains(number)).collect();
        let dropped: Vec<Loaded> = unwanted.iter().filter_map(|number| state.loaded.remove(number)).collect();
        // Whoever asked for the change must see it when told that it is done.
        if !dropped.is_empty() || self.waiters.contains_key(name) {
            self.publish();
        }
        for loaded in dropped {
            drain(&mut self.drains, name, loaded.version);
        }
    }

    fn wanted(&self, name: &str) -> BTreeSet<u64> {
        let Some(state) = self.models.get(name) else { return BTreeSet::new() };
        // With a configuration that can't be used nothing changes.
        let Some(config) = &state.config else { return state.loaded.keys().copied().collect() };
        let good = || self.journal.last_good(name).map(|good| good.current.version);
        let newest = state.loaded.keys().next_back().copied().or_else(good);
        let is_quarantined = |number: &u64| {
            state.loaded.get(number).is_some_and(|loaded| self.journal.is_quarantined(&loaded.version.id.digest))
        };
        let available = state
            .found
            .versions
            .iter()
            .map(|version| {
                let standing = match state.failed.get(&version.number).map(|failed| failed.stage) {
                    _ if is_quarantined(&version.number) => Standing::Quarantined,
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
            newest,
            rolling: self.rolling.get(name).copied(),
            policy: &config.version_policy,
            on_new_version: config.on_new_version,
            command: self.commands.get(name).copied().unwrap_or_default(),
            default: self.settings.unasked,
        })
    }

    fn answer_waiters(&mut self, name: &str, wanted: &BTreeSet<u64>) {
        let Some(waiters) = self.waiters.remove(name) else { return };
        let unloading = self.commands.get(name) == Some(&Command::Unload);
        for Waiter { version, done } in waiters {
            let failure = if unloading { None } else { self.failure(name, version, wanted) };
            let outcome = failure.map_or(Ok(()), |reason| {
                Err(InferError::new(ErrorKind::Unavailable, format!("failed to load '{name}': {reason}")))
            });
            let _ = done.send(outcome);
        }
    }

    /// Why a model (its newest version, or the one that was asked for) does not serve although it should.
    fn failure(&self, name: &str, version: Option<u64>, wanted: &BTreeSet<u64>) -> Option<String> {
        let state = self.models.get(name)?;
        if let Err(faults) = &state.found.config {
            return Some(faults.to_string());
        }
        let Some(number) = version.or_else(|| state.found.versions.last().map(|version| version.number)) else {
            return wanted.is_empty().then(|| NO_VERSION.to_owned());
        };
        let failed = state.failed.get(&number)?;
        Some(format!("version {number}: {} ({})", failed.reason, failed.stage.label()))
    }

    /// Records versions that have served well for long enough: what comes up first after a power cut.
    fn record_good(&mut self, probation: Duration) {
        let rolling = &self.rolling;
        // A candidate is good once its rollout has ended well.
        let tried = |id: &VersionId| rolling.get(&id.model).is_some_and(|rolling| rolling.stable != id.version);
        for loaded in self.models.values_mut().flat_map(|state| state.loaded.values_mut()) {
            if loaded.good
                || tried(&loaded.version.id)
                || loaded.since.elapsed() < probation
                || loaded.version.stats.success.count() == 0
            {
                continue;
            }
            match self.journal.set_last_good(&loaded.version.id, UnixMillis::from(std::time::SystemTime::now())) {
                Ok(()) => loaded.good = true,
                Err(error) => warn!(%error, "last good version can't be recorded"),
            }
        }
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
