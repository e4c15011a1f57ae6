//! The load transaction: found, digests verified, session built, golden inputs give golden outputs, warmed, ready to be
//! swapped in. Any failure leaves what serves untouched and names the stage that failed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use takt_artifact::profile::Profile;
use takt_artifact::{Choice, Judge, Machine, Signature, VersionDir, choose};
use takt_backend::{Backend, LoadRequest, Placement, Session};
use tracing::{info, warn};

use super::admission::admit;
use super::golden;
use super::meaning::Meaning;
use super::version::ServedVersion;
use crate::batch::batcher::Batcher;
use crate::batch::config::BatchConfig;
use crate::batch::images::DecodePool;
use crate::batch::instance::{Instance, RunObserver, warm_up};
use crate::monitor::{MonitorHub, WatchRequest};
use crate::repository::{FoundVersion, ModelConfig};
use crate::state::{IntentKind, Journal, RunningSlot, RunningTable, UnixMillis, VersionId};
use crate::supervise::{RunClock, Watchdog};
use crate::telemetry::crowd::{Begun, Company, Crowds};
use crate::telemetry::stats::VersionStats;

/// The stage of a load that failed; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named by what is checked there")]
pub enum Stage {
    Config,
    Digest,
    Quarantine,
    Intent,
    Variant,
    Memory,
    Session,
    Signature,
    Golden,
    Warmup,
    Threads,
}

impl Stage {
    /// Every stage, for declaring metric labels. The length is that of the enum, so that none is forgotten here.
    pub const ALL: [Self; Self::Threads as usize + 1] = [
        Self::Config,
        Self::Digest,
        Self::Quarantine,
        Self::Intent,
        Self::Variant,
        Self::Memory,
        Self::Session,
        Self::Signature,
        Self::Golden,
        Self::Warmup,
        Self::Threads,
    ];

    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Digest => "digest",
            Self::Quarantine => "quarantine",
            Self::Intent => "intent",
            Self::Variant => "variant",
            Self::Memory => "memory",
            Self::Session => "session",
            Self::Signature => "signature",
            Self::Golden => "golden",
            Self::Warmup => "warmup",
            Self::Threads => "threads",
        }
    }
}

/// Why a version did not get in.
#[derive(Debug, Clone)]
pub struct LoadFailure {
    /// Where it failed.
    pub stage: Stage,
    /// What was found, what was expected, what to do.
    pub reason: String,
}

impl LoadFailure {
    fn at(stage: Stage) -> impl FnOnce(String) -> Self {
        move |reason| Self { stage, reason }
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.stage.label())
    }
}

/// A runtime and the names under which a variant's `requires.runtime` asks for it.
pub type NamedBackend = (Arc<dyn Backend>, Vec<String>);

/// Runtimes that were found, best first.
pub struct Runtimes {
    /// Each with the names under which a variant's `requires.runtime` asks for it.
    pub backends: Vec<NamedBackend>,
    /// The machine, with all runtime names.
    pub machine: Machine,
}

/// What every load needs of the server.
pub struct Loader {
    /// Runtimes.
    pub runtimes: Runtimes,
    /// Shared by all models.
    pub decode: Arc<DecodePool>,
    /// Where intents are written.
    pub journal: Journal,
    /// Where runs are marked.
    pub running: RunningTable,
    /// Who ends hung runs.
    pub watchdog: Arc<Watchdog>,
    /// Where engines are cached.
    pub cache_dir: PathBuf,
    /// Who watches what is served.
    pub monitor: Arc<MonitorHub>,
    /// Which versions run beside each other.
    pub crowds: Crowds,
}

impl Loader {
    /// Takes a version through every stage. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The first stage that failed.
    pub fn load(
        &self,
        model: &str,
        found: &FoundVersion,
        config: &Arc<ModelConfig>,
    ) -> Result<ServedVersion, LoadFailure> {
        let begun = Instant::now();
        let dir = VersionDir::open(&found.dir).map_err(|error| LoadFailure::at(Stage::Digest)(error.to_string()))?;
        let verified = dir.verify().map_err(|error| LoadFailure::at(Stage::Digest)(error.to_string()))?;
        for name in &verified.unlisted {
            warn!(model, version = found.number, file = name, "file is not listed in the manifest; it is ignored");
        }
        let id = VersionId { model: model.to_owned(), version: found.number, digest: dir.digest().to_string() };
        if self.journal.is_quarantined(&id.digest) {
            return Err(LoadFailure { stage: Stage::Quarantine, reason: quarantine_reason(&self.journal, &id) });
        }
        let intent = self
            .journal
            .open_intent(IntentKind::Load, &id, UnixMillis::from(std::time::SystemTime::now()))
            .map_err(|error| LoadFailure::at(Stage::Intent)(error.to_string()))?;
        let result = self.build(&id, found, config, &dir);
        // A failure that we lived to see is not the crash that an open intent would tell of.
        intent.close().map_err(|error| LoadFailure::at(Stage::Intent)(error.to_string()))?;
        let version = result?;
        info!(
            version = %version.id,
            variant = version.variant,
            runtime = version.placement.runtime,
            provider = version.placement.provider,
            declined = ?version.placement.declined,
            took = ?begun.elapsed(),
            "loaded"
        );
        Ok(version)
    }

    fn build(
        &self,
        id: &VersionId,
        found: &FoundVersion,
        config: &Arc<ModelConfig>,
        dir: &VersionDir,
    ) -> Result<ServedVersion, LoadFailure> {
        let choice = choose(dir.variants(), &self.runtimes.machine, config.variant.as_deref())
            .map_err(|error| LoadFailure::at(Stage::Variant)(error.to_string()))?;
        for passed in &choice.passed_over {
            info!(version = %id, variant = passed.name, reason = %passed.reason, "variant passed over");
        }
        let (backend, artefact) = (self.backend_for(&choice)?, dir.artefact(&choice.variant));
        let mut request = LoadRequest {
            model: artefact.clone(),
            providers: config.providers.clone(),
            strict: config.strict,
            intra_op_threads: config.intra_op_threads.map_or(0, std::num::NonZeroUsize::get),
            batch_sizes: Vec::new(),
            cache_dir: Some(self.cache_dir.clone()),
            weight_bits: choice.variant.weight_bits,
        };
        let session = |request: &LoadRequest| {
            backend.load(request).map_err(|error| LoadFailure::at(Stage::Session)(error.to_string()))
        };
        admit(artefact_bytes(&artefact), config.instances.get(), takt_backend::memory::available())
            .map_err(LoadFailure::at(Stage::Memory))?;
        let mut first = session(&request)?;
        let placement = first.placement().clone();
        check_signature(dir, first.signature())?;
        config
            .agrees_with(dir.manifest(), dir.variants(), first.signature())
            .map_err(|faults| LoadFailure::at(Stage::Config)(faults.to_string()))?;
        let batch =
            config.batching(first.signature()).map_err(|faults| LoadFailure::at(Stage::Config)(faults.to_string()))?;
        request.batch_sizes = batch_sizes(&batch);
        let meaning = Meaning::of(dir, config);
        let mut signature = config.client_signature(first.signature(), batch.max_batch_size);
        let image = meaning.image_input(&id.model, &signature).map_err(LoadFailure::at(Stage::Config))?;
        if let Some(image) = &image {
            image.narrow(&mut signature);
        }
        let judge = meaning.judge(&signature).map_err(LoadFailure::at(Stage::Config))?;
        let labels = meaning.labels(&signature);
        let error = golden::check(dir, choice.variant.precision, first.as_mut(), &signature, image.as_ref())
            .map_err(LoadFailure::at(Stage::Golden))?;
        if let Some(error) = error {
            info!(version = %id, max_error = error.absolute, "golden inputs give golden outputs");
        }
        self.warm(config, &batch, first.as_mut(), &signature)?;
        let stats = Arc::new(VersionStats::new(batch.max_batch_size));
        let label = format!("model '{}' version {}", id.model, id.version);
        let batcher = Arc::new(Batcher::new(label, batch.clone(), Arc::clone(&stats), Arc::clone(&self.decode)));
        let tap = self.monitor.watch(WatchRequest {
            id: id.clone(),
            digest: dir.digest(),
            classes: judge.as_ref().map(|judge| classes(&judge.judge)).unwrap_or_default(),
            profile: profile(dir).map_err(LoadFailure::at(Stage::Digest))?,
            artefact: choice.variant.file.clone(),
            config: config.monitor.clone(),
            stats: Arc::clone(&stats),
        });
        let version = ServedVersion {
            id: id.clone(),
            dir: found.dir.clone(),
            signature: signature.clone(),
            config: Arc::clone(config),
            labels,
            image,
            judge,
            variant: choice.variant.name.clone(),
            placement,
            batcher: Arc::clone(&batcher),
            stats,
            tap,
            loaded_at: SystemTime::now(),
            artefact_bytes: artefact_bytes(&artefact),
            threads: Mutex::default(),
        };
        let company = self.crowds.join(&id.model);
        let mut sessions = vec![first];
        for _ in 1..config.instances.get() {
            let mut more = session(&request)?;
            self.warm(config, &batch, more.as_mut(), &signature)?;
            sessions.push(more);
        }
        for (index, session) in sessions.into_iter().enumerate() {
            let (backend, request) = (Arc::clone(&backend), request.clone());
            let instance = Instance {
                batcher: Arc::clone(&batcher),
                session,
                rebuild: Box::new(move || backend.load(&request).map_err(|error| error.to_string())),
                observer: Box::new(self.observe(id, config, company.clone())?),
            };
            let thread = instance.start(format!("takt-run-{}-{index}", id.version));
            match thread {
                Ok(thread) => version.adopt(thread),
                Err(error) => {
                    version.drain();
                    return Err(LoadFailure::at(Stage::Threads)(format!(
                        "an instance thread can't be started: {error}"
                    )));
                }
            }
        }
        Ok(version)
    }

    /// The best runtime that the variant may use.
    fn backend_for(&self, choice: &Choice) -> Result<Arc<dyn Backend>, LoadFailure> {
        let wanted = &choice.variant.requires.runtime;
        let fits = |names: &[String]| wanted.is_empty() || wanted.iter().any(|name| names.contains(name));
        let found = self.runtimes.backends.iter().find(|(_, names)| fits(names));
        found.map(|(backend, _)| Arc::clone(backend)).ok_or_else(|| {
            LoadFailure::at(Stage::Variant)(format!(
                "variant '{}' needs one of {wanted:?}; see 'takt doctor'",
                choice.variant.name
            ))
        })
    }

    /// Runs zeros at the batch sizes of [`warm_sizes`]. Not under the watchdog's eye: a first run may build engines or tune
    /// kernels for minutes, and what serves goes on meanwhile.
    fn warm(
        &self,
        config: &ModelConfig,
        batch: &BatchConfig,
        session: &mut dyn Session,
        signature: &Signature,
    ) -> Result<(), LoadFailure> {
        if config.warmup == crate::repository::config::Warmup::Off {
            return Ok(());
        }
        if signature.inputs.iter().any(|spec| spec.shape.iter().skip(1).any(|&dim| dim < 0)) {
            info!(model = config.name, "not warmed: inputs have free dimensions; name their dims in the configuration");
            return Ok(());
        }
        for size in warm_sizes(batch, session.placement()) {
            warm_up(session, signature, size).map_err(|error| {
                LoadFailure::at(Stage::Warmup)(format!("a run of zeros at batch size {size} failed: {error}"))
            })?;
        }
        Ok(())
    }

    fn observe(&self, id: &VersionId, config: &ModelConfig, company: Company) -> Result<Observer, LoadFailure> {
        let slot = self.running.claim().map_err(|error| LoadFailure::at(Stage::Threads)(error.to_string()))?;
        Ok(Observer {
            id: id.clone(),
            slot,
            clock: self.watchdog.register(&id.model, id.version, config.limits.run_timeout),
            company,
            begun: None,
        })
    }
}

/// Marks runs for the watchdog, for whoever judges a death, and for whoever compares versions.
struct Observer {
    id: VersionId,
    slot: RunningSlot,
    clock: Arc<RunClock>,
    company: Company,
    begun: Option<Begun>,
}

impl RunObserver for Observer {
    fn begin(&mut self) {
        self.slot.begin(&self.id);
        self.begun = Some(self.company.begin());
        self.clock.begin();
    }

    fn end(&mut self) -> bool {
        self.clock.end();
        self.slot.end();
        self.begun.take().is_some_and(|begun| self.company.end(begun))
    }
}

fn quarantine_reason(journal: &Journal, id: &VersionId) -> String {
    let entry = journal.quarantined().into_iter().find(|entry| entry.id.digest == id.digest);
    let why = entry.map_or_else(|| "it failed before".to_owned(), |entry| entry.reason);
    format!(
        "{id} is quarantined: {why}; package a new version, or try this one again with 'takt models retry {} {}'",
        id.model, id.version
    )
}

/// Every class with whether it means that the part is good.
fn classes(judge: &Judge) -> Vec<(String, bool)> {
    judge.verdicts().map(|(label, good)| (label.to_owned(), good)).collect()
}

/// The drift reference of the package, where it has one.
fn profile(dir: &VersionDir) -> Result<Option<Profile>, String> {
    let Some(path) = dir.profile() else { return Ok(None) };
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Profile::parse(&bytes).map(Some).map_err(|error| error.to_string())
}

/// The signature a manifest promises must be the one the runtime sees.
fn check_signature(dir: &VersionDir, runtime: &Signature) -> Result<(), LoadFailure> {
    let Some(manifest) = dir.manifest() else { return Ok(()) };
    if manifest.signature == *runtime {
        return Ok(());
    }
    Err(LoadFailure::at(Stage::Signature)(format!(
        "the manifest promises {:?}, the model has {runtime:?}; package the version again",
        manifest.signature
    )))
}

/// Sizes that the session will see: the allowed ones, or all up to the largest.
fn batch_sizes(batch: &BatchConfig) -> Vec<usize> {
    if !batch.allowed_sizes.is_empty() {
        return batch.allowed_sizes.clone();
    }
    (1..=batch.max_batch_size.max(1)).collect()
}

/// Sizes to run before serving. A provider that builds kernels per shape must see all of them. On the processor a size
/// costs nothing the first time but memory, which grows with it: 1, the powers of two and the largest reach every plan.
fn warm_sizes(batch: &BatchConfig, placement: &Placement) -> Vec<usize> {
    let mut sizes = batch_sizes(batch);
    if batch.allowed_sizes.is_empty() && matches!(placement.provider.as_str(), "cpu" | "tract") {
        let largest = sizes.last().copied().unwrap_or(1);
        sizes.retain(|size| size.is_power_of_two() || *size == largest || batch.preferred_sizes.contains(size));
    }
    sizes
}

fn artefact_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
