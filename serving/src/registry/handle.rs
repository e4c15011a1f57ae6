//! The registry as the rest of the server sees it: proposals go in, what serves comes out. The owner decides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tracing::error;

use super::counts::LoadCounts;
use super::desired::{Command, Rolling, Unasked};
use super::index::IndexEntry;
use super::load::{LoadFailure, Loader};
use super::owner::Owner;
use super::publish::Published;
use super::table::ServedTable;
use super::version::ServedVersion;
use crate::error::{ErrorKind, InferError};
use crate::repository::{FoundVersion, ModelConfig};
use crate::route::RouteCell;

/// Gets the outcome of what somebody asked for.
pub(super) type Done = oneshot::Sender<Result<(), InferError>>;

/// What the owner is told.
pub(super) enum Message {
    /// Look at the repository again.
    Scan,
    /// An operator wants a model loaded or unloaded.
    Command { model: String, command: Command, done: Done },
    /// An operator wants a refused version tried again.
    Retry { model: String, version: u64, done: Done },
    /// A version is to be tried as if it had never failed.
    Forgive { model: String, version: u64 },
    /// A rollout of a model goes on with these versions, or has ended.
    Roll { model: String, rolling: Option<Rolling> },
    /// The loader has finished.
    Loaded(Box<LoadOutcome>),
    /// Drain everything and end.
    Shutdown,
}

/// A version that the loader is to load.
pub(super) struct LoadJob {
    pub(super) model: String,
    pub(super) found: FoundVersion,
    pub(super) config: Arc<ModelConfig>,
}

/// What became of a [`LoadJob`].
pub(super) struct LoadOutcome {
    pub(super) model: String,
    pub(super) found: FoundVersion,
    pub(super) result: Result<ServedVersion, LoadFailure>,
}

/// Handle to the owner.
pub struct Registry {
    messages: Sender<Message>,
    published: Published,
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
    /// Rollouts that were under way when the server ended.
    pub rolling: BTreeMap<String, Rolling>,
}

impl Registry {
    /// Starts owner and loader. The first scan begins at once; see [`Registry::has_settled`].
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(settings: RegistrySettings, loader: Loader) -> std::io::Result<Self> {
        let (messages, inbox) = channel();
        let (jobs, job_inbox) = channel::<LoadJob>();
        let published = Published::default();
        let settled = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(LoadCounts::default());
        let journal = loader.journal.clone();
        let owner = Owner::new(settings, journal, jobs, published.clone(), Arc::clone(&settled), Arc::clone(&counts));
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
        let registry = Self { messages, published, settled, counts, threads };
        registry.rescan();
        Ok(registry)
    }

    /// What requests see.
    #[must_use]
    pub fn table(&self) -> &Arc<ServedTable> {
        self.published.table()
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
        self.published.index()
    }

    /// Loads or unloads a model because an operator says so, and waits until it is done.
    ///
    /// # Errors
    /// The model is not in the repository, or a version of it failed to load.
    pub async fn command(&self, model: &str, command: Command) -> Result<(), InferError> {
        self.ask(|done| Message::Command { model: model.to_owned(), command, done }).await
    }

    /// Lets a version that was refused (quarantined, or failed to load) be tried again, and waits until that is done.
    ///
    /// # Errors
    /// There is no such version, it was not refused, or it fails again.
    pub async fn retry(&self, model: &str, version: u64) -> Result<(), InferError> {
        self.ask(|done| Message::Retry { model: model.to_owned(), version, done }).await
    }

    /// Where the requests of a model look for the route of its rollout.
    #[must_use]
    pub fn route(&self, model: &str) -> Arc<RouteCell> {
        self.published.route(model)
    }

    /// Says which versions the rollout of a model needs, or that there is none any more.
    pub fn roll(&self, model: &str, rolling: Option<Rolling>) {
        let _ = self.messages.send(Message::Roll { model: model.to_owned(), rolling });
    }

    /// Forgets that a version failed to load, so that it is tried again when it is wanted.
    pub fn forgive(&self, model: &str, version: u64) {
        let _ = self.messages.send(Message::Forgive { model: model.to_owned(), version });
    }

    async fn ask(&self, message: impl FnOnce(Done) -> Message) -> Result<(), InferError> {
        let (done, outcome) = oneshot::channel();
        let gone = || InferError::new(ErrorKind::Unavailable, "the server is shutting down");
        self.messages.send(message(done)).map_err(|_| gone())?;
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
