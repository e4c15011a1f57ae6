//! One version under watch: its drift against a reference, or the reference being learned.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use takt_artifact::VersionDigest;
use takt_artifact::profile::{Origin, Profile};
use takt_monitoring::drift::{DriftConfig, DriftMonitor, FeatureReport, LearnRule, Learner, Reference, Row, Seen};
use takt_monitoring::events::{Name, Outcome, Status, UnixMillis};
use takt_monitoring::features::{IMAGE_LEN, VISION, Vision};

use super::health::Health;
use super::keep::{Keep, KeptPane, KeptRow};
use super::note::Note;
use super::report::{ReferenceState, VersionReport};
use super::tap::VersionTap;
use crate::state::VersionId;
use crate::telemetry::stats::VersionStats;

/// What the hub knows of a version.
pub(super) struct Watched {
    tap: Weak<VersionTap>,
    id: VersionId,
    model: Name,
    digest: VersionDigest,
    classes: Vec<(String, bool)>,
    labels: Vec<String>,
    drift_config: DriftConfig,
    stats: Arc<VersionStats>,
    health: Health,
    keep: Keep,
    state: State,
}

enum State {
    Judging(Box<DriftMonitor>),
    Learning {
        learner: Box<Learner>,
        /// Rows that are not on disk yet.
        fresh: Vec<KeptRow>,
    },
}

/// What is needed to watch a version.
pub(super) struct Start {
    pub(super) id: VersionId,
    pub(super) model: Name,
    pub(super) digest: VersionDigest,
    pub(super) classes: Vec<(String, bool)>,
    pub(super) profile: Option<Profile>,
    pub(super) drift: DriftConfig,
    pub(super) learn: LearnRule,
    pub(super) stats: Arc<VersionStats>,
}

impl Watched {
    /// Goes on where an earlier life of the version's watch ended, as far as `root` knows of it.
    pub(super) fn start(start: Start, tap: &Arc<VersionTap>, root: &Path, now: UnixMillis) -> Self {
        let Start { id, model, digest, classes, profile, drift, learn, stats } = start;
        let labels: Vec<String> = classes.iter().map(|(label, _)| label.clone()).collect();
        let keep = Keep::new(root, &id.digest);
        let state = match profile.or_else(|| keep.profile()) {
            Some(profile) => State::judging(profile, &labels, &drift, &keep, now),
            None => {
                let mut learner = Learner::new(learn);
                for kept in keep.rows() {
                    let at = kept.at;
                    if let Some(row) = kept.row() {
                        learner.observe(at, row);
                    }
                }
                State::Learning { learner: Box::new(learner), fresh: Vec::new() }
            }
        };
        if let State::Judging(monitor) = &state {
            tap.counters.store(Some(Arc::clone(monitor.counters())));
        }
        let tap = Arc::downgrade(tap);
        let health = Health::default();
        Self { tap, id, model, digest, classes, labels, drift_config: drift, stats, health, keep, state }
    }

    /// Digest of the version.
    pub(super) fn digest(&self) -> VersionDigest {
        self.digest
    }

    /// Its classes, each with whether it means that the part is good.
    pub(super) fn classes(&self) -> &[(String, bool)] {
        &self.classes
    }

    /// Whether the version still serves.
    pub(super) fn is_served(&self) -> bool {
        self.tap.strong_count() > 0
    }

    /// A note as the outcome of this version.
    pub(super) fn outcome(&self, note: Note) -> Outcome {
        note.outcome(&self.model, self.digest, &self.labels)
    }

    /// Takes note of an outcome. What could be counted was counted where it happened.
    pub(super) fn observe(&mut self, outcome: &Outcome) {
        let values: Result<Vision, _> = outcome.features.values.as_slice().try_into();
        let (Status::Ok, VISION, Ok(values)) = (&outcome.status, outcome.features.list, values) else { return };
        let class = outcome.decision.as_ref().map(|decision| decision.class);
        match &mut self.state {
            State::Judging(monitor) => monitor.follow(&Seen {
                product: outcome.product.as_deref(),
                station: outcome.station.as_deref(),
                part: outcome.part_id.as_deref(),
                values: &values,
                image: !values[0].is_nan(),
                answer: class.is_some(),
                class,
            }),
            // A reference is made of whole rows; where images are measured, of rows with an image.
            State::Learning { learner, fresh } => {
                let image_wanted = learner.has_images();
                if image_wanted && values[..IMAGE_LEN].iter().all(|value| value.is_nan()) {
                    return;
                }
                let text = |name: &Option<_>| name.as_ref().map(ToString::to_string);
                let row = Row { product: text(&outcome.product), station: text(&outcome.station), values, class };
                fresh.push(KeptRow::new(outcome.routed_at, &row));
                learner.observe(outcome.routed_at, row);
            }
        }
    }

    /// Ends a pane; keeps what must outlive the process.
    ///
    /// # Errors
    /// Something could not be written; everything else goes on.
    pub(super) fn seal(&mut self, now: UnixMillis) -> io::Result<()> {
        let window = self.drift_config.window.get();
        self.health.seal(&self.stats, window);
        match &mut self.state {
            State::Judging(monitor) => {
                let (pane, evidence) = monitor.seal(now);
                let reference = monitor.profile().reference_sha256.clone();
                self.keep.keep_pane(&KeptPane { sealed_at: now, reference, pane, evidence }, window)
            }
            State::Learning { learner, fresh } => {
                let fresh = std::mem::take(fresh);
                let reference = Reference {
                    model: &self.id.model,
                    labels: &self.labels,
                    created: takt_artifact::calendar::now(),
                    origin: Origin::Learned,
                    version: Some(self.digest),
                    artefact: None,
                };
                match learner.finish(&reference) {
                    None => self.keep.keep_rows(&fresh),
                    Some(profile) => self.freeze(profile, now),
                }
            }
        }
    }

    fn freeze(&mut self, profile: Profile, now: UnixMillis) -> io::Result<()> {
        tracing::info!(version = %self.id, reference = profile.reference_sha256, "drift reference learned and frozen");
        let kept = self.keep.keep_profile(&profile);
        self.state = State::judging(profile, &self.labels, &self.drift_config, &self.keep, now);
        if let (State::Judging(monitor), Some(tap)) = (&self.state, self.tap.upgrade()) {
            tap.counters.store(Some(Arc::clone(monitor.counters())));
        }
        kept
    }

    /// What was found at the end of the pane; tells the request path whether there is drift.
    pub(super) fn report(&self) -> VersionReport {
        let (reference, drift) = match &self.state {
            State::Judging(monitor) => {
                let state = match monitor.profile().origin {
                    Origin::Packaged => ReferenceState::Packaged,
                    Origin::Learned => ReferenceState::Learned,
                };
                (state, Some(monitor.report()))
            }
            State::Learning { learner, .. } => (ReferenceState::Learning { progress: learner.progress() }, None),
        };
        if let Some(tap) = self.tap.upgrade() {
            let features = drift.iter().flat_map(|drift| &drift.segments).flat_map(|segment| &segment.features);
            tap.drifted.store(features.into_iter().any(FeatureReport::is_drift), Relaxed);
        }
        VersionReport {
            model: self.id.model.clone(),
            version: self.id.version,
            digest: self.id.digest.clone(),
            reference,
            health: self.health.report(),
            drift,
        }
    }
}

impl State {
    fn judging(profile: Profile, labels: &[String], config: &DriftConfig, keep: &Keep, now: UnixMillis) -> Self {
        let reference = profile.reference_sha256.clone();
        let mut monitor = DriftMonitor::new(Arc::new(profile), labels, config.clone());
        // Only what would still be in the window had the process gone on; a clock that was set back has no say.
        let window = config.pane * u32::try_from(config.window.get()).unwrap_or(u32::MAX);
        for kept in keep.panes(&reference) {
            if kept.sealed_at <= now && now.since(kept.sealed_at) <= window {
                monitor.resume(kept.sealed_at, kept.pane, &kept.evidence);
            }
        }
        Self::Judging(Box::new(monitor))
    }
}
