//! Predictions and what became of them: the prediction log, the feedback store, the funnel. Belongs to the hub's thread.
//!
//! A disk that is full or gone costs what would have been written, is counted and said once, and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use takt_artifact::VersionDigest;
use takt_monitoring::capture::{Capture, Reason};
use takt_monitoring::events::{Label, Outcome, UnixMillis};
use takt_monitoring::feedback::{Audited, Feedback, Received};
use takt_monitoring::log::{LogError, Writer};

use super::clock;
use super::config::QualitySettings;
use super::report::{LabelCounts, QualitySection};

/// How often what has gathered is handed to the system.
const TICK: Duration = Duration::from_secs(1);

/// Share of time that making the report may take, as one in so many.
const REPORT_SHARE: u32 = 500;

/// Everything about predictions and labels.
pub(super) struct Quality {
    settings: QualitySettings,
    log: Option<Writer>,
    feedback: Option<Feedback>,
    capture: Option<Capture>,
    labels: LabelCounts,
    ticked: Instant,
    last: QualitySection,
    /// No new report before this.
    next_report: Instant,
    /// Whether the last attempt to write failed, so that a long failure is said once.
    failing: bool,
}

impl Quality {
    /// Opens what is kept in `root`. What cannot be opened is off, and said.
    pub(super) fn open(settings: &QualitySettings, root: &Path, now: UnixMillis) -> Self {
        let off = |what: &str, error: &LogError| tracing::error!(%error, "{what} is off");
        let log = settings.prediction_log.and_then(|limits| {
            let opened = Writer::open(&root.join("predictions"), limits, now);
            opened.inspect_err(|error| off("the prediction log", error)).ok()
        });
        let feedback = settings.feedback.clone().and_then(|config| {
            let opened = Feedback::open(&root.join("feedback"), config, now);
            let (store, recovery) = opened.inspect_err(|error| off("the feedback store", error)).ok()?;
            if !recovery.skipped.is_empty() || recovery.settled_lost {
                tracing::warn!(?recovery, "a part of the feedback store was damaged and is passed over");
            }
            Some(store)
        });
        let capture = settings.capture.clone().and_then(|config| {
            let opened = Capture::open(&root.join("images"), config);
            opened.inspect_err(|error| tracing::error!(%error, "the capture of images is off")).ok()
        });
        Self {
            settings: settings.clone(),
            log,
            feedback,
            capture,
            labels: LabelCounts::default(),
            ticked: Instant::now(),
            last: QualitySection::default(),
            next_report: Instant::now(),
            failing: false,
        }
    }

    /// Tells which classes of a version mean that a part is good.
    pub(super) fn declare(&mut self, version: VersionDigest, classes: &[(String, bool)]) {
        if let (Some(feedback), false) = (&mut self.feedback, classes.is_empty()) {
            let declared = feedback.declare(version, classes.iter().cloned());
            self.note(declared);
        }
    }

    /// Takes note of an outcome.
    pub(super) fn observe(&mut self, outcome: &Outcome) {
        let logged = self.log.as_mut().map_or(Ok(()), |log| log.append(outcome));
        let joined = self.feedback.as_mut().map_or(Ok(()), |feedback| feedback.predicted(outcome));
        self.note(logged.and(joined));
    }

    /// Keeps an image.
    pub(super) fn keep(&mut self, image: &[u8], outcome: &Outcome, reason: Reason, now: UnixMillis) {
        if let Some(capture) = &mut self.capture {
            let kept = capture.keep(image, outcome, reason, now).map(|_| ());
            self.note(kept);
        }
    }

    /// Takes a label, and gives the parts of an audit of which it is the first word; an error says why it is not kept.
    pub(super) fn label(&mut self, label: &Label, now: UnixMillis) -> Result<(Received, Vec<Audited>), String> {
        let Some(feedback) = &mut self.feedback else {
            return Err(
                "this server takes no labels: monitor.take_feedback is false, or its store could not be opened \
                        (see the log)"
                    .to_owned(),
            );
        };
        let before = feedback.audited(&label.by);
        let received = feedback.labelled(label, now).map_err(|error| error.to_string())?;
        let known = |part: &Audited| {
            before.iter().any(|other| (other.version, other.routed_at) == (part.version, part.routed_at))
        };
        let audited = feedback.audited(&label.by).into_iter().filter(|part| !known(part)).collect();
        if let (Some(capture), true) = (&mut self.capture, received != Received::Known) {
            // A label may make an image worth more than it was kept for.
            let rejects = feedback.false_rejects(&label.by);
            let kept = rejects.into_iter().try_for_each(|id| capture.reclassify(id, Reason::FalseReject).map(|_| ()));
            self.note(kept);
        }
        match received {
            Received::New => self.labels.added += 1,
            Received::Revised => self.labels.revised += 1,
            Received::Known => self.labels.known += 1,
        }
        Ok((received, audited))
    }

    /// To be called often; does its work once a second.
    pub(super) fn tick(&mut self, now: UnixMillis) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        let logged = self.log.as_mut().map_or(Ok(()), |log| log.tick(now));
        let joined = self.feedback.as_mut().map_or(Ok(()), |feedback| feedback.tick(now));
        let done = logged.and(joined);
        if done.is_ok() {
            self.failing = false;
        }
        self.note(done);
    }

    /// What there is to say. Rates and funnels of a large store take time: they are made anew when it does not matter.
    pub(super) fn report(&mut self, now: UnixMillis) -> QualitySection {
        let begun = Instant::now();
        if begun >= self.next_report {
            self.last.clock_synchronised = clock::is_synchronised();
            if let Some(feedback) = &self.feedback {
                let cube = feedback.cube();
                let funnels = self.settings.funnels.iter();
                self.last.funnels =
                    funnels.map(|funnel| funnel.evaluate(&cube, now, self.last.clock_synchronised)).collect();
                self.last.rates = Some(feedback.summary_of(&cube, now, self.settings.window));
            }
            self.next_report = Instant::now() + begun.elapsed() * REPORT_SHARE;
        }
        self.last.labels = self.labels;
        self.last.prediction_log = self.log.as_ref().map(Writer::stats);
        self.last.captured_images = self.capture.as_ref().map(Capture::stats);
        self.last.feedback_store = self.feedback.as_ref().map(Feedback::stats);
        self.last.clone()
    }

    /// Makes everything durable.
    pub(super) fn close(&mut self) {
        let logged = self.log.take().map_or(Ok(()), Writer::close);
        let joined = self.feedback.take().map_or(Ok(()), Feedback::close);
        self.note(logged.and(joined));
    }

    fn note<E: std::fmt::Display>(&mut self, done: Result<(), E>) {
        if let Err(error) = done
            && !std::mem::replace(&mut self.failing, true)
        {
            tracing::warn!(%error, "predictions or labels can't be kept; serving goes on, what is lost is counted");
        }
    }
}
