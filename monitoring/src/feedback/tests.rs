mod joining;
mod properties;
mod rates;
mod settling;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use takt_artifact::VersionDigest;
use takt_artifact::decision::Verdict::{self, Defect, Good, Uncertain};
use takt_stats::proportion::{Rate, upper_bound};
use tempfile::TempDir;

use super::record::{Record, Records};
use super::*;
use crate::events::{Arm, Label, LabelVerdict, Outcome, PredictionId, Schema, Subject, UnixMillis};
use crate::log::{Codec, Limits};
use crate::sample::{START, after, any_outcome, name, outcome};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &Path, config: Config) -> Feedback {
    let (store, recovery) = Feedback::open(dir, config, START).unwrap();
    assert_eq!(recovery, Recovery::default());
    store
}

fn fresh() -> (TempDir, Feedback) {
    let dir = folder();
    let store = open(dir.path(), Config::default());
    (dir, store)
}

fn predict(store: &mut Feedback, verdicts: &[Verdict]) {
    for (number, verdict) in (0..).zip(verdicts) {
        store.predicted(&outcome(number, *verdict)).unwrap();
    }
}

fn label(by: Subject, verdict: LabelVerdict, inspector: &str, at: u64) -> Label {
    Label { schema: Schema, by, verdict, inspector: name(inspector), at: UnixMillis(at) }
}

fn part(number: u64) -> Subject {
    Subject::Part { station: name("cam-1"), part_id: name(&format!("A-{number:05}")) }
}

fn say(store: &mut Feedback, by: Subject, verdict: LabelVerdict) {
    store.labelled(&label(by, verdict, "mk", START.0), START).unwrap();
}

fn all(store: &Feedback) -> Quality {
    let report = store.summary(after(3_600_000), WEEK);
    assert_eq!(report.models.len(), 1);
    report.models[0].quality.clone()
}

fn findings(unlabelled: u64, good: u64, defect: u64) -> Findings {
    Findings { unlabelled, good, defect, unresolved: 0 }
}

fn known(estimate: Estimate) -> (f64, f64, f64) {
    match estimate {
        Estimate::Known { rate, lower, upper } => (rate, lower, upper),
        Estimate::Unknown(why) => panic!("{why:?}"),
    }
}
