//! What every protocol talks to: the registry, shared memory, and whether the server is ready.

use std::sync::Arc;

use takt_monitoring::events::Label;
use takt_monitoring::feedback::Received;
use tokio::sync::watch;

use crate::error::{ErrorKind, InferError};
use crate::monitor::MonitorHub;
use crate::protocol::shared_memory::SharedMemory;
use crate::registry::desired::Command;
use crate::registry::handle::Registry;
use crate::registry::index::{IndexEntry, VersionState};
use crate::registry::table::ServedTable;
use crate::registry::version::ServedVersion;
use crate::request::VersionRef;
use crate::rollout::RolloutHub;
use crate::settings::ControlMode;
use crate::telemetry::traces::Traces;

/// Protocol extensions that work here, by the protocol's names.
const EXTENSIONS: [&str; 8] = [
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
];

/// Requests of one stream that may run at the same time.
const STREAM_WINDOW: usize = 32;

/// The server behind its protocols.
pub struct Core {
    registry: Arc<Registry>,
    memory: SharedMemory,
    mode: ControlMode,
    traces: Traces,
    monitor: Arc<MonitorHub>,
    rollouts: RolloutHub,
    draining: watch::Sender<bool>,
}

impl Core {
    /// A core over that registry.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        mode: ControlMode,
        traces: Traces,
        monitor: Arc<MonitorHub>,
        rollouts: RolloutHub,
    ) -> Self {
        Self {
            registry,
            memory: SharedMemory::new(),
            mode,
            traces,
            monitor,
            rollouts,
            draining: watch::Sender::new(false),
        }
    }

    /// Name in the server's metadata.
    #[must_use]
    pub fn name(&self) -> &'static str {
        "takt"
    }

    /// Version in the server's metadata.
    #[must_use]
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Extensions that work.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        EXTENSIONS.into_iter()
    }

    /// Requests of one stream that may run at the same time.
    #[must_use]
    pub fn stream_window(&self) -> usize {
        STREAM_WINDOW
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The versions that serve.
    #[must_use]
    pub fn table(&self) -> &ServedTable {
        self.registry.table()
    }

    /// Where spans of requests go.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Who watches what is served.
    #[must_use]
    pub fn monitor(&self) -> &MonitorHub {
        &self.monitor
    }

    /// Who rolls versions out.
    #[must_use]
    pub fn rollouts(&self) -> &RolloutHub {
        &self.rollouts
    }

    /// Takes a label: for the figures of quality, and for a rollout whose versions disagreed on the part or let it through.
    ///
    /// # Errors
    /// As [`MonitorHub::label`].
    pub async fn label(&self, label: Label) -> Result<Received, InferError> {
        let (received, audited) = self.monitor.label(label.clone()).await?;
        if received == Received::New {
            self.rollouts.labelled(label, audited);
        }
        Ok(received)
    }

    /// Registered shared memory.
    #[must_use]
    pub fn shared_memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Ready: everything found at the start was loaded or has failed, and the server does not drain.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.registry.has_settled()
    }

    /// Whether requests for that model (and version) are answered now. Unknown models are not ready (as Triton).
    #[must_use]
    pub fn is_model_ready(&self, model: &str, version: Option<VersionRef>) -> bool {
        !self.is_draining() && self.table().resolve(model, version).is_ok_and(|version| version.batcher.is_healthy())
    }

    /// From now on the server is not ready.
    pub fn begin_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether [`Core::begin_drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves when [`Core::begin_drain`] is called: what would go on for ever ends then.
    pub fn drain_begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Versions of a model that serve, ascending.
    #[must_use]
    pub fn served_versions(&self, model: &str) -> Vec<u64> {
        let snapshot = self.table().snapshot();
        snapshot.get(model).map(|served| served.versions.keys().copied().collect()).unwrap_or_default()
    }

    /// Versions whose statistics are asked for: all models where the name is empty, all versions where none is named.
    ///
    /// # Errors
    /// No such model or version serves.
    pub fn versions_for_statistics(
        &self,
        model: &str,
        version: Option<VersionRef>,
    ) -> Result<Vec<Arc<ServedVersion>>, InferError> {
        if model.is_empty() {
            let snapshot = self.table().snapshot();
            return Ok(snapshot.values().flat_map(|served| served.versions.values().cloned()).collect());
        }
        let named = self.table().resolve(model, version)?;
        if version.is_some() {
            return Ok(vec![named]);
        }
        let snapshot = self.table().snapshot();
        Ok(snapshot.get(model).map(|served| served.versions.values().cloned().collect()).unwrap_or_default())
    }

    /// The repository index; only what is ready if `ready` is set.
    #[must_use]
    pub fn index(&self, ready: bool) -> Vec<IndexEntry> {
        let mut entries = self.registry.index();
        entries.retain(|entry| !ready || entry.state == VersionState::Ready);
        entries
    }

    /// Loads a model, or loads it again if its files changed.
    ///
    /// # Errors
    /// The control mode forbids it, the model is not there, or it does not load.
    pub async fn load_model(&self, model: &str) -> Result<(), InferError> {
        self.check_mode("load")?;
        self.registry.command(model, Command::Load).await
    }

    /// Unloads a model.
    ///
    /// # Errors
    /// The control mode forbids it, or the model is not there.
    pub async fn unload_model(&self, model: &str) -> Result<(), InferError> {
        self.check_mode("unload")?;
        self.registry.command(model, Command::Unload).await
    }

    fn check_mode(&self, what: &str) -> Result<(), InferError> {
        if self.mode == ControlMode::Explicit {
            return Ok(());
        }
        Err(InferError::new(
            ErrorKind::Unavailable,
            format!(
                "explicit model load / unload is not allowed if polling is enabled or the mode is none: {what} needs a server \
                 started with --model-control-mode explicit (this one: {})",
                self.mode
            ),
        ))
    }
}
