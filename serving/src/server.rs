//! The serving process: wires runtimes, registry and protocols together, says when it is ready, and drains.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::batch::images::DecodePool;
use crate::core::Core;
use crate::grpc;
use crate::http;
use crate::monitor::MonitorHub;
use crate::protocol::in_flight::InFlightBytes;
use crate::registry::desired::Unasked;
use crate::registry::handle::{Registry, RegistrySettings};
use crate::registry::load::Loader;
use crate::repository::watch::Watcher;
use crate::rollout::{RolloutHub, RolloutStore};
use crate::runtimes;
use crate::settings::{ControlMode, ServerSettings};
use crate::state::{StateDir, StateError, UnixMillis, settle_leftovers};
use crate::supervise::{Listeners, Watchdog, WorkerLink};
use crate::telemetry::crowd::Crowds;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Names of the listeners.
pub const GRPC: &str = "grpc";
/// See [`GRPC`].
pub const HTTP: &str = "http";
/// See [`GRPC`].
pub const METRICS: &str = "metrics";

/// Most threads that speak protocols; the runtime's pool does the work.
const PROTOCOL_THREADS: usize = 2;
/// Cores to each of them: on a small board a second one only wakes up to take cores from a run.
const CORES_PER_PROTOCOL_THREAD: usize = 2;

/// How long models may take to be freed once no request is left, or once those left were cut off.
const FREE_MODELS: Duration = Duration::from_millis(500);

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(String);

impl ServeError {
    fn new(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Serves until SIGTERM, SIGINT or the supervisor's death, then drains within the exit timeout.
///
/// # Errors
/// Something needed for serving is missing, or requests were cut off at the end of the exit timeout.
pub fn serve(
    settings: &ServerSettings,
    mut listeners: Listeners,
    state: &StateDir,
    link: Option<&WorkerLink>,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(protocol_threads())
        .thread_name("takt-protocol")
        .enable_all()
        .build()
        .map_err(|error| ServeError::new("protocol threads can't be started", error))?;
    let core = {
        let _within = runtime.enter();
        Arc::new(start_core(settings, state)?)
    };
    let watcher = match settings.control_mode {
        ControlMode::Poll => Some(watch_repository(settings, &core)),
        ControlMode::None | ControlMode::Explicit => None,
    };
    let served = runtime.block_on(run(settings, &mut listeners, Arc::clone(&core), link));
    drop(watcher);
    core.traces().shutdown();
    free_models(core);
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Threads that speak protocols on this machine.
#[must_use]
pub fn protocol_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    (cores / CORES_PER_PROTOCOL_THREAD).clamp(1, PROTOCOL_THREADS)
}

/// Frees all sessions. A run that was cut off may hang in native code that nothing can interrupt: it is not waited for.
fn free_models(core: Arc<Core>) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("takt-shutdown".into()).spawn(move || {
        core.rollouts().shutdown();
        core.registry().shutdown();
        let _ = done.send(());
    });
    match thread {
        Ok(_) if ended.recv_timeout(FREE_MODELS).is_err() => warn!("models are still busy; the process ends with them"),
        Ok(_) => {}
        Err(error) => warn!(%error, "no thread to free the models; the process ends with them"),
    }
}

/// Without a supervisor: judges what an earlier life of the server left behind, before anything is loaded.
///
/// # Errors
/// The state directory cannot be read or written.
pub fn settle_previous_life(state: &StateDir) -> Result<(), StateError> {
    let journal = state.journal()?;
    settle_leftovers(state, &journal, UnixMillis::from(std::time::SystemTime::now())).map(|_| ())
}

fn watch_repository(settings: &ServerSettings, core: &Core) -> Watcher {
    let watcher = Watcher::start(&settings.model_repository, settings.poll_interval, core.registry().rescanner());
    // What changed between the first scan and the beginning of the watch.
    core.registry().rescan();
    watcher
}

/// Starts runtimes and registry; models load in the background. Call within the runtime that speaks protocols.
pub(crate) fn start_core(settings: &ServerSettings, state: &StateDir) -> Result<Core, ServeError> {
    let failed = |what| move |error: &dyn std::fmt::Display| ServeError::new(what, error);
    let traces = settings.otlp_endpoint.as_deref().map(Traces::to).transpose();
    let traces = traces.map_err(|error| failed("settings")(&error))?.unwrap_or_default();
    let runtimes = runtimes::find(settings).map_err(|error| failed("runtimes")(&error))?;
    let running = state.running_table().map_err(|error| failed("state directory")(&error))?;
    let marks = running.clone();
    let watchdog = Watchdog::start(move |hang| marks.mark_hung(&hang.model, hang.version))
        .map_err(|error| failed("watchdog")(&error))?;
    let decode = DecodePool::start(settings.decode_threads).map_err(|error| failed("decode threads")(&error))?;
    let monitor = MonitorHub::start(settings.monitor.clone(), state.path().join("monitor"))
        .map_err(|error| failed("monitor")(&error))?;
    let monitor = Arc::new(monitor);
    let store = RolloutStore::open(state.path().join("rollouts")).map_err(|error| failed("state directory")(&error))?;
    let found = store.load().map_err(|error| failed("state directory")(&error))?;
    let journal = state.journal().map_err(|error| failed("state directory")(&error))?;
    let loader = Loader {
        runtimes,
        monitor: Arc::clone(&monitor),
        decode: Arc::new(decode),
        journal: journal.clone(),
        running,
        watchdog: Arc::new(watchdog),
        cache_dir: state.path().join("engines"),
        crowds: Crowds::default(),
    };
    let registry_settings = RegistrySettings {
        repository: settings.model_repository.clone(),
        unasked: if settings.control_mode == ControlMode::Explicit { Unasked::Nothing } else { Unasked::Everything },
        wanted: settings.load_models.clone(),
        rolling: found.rolling(),
    };
    let registry = Registry::start(registry_settings, loader).map_err(|error| failed("registry")(&error))?;
    let registry = Arc::new(registry);
    let repository = settings.model_repository.clone();
    let (of_registry, of_monitor) = (Arc::clone(&registry), Arc::clone(&monitor));
    let rollouts =
        RolloutHub::start(of_registry, journal, of_monitor, repository, settings.rollout.clone(), store, found)
            .map_err(|error| failed("rollouts")(&error))?;
    Ok(Core::new(registry, settings.control_mode, traces, monitor, rollouts))
}

async fn run(
    settings: &ServerSettings,
    listeners: &mut Listeners,
    core: Arc<Core>,
    link: Option<&WorkerLink>,
) -> Result<(), ServeError> {
    let begun = Instant::now();
    let (stop, stopping) = watch::channel(false);
    let _watch = link
        .map(|link| {
            let stop = stop.clone();
            link.on_supervisor_gone(move || {
                let _ = stop.send(true);
            })
        })
        .transpose()
        .map_err(|error| ServeError::new("supervisor", error))?;
    let mut servers = JoinSet::new();
    let in_flight = Arc::new(InFlightBytes::new(settings.max_in_flight_bytes));
    if let Some(listener) = listeners.take(GRPC) {
        announce("gRPC", &listener);
        let (core, settings, stopping) = (Arc::clone(&core), settings.clone(), stopping.clone());
        let in_flight = Arc::clone(&in_flight);
        servers
            .spawn(async move { grpc::listen::serve(core, listener, &settings, in_flight, stopped(stopping)).await });
    }
    if let Some(listener) = listeners.take(HTTP) {
        announce("HTTP", &listener);
        let (core, settings, stopping) = (Arc::clone(&core), settings.clone(), stopping.clone());
        let in_flight = Arc::clone(&in_flight);
        servers
            .spawn(async move { http::listen::serve(core, listener, &settings, in_flight, stopped(stopping)).await });
    }
    if let Some(listener) = listeners.take(METRICS) {
        announce("metrics", &listener);
        let metrics = Metrics::new(Arc::clone(&core), Arc::clone(&in_flight));
        let stopping = stopping.clone();
        servers.spawn(async move { http::listen::serve_metrics(metrics, listener, stopped(stopping)).await });
    }
    let mut ready = std::pin::pin!(tell_when_ready(&core, link, begun));
    let mut signal = std::pin::pin!(terminate());
    let mut stopping = stopping;
    let mut told = false;
    loop {
        tokio::select! {
            // In this order: once all are told to stop, a listener that has ended did as it was told.
            biased;
            () = &mut ready, if !told => told = true,
            name = &mut signal => {
                info!(signal = name, timeout = ?settings.exit_timeout, "draining");
                break;
            }
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(ended) = servers.join_next() => {
                return Err(match ended {
                    Ok(Ok(())) => ServeError("a listener ended by itself".to_owned()),
                    Ok(Err(error)) => ServeError::new("a listener failed", error),
                    Err(error) => ServeError::new("a listener panicked", error),
                });
            }
        }
    }
    core.begin_drain();
    let _ = stop.send(true);
    let drained =
        tokio::time::timeout(settings.exit_timeout, async { while servers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!(timeout = ?settings.exit_timeout, in_flight_bytes = in_flight.used(), "requests were still running when the exit timeout passed");
        servers.abort_all();
        return Err(ServeError(format!(
            "requests were still running {:?} after the server was told to end; raise --exit-timeout-secs if they should \
             have gone on",
            settings.exit_timeout
        )));
    }
    info!("drained");
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn tell_when_ready(core: &Core, link: Option<&WorkerLink>, begun: Instant) {
    while !core.registry().has_settled() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    info!(took = ?begun.elapsed(), "ready");
    if let Some(Err(error)) = link.map(WorkerLink::ready) {
        error!(%error, "the supervisor did not hear that this worker is ready");
    }
}

async fn terminate() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            error!(%error, "signals can't be caught; only SIGKILL ends this process");
            std::future::pending().await
        }
    }
}

fn announce(protocol: &str, listener: &TcpListener) {
    match listener.local_addr() {
        Ok(address) => info!(%address, "{protocol} listens"),
        Err(error) => warn!(%error, "{protocol} listens at an unknown address"),
    }
}
