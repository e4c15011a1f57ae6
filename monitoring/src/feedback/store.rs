//! The feedback store: predictions and labels in memory, what made them on disk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use takt_artifact::VersionDigest;
use takt_artifact::decision::Verdict;

use super::Config;
use super::cells::{Cell, Cells, Counts, Cube, Hours, hour};
use super::labels::{Classes, Kept, Labels, Received, addresses};
use super::record::{Predicted, Record, Records};
use super::report::{self, QualityReport};
use super::settled::Settled;
use super::units::{Judged, Prediction, Truth, Units, part_key};
use crate::events::{Arm, Label, Name, Outcome, PredictionId, Subject, UnixMillis};
use crate::log::{self, LogError, Segments, Skipped};

/// Joins labels with predictions. Belongs to one thread.
///
/// An error of a method that adds something says that it will not outlive the process; it counts all the same.
#[derive(Debug)]
pub struct Feedback {
    pub(super) dir: PathBuf,
    pub(super) config: Config,
    pub(super) segments: Segments<Records>,
    /// Segments that hold anything, oldest first.
    pub(super) extents: VecDeque<Extent>,
    /// In the order of their ordinals.
    pub(super) predictions: VecDeque<Prediction>,
    cells: Cells,
    keys: RandomState,
    pub(super) labels: Labels,
    pub(super) classes: Classes,
    pub(super) settled: Settled,
    pub(super) next: u64,
    pub(super) now: UnixMillis,
    pub(super) forgotten_labels: u64,
    /// Labels that count and are not on disk: sent again, they are written.
    unwritten: Vec<Label>,
}

/// A part that was let through and inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Which model let it through.
    pub model: Name,
    /// Which of its versions.
    pub version: VersionDigest,
    /// For whom.
    pub arm: Arm,
    /// When its first view was.
    pub routed_at: UnixMillis,
    /// It was defective.
    pub escaped: bool,
}

/// Which predictions a segment holds: ordinals in `from <= ordinal < until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) segment: u64,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What could not be read when the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Damaged places in segments.
    pub skipped: Vec<Skipped>,
    /// The counts of settled predictions could not be understood and were moved aside.
    pub settled_lost: bool,
}

/// How full the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Predictions that a label can still reach.
    pub predictions: usize,
    /// Labels at hand.
    pub labels: usize,
    /// Labels that went because there were too many, or because nothing they are about is or came.
    pub forgotten_labels: u64,
    /// Hours with settled counts.
    pub settled_hours: usize,
    /// The segments.
    pub segments: log::Stats,
}

/// Labels that are remembered as not written.
const MOST_UNWRITTEN: usize = 10_000;

/// Versions whose classes are remembered.
const MOST_VERSIONS: usize = 64;

impl Feedback {
    /// Opens or makes the store in `dir` and reads what is there.
    ///
    /// # Errors
    /// The directory cannot be made, listed or changed. Damage is no error: see [`Recovery`].
    pub fn open(dir: &Path, config: Config, now: UnixMillis) -> Result<(Self, Recovery), LogError> {
        let segments = Segments::open(dir, config.store, now)?;
        let mut cells = Cells::default();
        let (settled, classes, settled_lost) = Settled::load(dir, |cell| cells.admit(cell, config.max_names))?;
        let mut store = Self {
            dir: dir.to_owned(),
            config,
            segments,
            extents: VecDeque::new(),
            predictions: VecDeque::new(),
            cells,
            keys: RandomState::new(),
            labels: Labels::default(),
            classes,
            next: settled.through,
            settled,
            now,
            forgotten_labels: 0,
            unwritten: Vec::new(),
        };
        let skipped = store.replay()?;
        Ok((store, Recovery { skipped, settled_lost }))
    }

    /// Takes an outcome to be joined. One without a decision is not of interest here.
    ///
    /// # Errors
    /// It is not on disk.
    pub fn predicted(&mut self, outcome: &Outcome) -> Result<(), LogError> {
        let Some(predicted) = Predicted::of(outcome, self.next) else {
            return Ok(());
        };
        self.next += 1;
        let record = Record::Predicted(predicted);
        let stored = self.write(&record);
        if let Record::Predicted(predicted) = record {
            self.admit(predicted);
        }
        // Ticks settle; this is for when they do not come.
        if self.predictions.len() > self.config.max_predictions.saturating_mul(2) {
            self.settle_excess();
        }
        stored
    }

    /// Takes a label, received `now`.
    ///
    /// # Errors
    /// It is not on disk. Sending it again is right, and counts it once.
    pub fn labelled(&mut self, label: &Label, now: UnixMillis) -> Result<Received, LogError> {
        let kept = Kept { received: now, segment: self.segments.current() };
        let received = self.labels.add(label.clone(), kept);
        self.forgotten_labels += self.labels.bound(self.config.max_labels) as u64;
        let waits = self.unwritten.iter().position(|other| other == label);
        if received != Received::Known || waits.is_some() {
            if let Err(error) = self.write(&Record::Labelled { label: label.clone(), received: now }) {
                if waits.is_none() && self.unwritten.len() < MOST_UNWRITTEN {
                    self.unwritten.push(label.clone());
                }
                return Err(error);
            }
            waits.map(|at| self.unwritten.swap_remove(at));
        }
        Ok(received)
    }

    /// The predictions that a label is about, that were flagged, and that are known to have been good: what to capture as
    /// false rejects.
    #[must_use]
    pub fn false_rejects(&self, about: &Subject) -> Vec<PredictionId> {
        let flagged = self.predictions.iter().filter(|prediction| prediction.verdict == Verdict::Defect);
        let good = |prediction: &&Prediction| self.labels.truth(prediction, &self.classes).0 == Truth::Good;
        flagged.filter(|of| addresses(about, of)).filter(good).map(|prediction| prediction.id).collect()
    }

    /// The parts that a label is about, that were passed, and of which it is known by now what they are; none where passed parts
    /// are not inspected at random: then what is known of them says nothing about the others.
    #[must_use]
    pub fn audited(&self, about: &Subject) -> Vec<Audited> {
        if self.config.audit_share.is_none() {
            return Vec::new();
        }
        let addressed = self.predictions.iter().filter(|prediction| addresses(about, prediction));
        let units = Units::of(addressed, self.config.part_span());
        let judged = units.iter().filter_map(|unit| unit.judge(&self.labels, &self.classes));
        let audited = |judged: Judged<'_>| {
            let escaped = match judged.truth {
                Truth::Good => false,
                Truth::Defect => true,
                Truth::Unlabelled | Truth::Unresolved => return None,
            };
            let Cell { model, version, arm, .. } = &**judged.cell;
            Some(Audited { model: model.clone(), version: *version, arm: *arm, routed_at: judged.at, escaped })
        };
        judged.filter(|judged| judged.verdict == Verdict::Good).filter_map(audited).collect()
    }

    /// Says which classes of a version mean that a part is good, as its decision does: all of its labels, `true` for
    /// those that are good. Without it labels that name a class cannot be resolved. Once a version is enough.
    ///
    /// # Errors
    /// It is not on disk.
    pub fn declare(
        &mut self,
        version: VersionDigest,
        classes: impl IntoIterator<Item = (String, bool)>,
    ) -> Result<(), LogError> {
        let classes: Vec<_> = classes.into_iter().collect();
        let known = classes.iter().cloned().collect();
        if self.classes.get(&version) == Some(&known) {
            return Ok(());
        }
        if self.classes.len() >= MOST_VERSIONS {
            let live: HashSet<_> = self.predictions.iter().map(|prediction| prediction.cell.version).collect();
            self.classes.retain(|version, _| live.contains(version));
        }
        self.classes.insert(version, known);
        self.write(&Record::Declared { version, classes })
    }

    /// To be called about once a second: writes what has gathered, settles what is too old or too much, removes segments
    /// that are not needed any more.
    ///
    /// # Errors
    /// The first thing that failed; the rest was done all the same.
    pub fn tick(&mut self, now: UnixMillis) -> Result<(), LogError> {
        self.now = now;
        let written = self.segments.tick(now);
        self.settle_excess();
        written.and(self.remove_settled())
    }

    /// Makes everything durable, at the end of the process.
    ///
    /// # Errors
    /// Something could not be.
    pub fn close(mut self) -> Result<(), LogError> {
        self.segments.seal()
    }

    /// All counts, with labels as far as they are known now. Goes through all predictions that wait for a label, so it is
    /// nothing to do per request.
    #[must_use]
    pub fn cube(&self) -> Cube<'_> {
        // A cell is in memory once: told apart by where it lies, it need not be hashed for each prediction.
        let mut tallies: HashMap<(u64, *const Cell), (&Arc<Cell>, Counts)> = HashMap::new();
        for unit in Units::of(self.predictions.iter(), self.config.part_span()).iter() {
            if let Some(judged) = unit.judge(&self.labels, &self.classes) {
                let key = (hour(judged.at), Arc::as_ptr(judged.cell));
                let (_, counts) = tallies.entry(key).or_insert((judged.cell, Counts::default()));
                counts.count(judged.verdict, judged.truth, judged.contradicted);
            }
        }
        let mut live = Hours::new();
        for ((hour, _), (cell, counts)) in tallies {
            live.entry(hour).or_default().entry(Arc::clone(cell)).or_default().add(&counts);
        }
        Cube { settled: &self.settled.hours, live }
    }

    /// Quality over the last `window`, in whole hours, the current one included.
    #[must_use]
    pub fn summary(&self, now: UnixMillis, window: Duration) -> QualityReport {
        self.summary_of(&self.cube(), now, window)
    }

    /// The same of counts that are at hand already.
    #[must_use]
    pub fn summary_of(&self, cube: &Cube<'_>, now: UnixMillis, window: Duration) -> QualityReport {
        report::report(cube, &self.config, now, window)
    }

    /// How full the store is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            predictions: self.predictions.len(),
            labels: self.labels.len(),
            forgotten_labels: self.forgotten_labels,
            settled_hours: self.settled.hours.len(),
            segments: self.segments.stats(),
        }
    }

    /// Reads all segments.
    fn replay(&mut self) -> Result<Vec<Skipped>, LogError> {
        let mut skipped = Vec::new();
        let mut records = log::Records::<Records>::open(&self.dir)?;
        while let Some(record) = records.next() {
            let segment = records.segment().unwrap_or_default();
            match record {
                Ok(Record::Predicted(predicted)) => {
                    let ordinal = predicted.ordinal;
                    self.next = self.next.max(ordinal.saturating_add(1));
                    self.extend(segment);
                    if !self.settled.has(ordinal) {
                        self.admit(predicted);
                    }
                }
                Ok(Record::Labelled { label, received }) => {
                    self.extend(segment);
                    self.labels.add(label, Kept { received, segment });
                }
                Ok(Record::Declared { version, classes }) => {
                    self.extend(segment);
                    self.classes.insert(version, classes.into_iter().collect());
                }
                Err(place) => skipped.push(place),
            }
        }
        self.forgotten_labels += self.labels.bound(self.config.max_labels) as u64;
        Ok(skipped)
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), LogError> {
        self.extend(self.segments.current());
        self.segments.append(record)
    }

    /// The segment holds something, written when `self.next` was as it is now.
    pub(super) fn extend(&mut self, segment: u64) {
        match self.extents.back_mut() {
            Some(extent) if extent.segment == segment => extent.until = self.next,
            last => {
                let from = last.map_or(self.settled.through, |extent| extent.until);
                self.extents.push_back(Extent { segment, from, until: self.next });
            }
        }
    }

    fn admit(&mut self, predicted: Predicted) {
        let part_key = part_key(&self.keys, &predicted);
        let Predicted { ordinal, id, routed_at, part, station, product, model, version, arm, verdict, class } =
            predicted;
        let shift = self.config.shifts.at(routed_at).cloned();
        let cell = Cell { model, version, arm, station: station.clone(), product, shift, class };
        let cell = self.cells.admit(cell, self.config.max_names);
        self.predictions.push_back(Prediction { ordinal, id, routed_at, station, part, part_key, verdict, cell });
    }
}
