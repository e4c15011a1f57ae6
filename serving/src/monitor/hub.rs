//! The thread that does everything slow about monitoring, and the handle to it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use takt_artifact::VersionDigest;
use takt_artifact::profile::Profile;
use takt_monitoring::alert::{Alerts, Firing};
use takt_monitoring::drift::comparable;
use takt_monitoring::events::{Label, Name, UnixMillis};
use takt_monitoring::feedback::{Audited, Received};
use tokio::sync::oneshot;

use super::alerts::said;
use super::budget::Budget;
use super::config::{MonitorConfig, MonitorSettings};
use super::quality::Quality;
use super::report::{MonitorReport, StationReport, StationsReport};
use super::stations::{OTHER, Reading, Stations, UNNAMED, skew};
use super::tap::{Event, VersionTap};
use super::watched::{Start, Watched};
use super::webhook::Webhook;
use crate::error::{ErrorKind, InferError};
use crate::state::VersionId;
use crate::telemetry::stats::VersionStats;

/// Outcomes that may wait to be taken note of. The hub looks ten times a second, so this is 80,000 a second.
const WAITING: usize = 8192;

/// Images that may be kept per second, of each version: the disk is for more than that.
const KEPT_PER_SECOND: u32 = 2;

/// Labels that may wait to be stored.
const LABELS_WAITING: usize = 1024;

/// How often the hub looks. It is not woken by requests, which would cost them more than everything else here.
const LOOK: Duration = Duration::from_millis(100);

/// Panes after which a station that sent nothing is no longer counted among the stations, at least.
const FORGET_STATION: Duration = Duration::from_secs(24 * 3600);

/// What a version needs to be watched.
pub struct WatchRequest {
    /// Which version.
    pub id: VersionId,
    /// Its digest.
    pub digest: VersionDigest,
    /// Its classes, in the order of the output it decides by, each with whether it means that the part is good; empty
    /// without a decision.
    pub classes: Vec<(String, bool)>,
    /// Its packaged reference.
    pub profile: Option<Profile>,
    /// File name of the artefact that is served.
    pub artefact: String,
    /// How it is watched.
    pub config: MonitorConfig,
    /// Its counters.
    pub stats: Arc<VersionStats>,
}

/// Handle to the monitor; dropping the last one ends its thread.
pub struct MonitorHub {
    settings: MonitorSettings,
    root: PathBuf,
    next: AtomicU64,
    events: SyncSender<Event>,
    new: Sender<(u64, Watched)>,
    labels: SyncSender<LabelJob>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A label on its way to the store.
struct LabelJob {
    label: Label,
    done: oneshot::Sender<Result<(Received, Vec<Audited>), String>>,
}

struct Shared {
    report: ArcSwap<MonitorReport>,
    stations: Arc<Stations>,
    dropped: Arc<AtomicU64>,
    stop: AtomicBool,
}

impl MonitorHub {
    /// Starts the thread. `root` is where it keeps what outlives the process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(settings: MonitorSettings, root: PathBuf) -> std::io::Result<Self> {
        let (events, inbox) = sync_channel(WAITING);
        let (new, newcomers) = channel();
        let (labels, labels_inbox) = sync_channel(LABELS_WAITING);
        let shared = Arc::new(Shared {
            report: ArcSwap::default(),
            stations: Arc::new(Stations::new(settings.max_stations)),
            dropped: Arc::default(),
            stop: AtomicBool::new(false),
        });
        let owner = Owner {
            settings: settings.clone(),
            inbox,
            newcomers,
            labels: labels_inbox,
            quality: Quality::open(&settings.quality, &root, SystemTime::now().into()),
            alerts: Alerts::open(&root),
            root: root.clone(),
            webhook: settings.webhook.as_ref().and_then(|webhook| Webhook::start(webhook, &root)),
            shared: Arc::clone(&shared),
            watched: BTreeMap::new(),
            stations: BTreeMap::new(),
            write_failures: 0,
        };
        let thread = std::thread::Builder::new().name("takt-monitor".into()).spawn(move || owner.run())?;
        Ok(Self {
            settings,
            root,
            next: AtomicU64::new(0),
            events,
            new,
            labels,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Begins to watch a version, for as long as the tap is held; `None` where the model is not to be watched.
    #[must_use]
    pub fn watch(&self, request: WatchRequest) -> Option<Arc<VersionTap>> {
        let WatchRequest { id, digest, classes, profile, artefact, config, stats } = request;
        if !config.enabled {
            return None;
        }
        let model = Name::new(&id.model).ok()?;
        let watch = self.next.fetch_add(1, Relaxed);
        let tap = Arc::new(VersionTap {
            watch,
            counters: ArcSwapOption::empty(),
            events: self.events.clone(),
            dropped: Arc::clone(&self.shared.dropped),
            stations: Arc::clone(&self.shared.stations),
            images: Budget::per_second(config.images_per_second),
            capture: self.settings.quality.capture.clone(),
            keeps: Budget::per_second(KEPT_PER_SECOND),
            drifted: AtomicBool::new(false),
        });
        let profile = profile.map(|profile| comparable(profile, &artefact));
        let start = Start {
            id,
            model,
            digest,
            classes,
            profile,
            drift: self.settings.drift(&config),
            learn: config.learn,
            stats,
        };
        let watched = Watched::start(start, &tap, &self.root, SystemTime::now().into());
        // The thread only ends with this handle.
        let _ = self.new.send((watch, watched));
        Some(tap)
    }

    /// What was found at the end of the last pane.
    #[must_use]
    pub fn report(&self) -> Arc<MonitorReport> {
        self.shared.report.load_full()
    }

    /// Takes a label, and gives the parts of an audit of which it is the first word.
    ///
    /// # Errors
    /// The store is behind, off, or the disk refuses; sending the label again is right, and counts it once.
    pub async fn label(&self, label: Label) -> Result<(Received, Vec<Audited>), InferError> {
        let unavailable = |why: String| InferError::new(ErrorKind::Unavailable, why);
        let (done, received) = oneshot::channel();
        self.labels.try_send(LabelJob { label, done }).map_err(|_| {
            unavailable("too many labels are waiting to be stored; send it again in a second".to_owned())
        })?;
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.thread().unpark();
        }
        let stored = received.await.map_err(|_| unavailable("the server is ending; send it again".to_owned()))?;
        stored.map_err(unavailable)
    }

    /// Names of the stations that sent anything.
    #[must_use]
    pub fn station_names(&self) -> Vec<String> {
        let named = |name: &String| name != UNNAMED && name != OTHER;
        self.shared.stations.all().into_iter().map(|(name, _)| name).filter(named).collect()
    }

    /// Counters of every station.
    #[must_use]
    pub fn stations(&self) -> &Stations {
        &self.shared.stations
    }

    /// Outcomes that were not taken note of.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

impl Drop for MonitorHub {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the monitor's thread panicked; please report this");
            }
        }
    }
}

/// The thread's own.
struct Owner {
    settings: MonitorSettings,
    inbox: Receiver<Event>,
    newcomers: Receiver<(u64, Watched)>,
    labels: Receiver<LabelJob>,
    quality: Quality,
    alerts: Alerts,
    /// Where what outlives the process is kept.
    root: PathBuf,
    webhook: Option<Webhook>,
    shared: Arc<Shared>,
    watched: BTreeMap<u64, Watched>,
    /// Readings of each station at the ends of the last panes, oldest first.
    stations: BTreeMap<String, StationHistory>,
    write_failures: u64,
}

struct StationHistory {
    readings: VecDeque<Reading>,
    last_seen: Instant,
}

impl Owner {
    fn run(mut self) {
        let mut next = Instant::now() + self.settings.pane;
        loop {
            let stop = self.shared.stop.load(Relaxed);
            self.take_in();
            if Instant::now() >= next || stop {
                self.seal();
                // Panes that were missed, as on a machine that slept, are not made up for.
                next = (next + self.settings.pane).max(Instant::now());
            }
            if stop {
                self.quality.close();
                return;
            }
            std::thread::park_timeout(LOOK.min(next.saturating_duration_since(Instant::now())));
        }
    }

    fn welcome(&mut self) {
        for (watch, watched) in self.newcomers.try_iter() {
            self.quality.declare(watched.digest(), watched.classes());
            self.watched.insert(watch, watched);
        }
    }

    fn take_in(&mut self) {
        self.welcome();
        let now = UnixMillis::from(SystemTime::now());
        while let Ok(Event { watch, note, keep }) = self.inbox.try_recv() {
            if !self.watched.contains_key(&watch) {
                // It came since, and was announced before its first note.
                self.welcome();
            }
            // What is served no more stays until its last notes are taken in.
            let Some(watched) = self.watched.get_mut(&watch) else { continue };
            let outcome = watched.outcome(note);
            watched.observe(&outcome);
            self.quality.observe(&outcome);
            if let Some((image, reason)) = keep {
                self.quality.keep(&image, &outcome, reason, now);
            }
        }
        for LabelJob { label, done } in self.labels.try_iter() {
            // Who no longer waits for the answer has given the label all the same.
            let _ = done.send(self.quality.label(&label, now));
        }
        self.quality.tick(now);
    }

    fn seal(&mut self) {
        let now = UnixMillis::from(SystemTime::now());
        let over = self.watched.iter().filter(|(_, watched)| !watched.is_served()).map(|(watch, _)| *watch);
        let over: Vec<u64> = over.collect();
        if !over.is_empty() {
            self.take_in();
            self.watched.retain(|watch, _| !over.contains(watch));
        }
        for watched in self.watched.values_mut() {
            if let Err(error) = watched.seal(now) {
                self.write_failures += 1;
                tracing::warn!(%error, "the monitor can't write to the state directory; it goes on in memory");
            }
        }
        let mut report = MonitorReport {
            at: now,
            dropped_outcomes: self.shared.dropped.load(Relaxed),
            write_failures: self.write_failures,
            stations: self.throughput(),
            versions: self.watched.values().map(Watched::report).collect(),
            quality: self.quality.report(now),
            health_limits: self.settings.health,
            alerts: Vec::new(),
            webhook: None,
        };
        let all_turned = self.alerts.observe(now, said(&report));
        for turned in &all_turned {
            let Firing { alert, labels, reason, .. } = &turned.alert;
            tracing::warn!(%alert, ?labels, reason, "alert {}", turned.change);
        }
        if !all_turned.is_empty()
            && let Err(error) = self.alerts.keep(&self.root)
        {
            self.write_failures += 1;
            tracing::warn!(%error, "which alerts fire can't be written; a restart begins without them");
        }
        if let Some(webhook) = &self.webhook {
            webhook.tell(&all_turned, now);
            report.webhook = Some(webhook.report());
        }
        report.alerts = self.alerts.firing();
        self.shared.report.store(Arc::new(report));
    }

    fn throughput(&mut self) -> StationsReport {
        let window = self.settings.window.get();
        for (name, counters) in self.shared.stations.all() {
            let reading = counters.read();
            let history = self.stations.entry(name).or_insert_with(|| StationHistory {
                // A station appears during a pane: it had nothing before.
                readings: VecDeque::from([Reading::default()]),
                last_seen: Instant::now(),
            });
            if history.readings.back().is_some_and(|last| last.inputs != reading.inputs) {
                history.last_seen = Instant::now();
            }
            history.readings.push_back(reading);
            while history.readings.len() > window + 1 {
                history.readings.pop_front();
            }
        }
        let forget = FORGET_STATION.max(self.settings.pane * u32::try_from(window).unwrap_or(u32::MAX));
        let active = self.stations.iter().filter(|(_, history)| history.last_seen.elapsed() < forget);
        let stations: Vec<(usize, StationReport)> =
            active.filter_map(|(name, history)| history.report(name, self.settings.pane)).collect();
        // Stations are compared over the time that all of them were there.
        let named = |name: &str| name != UNNAMED && name != OTHER;
        let common = stations.iter().filter(|(_, s)| named(&s.station)).map(|(panes, _)| *panes).min().unwrap_or(0);
        let parts: Vec<u64> = self
            .stations
            .iter()
            .filter(|(name, history)| named(name) && history.last_seen.elapsed() < forget)
            .map(|(_, history)| history.inputs_of_last(common))
            .collect();
        let skew = skew(&parts);
        StationsReport {
            window_ms: u64::try_from(self.settings.pane.as_millis()).unwrap_or(u64::MAX).saturating_mul(window as u64),
            stations: stations.into_iter().map(|(_, station)| station).collect(),
            skew,
            skew_limit: self.settings.skew_limit,
            skewed: skew.is_some_and(|skew| skew > self.settings.skew_limit),
        }
    }
}

impl StationHistory {
    /// Throughput over the panes in memory, and how many these are.
    fn report(&self, name: &str, pane: Duration) -> Option<(usize, StationReport)> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let panes = self.readings.len() - 1;
        let seconds = pane.as_secs_f64() * panes.max(1) as f64;
        let (inputs, outputs) = (last.inputs - first.inputs, last.outputs - first.outputs);
        let report = StationReport {
            station: name.to_owned(),
            inputs,
            outputs,
            inputs_per_second: inputs as f64 / seconds,
            outputs_per_second: outputs as f64 / seconds,
        };
        Some((panes, report))
    }

    fn inputs_of_last(&self, panes: usize) -> u64 {
        let last = self.readings.len().saturating_sub(1);
        let at = |i: usize| self.readings.get(i).map_or(0, |reading| reading.inputs);
        at(last) - at(last.saturating_sub(panes))
    }
}
