//! The labels at hand, by what they address.

use std::collections::{HashMap, HashSet};

use takt_artifact::VersionDigest;

use super::units::{Prediction, Truth};
use crate::events::{Label, LabelVerdict, Name, PredictionId, Schema, Subject, UnixMillis};

/// What became of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The first of this inspector about this subject.
    New,
    /// It replaces an older one of this inspector about this subject.
    Revised,
    /// It was known already, or an inspector's newer one was. Nothing changed.
    Known,
}

/// What one inspector says of one subject.
#[derive(Debug, Clone)]
struct Finding {
    inspector: Name,
    verdict: LabelVerdict,
    at: UnixMillis,
    kept: Kept,
    /// Something it is about is settled.
    spent: bool,
}

/// When a label came, and in which segment it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) received: UnixMillis,
    pub(super) segment: u64,
}

#[derive(Debug, Default)]
pub(super) struct Labels {
    predictions: HashMap<PredictionId, Vec<Finding>>,
    /// By station, then part.
    parts: HashMap<Name, HashMap<Name, Vec<Finding>>>,
    /// By station, then from and until.
    spans: HashMap<Name, HashMap<(UnixMillis, UnixMillis), Vec<Finding>>>,
    count: usize,
}

/// Which classes of each version mean that a part is good.
pub(super) type Classes = HashMap<VersionDigest, HashMap<String, bool>>;

impl Finding {
    /// Newer wins; at the very same time the worse one does, so that the order of arrival does not matter.
    fn overrules(&self, other: &Self) -> bool {
        (self.at, severity(&self.verdict)) > (other.at, severity(&other.verdict))
    }
}

fn severity(verdict: &LabelVerdict) -> (u8, Option<&Name>) {
    match verdict {
        LabelVerdict::Good => (0, None),
        LabelVerdict::Class(class) => (1, Some(class)),
        LabelVerdict::Defect => (2, None),
    }
}

impl Labels {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, label: Label, kept: Kept) -> Received {
        let Label { schema: Schema, by, verdict, inspector, at } = label;
        let findings = match by {
            Subject::Prediction(id) => self.predictions.entry(id).or_default(),
            Subject::Part { station, part_id } => self.parts.entry(station).or_default().entry(part_id).or_default(),
            Subject::Span { station, from, until } => {
                self.spans.entry(station).or_default().entry((from, until)).or_default()
            }
        };
        let finding = Finding { inspector, verdict, at, kept, spent: false };
        match findings.iter_mut().find(|known| known.inspector == finding.inspector) {
            Some(known) if finding.overrules(known) => {
                *known = finding;
                Received::Revised
            }
            Some(_) => Received::Known,
            None => {
                findings.push(finding);
                self.count += 1;
                Received::New
            }
        }
    }

    /// What a prediction really was, and whether its labels contradict each other.
    pub(super) fn truth(&self, prediction: &Prediction, classes: &Classes) -> (Truth, bool) {
        let known = classes.get(&prediction.cell.version);
        let resolve = |finding: &Finding| match &finding.verdict {
            LabelVerdict::Good => Truth::Good,
            LabelVerdict::Defect => Truth::Defect,
            LabelVerdict::Class(class) => match known.and_then(|known| known.get(class.as_str())) {
                Some(true) => Truth::Good,
                Some(false) => Truth::Defect,
                None => Truth::Unresolved,
            },
        };
        let mut deciding: Option<(usize, &Finding)> = None;
        let (mut good, mut defect) = (false, false);
        self.each(prediction, |closeness, finding| {
            let truth = resolve(finding);
            good |= truth == Truth::Good;
            defect |= truth == Truth::Defect;
            let wins = deciding
                .is_none_or(|(other, decided)| closeness < other || closeness == other && finding.overrules(decided));
            if wins {
                deciding = Some((closeness, finding));
            }
        });
        (deciding.map_or(Truth::Unlabelled, |(_, finding)| resolve(finding)), good && defect)
    }

    /// Calls `with` for each finding about a prediction and how closely it is addressed, 0 the closest.
    fn each<'a>(&'a self, prediction: &Prediction, mut with: impl FnMut(usize, &'a Finding)) {
        for finding in self.predictions.get(&prediction.id).into_iter().flatten() {
            with(0, finding);
        }
        let Some(station) = &prediction.station else {
            return;
        };
        let of_part = prediction.part.as_ref().and_then(|part| self.parts.get(station)?.get(part));
        for finding in of_part.into_iter().flatten() {
            with(1, finding);
        }
        for ((from, until), findings) in self.spans.get(station).into_iter().flatten() {
            if (*from..*until).contains(&prediction.routed_at) {
                findings.iter().for_each(|finding| with(2, finding));
            }
        }
    }

    /// Forgets all labels for which `keep` says no.
    fn retain(&mut self, mut keep: impl FnMut(&Subject, &mut Finding) -> bool) {
        let mut count = 0;
        let mut retain = |subject: Subject, findings: &mut Vec<Finding>| {
            findings.retain_mut(|finding| keep(&subject, finding));
            count += findings.len();
            !findings.is_empty()
        };
        self.predictions.retain(|id, findings| retain(Subject::Prediction(*id), findings));
        self.parts.retain(|station, parts| {
            parts.retain(|part_id, findings| {
                retain(Subject::Part { station: station.clone(), part_id: part_id.clone() }, findings)
            });
            !parts.is_empty()
        });
        self.spans.retain(|station, spans| {
            spans.retain(|&(from, until), findings| {
                retain(Subject::Span { station: station.clone(), from, until }, findings)
            });
            !spans.is_empty()
        });
        self.count = count;
    }

    /// Drops the labels received longest ago until at most `most` are left. Returns how many went.
    pub(super) fn bound(&mut self, most: usize) -> usize {
        let before = self.count;
        if before <= most {
            return 0;
        }
        let mut received = Vec::with_capacity(before);
        self.retain(|_, finding| {
            received.push(finding.kept.received);
            true
        });
        // A tenth more than needed, so that this does not happen at each label.
        let go = (before - most + most / 10).min(before - 1);
        let (_, &mut oldest_kept, _) = received.select_nth_unstable(go);
        let mut excess = go;
        self.retain(|_, finding| {
            let stays = finding.kept.received > oldest_kept || excess == 0;
            excess -= usize::from(!stays);
            stays
        });
        before - self.count
    }

    /// Looks through the labels that lie in `segments`: forgets those that find nothing among `predictions` and have
    /// found something before or were received before `pending`, and returns the others. Also returns how many were forgotten.
    pub(super) fn leaving<'a>(
        &mut self,
        segments: &HashSet<u64>,
        predictions: impl Iterator<Item = &'a Prediction>,
        pending: UnixMillis,
    ) -> (Vec<(Label, Kept)>, usize) {
        let mut addressed = Addressed::default();
        predictions.for_each(|prediction| addressed.insert(prediction));
        let before = self.count;
        let mut leaving = Vec::new();
        self.retain(|subject, finding| {
            if !segments.contains(&finding.kept.segment) {
                return true;
            }
            let waits = !finding.spent && finding.kept.received >= pending;
            let wanted = waits || addressed.contains(subject);
            if wanted {
                leaving.push((label(subject, finding), finding.kept));
            }
            wanted
        });
        (leaving, before - self.count)
    }

    /// Notes that a prediction is settled.
    pub(super) fn spend(&mut self, prediction: &Prediction) {
        let of_prediction = self.predictions.get_mut(&prediction.id);
        of_prediction.into_iter().flatten().for_each(|finding| finding.spent = true);
        let Some(station) = &prediction.station else {
            return;
        };
        let of_part = prediction.part.as_ref().and_then(|part| self.parts.get_mut(station)?.get_mut(part));
        of_part.into_iter().flatten().for_each(|finding| finding.spent = true);
        for ((from, until), findings) in self.spans.get_mut(station).into_iter().flatten() {
            if (*from..*until).contains(&prediction.routed_at) {
                findings.iter_mut().for_each(|finding| finding.spent = true);
            }
        }
    }

    /// Notes that what lay in `segments` lies in segment `to` now.
    pub(super) fn moved(&mut self, segments: &HashSet<u64>, to: u64) {
        self.retain(|_, finding| {
            if segments.contains(&finding.kept.segment) {
                finding.kept.segment = to;
            }
            true
        });
    }
}

fn label(subject: &Subject, finding: &Finding) -> Label {
    let Finding { inspector, verdict, at, .. } = finding.clone();
    Label { schema: Schema, by: subject.clone(), verdict, inspector, at }
}

/// Whether a label about `subject` is about a prediction.
pub(super) fn addresses(subject: &Subject, prediction: &Prediction) -> bool {
    let at = |station: &Name| prediction.station.as_ref() == Some(station);
    match subject {
        Subject::Prediction(id) => prediction.id == *id,
        Subject::Part { station, part_id } => at(station) && prediction.part.as_ref() == Some(part_id),
        Subject::Span { station, from, until } => at(station) && (*from..*until).contains(&prediction.routed_at),
    }
}

/// What labels could be about.
#[derive(Debug, Default)]
struct Addressed {
    predictions: HashSet<PredictionId>,
    parts: HashMap<Name, HashSet<Name>>,
    /// First and last moment at each station.
    stations: HashMap<Name, (UnixMillis, UnixMillis)>,
}

impl Addressed {
    fn insert(&mut self, prediction: &Prediction) {
        self.predictions.insert(prediction.id);
        let Some(station) = &prediction.station else {
            return;
        };
        if let Some(part) = &prediction.part {
            self.parts.entry(station.clone()).or_default().insert(part.clone());
        }
        let at = prediction.routed_at;
        let (first, last) = self.stations.entry(station.clone()).or_insert((at, at));
        (*first, *last) = (at.min(*first), at.max(*last));
    }

    fn contains(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Prediction(id) => self.predictions.contains(id),
            Subject::Part { station, part_id } => self.parts.get(station).is_some_and(|parts| parts.contains(part_id)),
            Subject::Span { station, from, until } => {
                self.stations.get(station).is_some_and(|(first, last)| from <= last && first < until)
            }
        }
    }
}
