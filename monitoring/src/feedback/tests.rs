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

#[test]
fn a_flagged_part_that_was_good_is_a_false_reject_with_an_exact_bound() {
    let (_dir, mut store) = fresh();
    let mut verdicts = vec![Good; 2000];
    verdicts[..3].fill(Defect);
    predict(&mut store, &verdicts);
    say(&mut store, part(0), LabelVerdict::Good);
    say(&mut store, part(1), LabelVerdict::Defect);
    say(&mut store, part(2), LabelVerdict::Defect);
    let quality = all(&store);
    assert_eq!((quality.counts.passed, quality.counts.flagged), (findings(1997, 0, 0), findings(0, 1, 2)));
    let (rate, _, upper) = known(quality.false_rejects);
    assert_eq!((rate, upper), (1.0 / 2000.0, upper_bound(Rate::new(1, 2000).unwrap(), 0.95)));
    assert_eq!(quality.standing, Standing::Within);
    assert_eq!(known(quality.false_rejects_of_flagged).0, 1.0 / 3.0);
}

#[test]
fn findings_that_are_late_widen_the_bound() {
    let (_dir, mut store) = fresh();
    let mut verdicts = vec![Good; 2000];
    verdicts[..10].fill(Defect);
    predict(&mut store, &verdicts);
    assert_eq!(all(&store).false_rejects, Estimate::Unknown(Unknown::NoLabels));
    assert_eq!(all(&store).standing, Standing::Undetermined);
    for number in 0..5 {
        say(&mut store, part(number), if number == 0 { LabelVerdict::Good } else { LabelVerdict::Defect });
    }
    let (rate, lower, upper) = known(all(&store).false_rejects);
    assert!((rate - 0.001).abs() < 1e-12, "a fifth of ten in two thousand: {rate}");
    assert!(lower < rate && upper > upper_bound(Rate::new(2, 2000).unwrap(), 0.95), "{lower} {upper}");
}

#[test]
fn escapes_are_unknown_unless_passed_parts_are_inspected_at_random() {
    let verdicts = vec![Good; 200];
    for (declared, labelled, expected) in [
        (None, 50, Some(Unknown::NoAudit)),
        (Some(0.1), 9, Some(Unknown::AuditTooSmall { declared: 0.1, found: 0.045 })),
        (Some(0.1), 20, None),
    ] {
        let dir = folder();
        let mut store = open(dir.path(), Config { audit_share: declared, ..Config::default() });
        predict(&mut store, &verdicts);
        for number in 0..labelled {
            say(&mut store, part(number), if number == 0 { LabelVerdict::Defect } else { LabelVerdict::Good });
        }
        let quality = all(&store);
        match expected {
            Some(why) => {
                assert_eq!((quality.escapes, quality.accuracy), (Estimate::Unknown(why), Estimate::Unknown(why)));
            }
            None => {
                let (rate, _, upper) = known(quality.escapes);
                assert_eq!((rate, upper), (0.05, upper_bound(Rate::new(1, 20).unwrap(), 0.95)));
                assert_eq!(known(quality.accuracy).0, 0.95);
            }
        }
    }
}

#[test]
fn what_an_audit_found_is_told_part_by_part() {
    let dir = folder();
    let mut store = open(dir.path(), Config { audit_share: Some(0.1), ..Config::default() });
    predict(&mut store, &[Good, Defect, Good, Good]);
    let found = |store: &Feedback, number| {
        store.audited(&part(number)).iter().map(|audited| (audited.arm, audited.escaped)).collect::<Vec<_>>()
    };
    assert_eq!(found(&store, 0), [], "nobody has looked");
    for (number, verdict) in [(0, LabelVerdict::Defect), (1, LabelVerdict::Defect), (2, LabelVerdict::Good)] {
        say(&mut store, part(number), verdict);
    }
    let arm = outcome(0, Good).arm;
    assert_eq!(found(&store, 0), [(arm, true)]);
    assert_eq!(found(&store, 1), [], "it was not let through");
    assert_eq!(found(&store, 2), [(arm, false)]);

    let (_dir, mut store) = fresh();
    predict(&mut store, &[Good]);
    say(&mut store, part(0), LabelVerdict::Defect);
    assert_eq!(found(&store, 0), [], "without an audit it was not chosen at random");
}

#[test]
fn views_of_a_part_are_one_unit_and_any_of_them_may_flag_it() {
    let (_dir, mut store) = fresh();
    for (view, verdict) in (0..).zip([Good, Defect, Good]) {
        store.predicted(&Outcome { part_id: Some(name("A")), ..outcome(view, verdict) }).unwrap();
    }
    let subject = Subject::Part { station: name("cam-1"), part_id: name("A") };
    say(&mut store, subject, LabelVerdict::Defect);
    let quality = all(&store);
    assert_eq!((quality.counts.flagged, quality.counts.passed), (findings(0, 0, 1), findings(0, 0, 0)));
}

#[test]
fn a_part_is_good_when_all_its_views_are_and_defective_when_one_is() {
    let views = || (0..3).map(|view| Outcome { part_id: Some(name("A")), ..outcome(view, Good) });
    let of_view = |view: usize| Subject::Prediction(views().nth(view).unwrap().prediction_id);
    for (verdicts, expected) in [
        (vec![LabelVerdict::Good], findings(1, 0, 0)),
        (vec![LabelVerdict::Good, LabelVerdict::Good, LabelVerdict::Good], findings(0, 1, 0)),
        (vec![LabelVerdict::Defect], findings(0, 0, 1)),
    ] {
        let (_dir, mut store) = fresh();
        views().for_each(|view| store.predicted(&view).unwrap());
        for (view, verdict) in verdicts.into_iter().enumerate() {
            say(&mut store, of_view(view), verdict);
        }
        assert_eq!(all(&store).counts.passed, expected);
    }
}

#[test]
fn a_part_that_comes_again_later_is_another_unit() {
    let (_dir, mut store) = fresh();
    for number in [0, 1, 601, 602] {
        store.predicted(&Outcome { part_id: Some(name("A")), ..outcome(number, Good) }).unwrap();
    }
    assert_eq!(all(&store).counts.inspected(), 2);
}

#[test]
fn labels_find_predictions_by_id_by_part_and_by_time() {
    let span = |from, until| Subject::Span { station: name("cam-1"), from: after(from), until: after(until) };
    for (subject, labelled) in [
        (Subject::Prediction(outcome(1, Good).prediction_id), 1),
        (part(1), 1),
        (span(1000, 3000), 2),
        (Subject::Part { station: name("cam-2"), part_id: name("A-00001") }, 0),
        (span(4000, 5000), 0),
        (Subject::Prediction(PredictionId::from_parts(START, 99)), 0),
    ] {
        let (_dir, mut store) = fresh();
        say(&mut store, subject.clone(), LabelVerdict::Good);
        predict(&mut store, &[Good; 4]);
        assert_eq!(all(&store).counts.passed, findings(4 - labelled, labelled, 0), "{subject:?}, before them");
        let (_dir, mut store) = fresh();
        predict(&mut store, &[Good; 4]);
        say(&mut store, subject.clone(), LabelVerdict::Good);
        assert_eq!(all(&store).counts.passed, findings(4 - labelled, labelled, 0), "{subject:?}, after them");
    }
}

#[test]
fn the_newest_word_of_an_inspector_counts_whenever_it_comes() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Defect]);
    let said = |verdict, at| label(part(0), verdict, "mk", at);
    let mut take = |label: &Label| store.labelled(label, START).unwrap();
    assert_eq!(take(&said(LabelVerdict::Defect, 20)), Received::New);
    assert_eq!(take(&said(LabelVerdict::Defect, 20)), Received::Known);
    assert_eq!(take(&said(LabelVerdict::Good, 10)), Received::Known);
    assert_eq!(take(&said(LabelVerdict::Good, 30)), Received::Revised);
    assert_eq!(take(&said(LabelVerdict::Defect, 30)), Received::Revised, "at the same time the defect wins");
    assert_eq!(take(&said(LabelVerdict::Good, 30)), Received::Known);
    assert_eq!(all(&store).counts.flagged, findings(0, 0, 1));
    assert_eq!(store.stats().labels, 1);
}

#[test]
fn a_re_inspection_overrules_and_the_contradiction_shows() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Defect, Defect]);
    store.labelled(&label(part(0), LabelVerdict::Defect, "mk", 10), START).unwrap();
    assert_eq!(all(&store).counts.contradicted, 0);
    store.labelled(&label(part(0), LabelVerdict::Good, "lead", 20), START).unwrap();
    let counts = all(&store).counts;
    assert_eq!((counts.flagged, counts.contradicted), (findings(1, 1, 0), 1));
}

#[test]
fn the_finding_about_a_part_outweighs_the_release_of_its_lot() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Good, Good, Good]);
    store.labelled(&label(part(1), LabelVerdict::Defect, "mk", 10), START).unwrap();
    let lot = Subject::Span { station: name("cam-1"), from: START, until: after(60_000) };
    store.labelled(&label(lot, LabelVerdict::Good, "release", 20), START).unwrap();
    assert_eq!(all(&store).counts.passed, findings(0, 2, 1));
}

#[test]
fn a_class_is_good_or_not_by_the_version_that_predicted() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Defect, Defect, Defect]);
    for (number, class) in [(0, "ok"), (1, "scratch"), (2, "rust")] {
        say(&mut store, part(number), LabelVerdict::Class(name(class)));
    }
    assert_eq!(all(&store).counts.flagged, Findings { unresolved: 3, ..findings(0, 0, 0) });
    let classes = [("ok".to_owned(), true), ("scratch".to_owned(), false)];
    store.declare(VersionDigest::of_manifest(b"manifest"), classes).unwrap();
    assert_eq!(all(&store).counts.flagged, Findings { unresolved: 1, ..findings(0, 1, 1) });
}

#[test]
fn the_predictions_that_a_label_makes_false_rejects_are_named() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Defect, Good, Defect, Uncertain, Defect]);
    let lot = Subject::Span { station: name("cam-1"), from: START, until: after(4000) };
    say(&mut store, part(2), LabelVerdict::Defect);
    say(&mut store, lot.clone(), LabelVerdict::Good);
    assert_eq!(store.false_rejects(&lot), [outcome(0, Defect).prediction_id]);
    assert_eq!(store.false_rejects(&part(0)), [outcome(0, Defect).prediction_id]);
    assert_eq!(store.false_rejects(&part(2)), []);
}

#[test]
fn a_shadow_is_judged_by_itself_and_not_in_what_clients_saw() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Good]);
    let version_digest = VersionDigest::of_manifest(b"candidate");
    let shadow = Outcome { arm: Arm::Shadow, version_digest, ..outcome(0, Defect) };
    store.predicted(&shadow).unwrap();
    say(&mut store, part(0), LabelVerdict::Good);
    let report = store.summary(after(1), WEEK);
    let model = &report.models[0];
    assert_eq!((model.quality.counts.inspected(), model.quality.counts.flagged.good), (1, 0));
    let shadow = model.versions.iter().find(|version| version.arm == Arm::Shadow).unwrap();
    assert_eq!(shadow.quality.counts.flagged, findings(0, 1, 0));
}

#[test]
fn classes_and_stations_are_told_apart() {
    let (_dir, mut store) = fresh();
    predict(&mut store, &[Good, Defect, Uncertain]);
    store.predicted(&Outcome { station: Some(name("cam-2")), ..outcome(3, Defect) }).unwrap();
    let report = store.summary(after(1), WEEK);
    let counts: Vec<_> = report.models[0].stations.iter().map(|(n, q)| (n.as_str(), q.counts.inspected())).collect();
    assert_eq!(counts, [("cam-1", 3), ("cam-2", 1)]);
    let counts: Vec<_> = report.models[0].classes.iter().map(|(n, q)| (n.as_str(), q.counts.inspected())).collect();
    assert_eq!(counts, [("dent", 1), ("ok", 1), ("scratch", 2)]);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<QualityReport>(&json).unwrap(), report);
}

#[test]
fn stations_beyond_the_bound_are_other_and_their_labels_still_find_them() {
    let dir = folder();
    let mut store = open(dir.path(), Config { max_names: 3, ..Config::default() });
    for number in 0..10 {
        let station = Some(name(&format!("cam-{number}")));
        store.predicted(&Outcome { station, ..outcome(number, Good) }).unwrap();
    }
    let subject = Subject::Part { station: name("cam-9"), part_id: name("A-00009") };
    say(&mut store, subject, LabelVerdict::Defect);
    let report = store.summary(after(1), WEEK);
    let other = &report.models[0].stations[&name(OTHER)];
    assert_eq!(report.models[0].stations.len(), 4);
    assert_eq!(other.counts.passed, findings(6, 0, 1));
}

#[test]
fn the_window_is_in_whole_hours_with_the_current_one() {
    let (_dir, mut store) = fresh();
    // START is at 40 minutes past the hour: 1,200 seconds are left of it.
    predict(&mut store, &[Good; 1300]);
    let inspected = |window| {
        let report = store.summary(after(1_300_000), Duration::from_secs(window));
        report.models[0].quality.counts.inspected()
    };
    assert_eq!((inspected(1), inspected(3600), inspected(3601)), (100, 100, 1300));
}

#[test]
fn what_was_said_survives_a_restart() {
    let (dir, mut store) = fresh();
    predict(&mut store, &[Good, Defect, Uncertain, Defect]);
    store.declare(VersionDigest::of_manifest(b"manifest"), [("ok".to_owned(), true)]).unwrap();
    say(&mut store, part(1), LabelVerdict::Class(name("ok")));
    say(&mut store, part(3), LabelVerdict::Defect);
    let before = store.summary(after(1), WEEK);
    drop(store);
    let mut store = open(dir.path(), Config::default());
    assert_eq!(store.summary(after(1), WEEK), before);
    say(&mut store, part(2), LabelVerdict::Good);
    store.close().unwrap();
    assert_eq!(all(&open(dir.path(), Config::default())).counts.uncertain, findings(0, 1, 0));
}

/// Small enough that everything is settled and removed all the time.
fn tiny() -> Config {
    let store = Limits { segment_bytes: 4 << 10, segment_age_secs: 60, total_bytes: 16 << 10, max_age_days: 1 };
    Config { store, max_predictions: 100, audit_share: Some(0.5), part_span_secs: 5, ..Config::default() }
}

/// Two views of each part, five seconds apart, some wrong, all but the youngest labelled, with a tick a second.
fn long_run(store: &mut Feedback, seconds: std::ops::Range<u64>) {
    for second in seconds {
        for (number, view) in [(second, 0_u128), (second.saturating_sub(5), 1)] {
            let verdict = if number % 10 == 0 { Defect } else { Good };
            let id = PredictionId::from_parts(after(second * 1000), view);
            let outcome = Outcome { prediction_id: id, routed_at: after(second * 1000), ..outcome(number, verdict) };
            store.predicted(&outcome).unwrap();
        }
        let verdict = if second % 3 == 0 { LabelVerdict::Defect } else { LabelVerdict::Good };
        store.labelled(&label(part(second), verdict, "mk", second), after(second * 1000)).unwrap();
        store.tick(after(second * 1000)).unwrap();
    }
}

#[test]
fn a_store_that_settles_counts_as_one_that_keeps_everything() {
    let (dir, roomy) = (folder(), folder());
    let mut small = open(dir.path(), tiny());
    let mut large = open(roomy.path(), Config { store: Config::default().store, max_predictions: 100_000, ..tiny() });
    long_run(&mut small, 0..1000);
    long_run(&mut large, 0..1000);
    let now = after(1_000_000);
    assert_eq!(small.summary(now, WEEK), large.summary(now, WEEK));
    let stats = small.stats();
    assert!(stats.predictions <= 110 && stats.segments.bytes <= 16 << 10 && stats.segments.removed > 10, "{stats:?}");
    drop(small);
    let mut small = open(dir.path(), tiny());
    assert_eq!(small.summary(now, WEEK), large.summary(now, WEEK), "after a restart");
    long_run(&mut small, 1000..1500);
    long_run(&mut large, 1000..1500);
    assert_eq!(small.summary(after(1_500_000), WEEK), large.summary(after(1_500_000), WEEK));
}

#[test]
fn a_process_that_dies_while_it_settles_counts_nothing_twice() {
    let (dir, copy) = (folder(), folder());
    let mut store = open(dir.path(), tiny());
    long_run(&mut store, 0..300);
    // All segments ever written: those removed are kept aside, as if the process had died before it removed them.
    for second in 300..400 {
        long_run(&mut store, second..second + 1);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "seg") {
                fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let before = store.summary(after(400_000), WEEK);
    store.close().unwrap();
    for entry in fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(open(dir.path(), tiny()).summary(after(400_000), WEEK), before);
}

#[test]
fn predictions_older_than_labels_may_be_are_settled() {
    let dir = folder();
    let mut store = open(dir.path(), Config { store: tiny().store, ..Config::default() });
    predict(&mut store, &[Good, Defect]);
    store.tick(after(25 * 3_600_000)).unwrap();
    assert_eq!(store.stats().predictions, 2);
    store.tick(after(25 * 3_600_000 + 1001)).unwrap();
    assert_eq!(store.stats().predictions, 0);
    say(&mut store, part(1), LabelVerdict::Good);
    let report = store.summary(after(25 * 3_600_000), WEEK);
    assert_eq!(report.models[0].quality.counts.flagged, findings(1, 0, 0), "too late");
}

#[test]
fn labels_that_find_nothing_are_forgotten_when_their_segment_goes() {
    let dir = folder();
    let mut store = open(dir.path(), tiny());
    say(&mut store, Subject::Part { station: name("cam-7"), part_id: name("never seen") }, LabelVerdict::Good);
    long_run(&mut store, 0..500);
    assert!(store.stats().labels < 300, "those whose parts are settled are gone: {:?}", store.stats());
    store.tick(after(26 * 3_600_000)).unwrap();
    long_run(&mut store, 26 * 3600..26 * 3600 + 300);
    let (station, part_id) = (Some(name("cam-7")), Some(name("never seen")));
    store.predicted(&Outcome { station, part_id, ..outcome(26 * 3600 + 300, Good) }).unwrap();
    let report = store.summary(after(26 * 3_600_000 + 300_000), WEEK);
    assert_eq!(report.models[0].stations[&name("cam-7")].counts.passed, findings(1, 0, 0));
}

#[test]
fn labels_are_bounded_and_the_first_received_go_first() {
    let dir = folder();
    let mut store = open(dir.path(), Config { max_labels: 1000, ..Config::default() });
    for number in 0..2000 {
        store.labelled(&label(part(number), LabelVerdict::Good, "mk", 1), after(number)).unwrap();
    }
    assert!(store.stats().labels <= 1000 && store.stats().forgotten_labels >= 1000);
    store.predicted(&outcome(0, Good)).unwrap();
    store.predicted(&outcome(1999, Good)).unwrap();
    assert_eq!(all(&store).counts.passed, findings(1, 1, 0));
}

#[test]
fn settled_counts_that_cannot_be_read_are_set_aside_and_said_to_be_lost() {
    let dir = folder();
    fs::write(dir.path().join("settled.json"), "{\"schema\": 1, \"hours\": 3}").unwrap();
    let (store, recovery) = Feedback::open(dir.path(), Config::default(), START).unwrap();
    assert!(recovery.settled_lost && dir.path().join("settled.corrupt.json").exists());
    assert_eq!(store.summary(START, WEEK).models, []);
}

#[test]
fn a_disk_that_fails_is_told_and_the_join_goes_on() {
    let (dir, mut store) = fresh();
    fs::remove_dir(dir.path()).unwrap();
    assert_eq!(store.predicted(&outcome(0, Defect)).unwrap_err().kind(), "io");
    assert_eq!(store.labelled(&label(part(0), LabelVerdict::Good, "mk", 1), START).unwrap_err().kind(), "paused");
    assert_eq!(all(&store).counts.flagged, findings(0, 1, 0));

    // Sent again it is tried again; once there is a disk it is on it, and then it is known.
    let again = label(part(0), LabelVerdict::Good, "mk", 1);
    assert_eq!(store.labelled(&again, START).unwrap_err().kind(), "paused");
    fs::create_dir(dir.path()).unwrap();
    store.tick(after(60_000)).unwrap();
    let records = |store: &Feedback| store.stats().segments.records - store.stats().segments.lost;
    assert_eq!(records(&store), 0);
    assert_eq!((store.labelled(&again, START).unwrap(), records(&store)), (Received::Known, 1));
    assert_eq!((store.labelled(&again, START).unwrap(), records(&store)), (Received::Known, 1));
    drop(store);
    assert_eq!(open(dir.path(), Config::default()).stats().labels, 1);
}

#[test]
fn settings_without_sense_are_refused_all_at_once() {
    assert_eq!(Config::default().faults(), []);
    let config = Config {
        store: Limits { max_age_days: 0, ..Limits::default() },
        max_predictions: 1,
        history_days: 0,
        part_span_secs: 0,
        audit_share: Some(2.0),
        confidence: f64::NAN,
        ..Config::default()
    };
    let paths: Vec<_> = config.faults().into_iter().map(|fault| fault.path).collect();
    let expected =
        ["store.max_age_days", "max_predictions", "history_days", "part_span_secs", "audit_share", "confidence"];
    assert_eq!(paths, expected);
}

#[derive(Debug, Clone)]
enum Event {
    Predicted(Box<Outcome>),
    Labelled(Label),
}

fn any_event() -> impl Strategy<Value = Event> {
    let verdict = || prop::sample::select(vec![Good, Defect, Uncertain]);
    let predicted = (0_u64..12, verdict()).prop_map(|(number, verdict)| {
        let part_id = (number % 5 != 0).then(|| name(&format!("A-{:05}", number % 4)));
        Event::Predicted(Box::new(Outcome { part_id, ..outcome(number, verdict) }))
    });
    let subject = prop_oneof![
        (0_u64..12).prop_map(|number| Subject::Prediction(outcome(number, Good).prediction_id)),
        (0_u64..4).prop_map(part),
        (0_u64..12, 1_u64..6).prop_map(|(from, length)| Subject::Span {
            station: name("cam-1"),
            from: after(from * 1000),
            until: after((from + length) * 1000),
        }),
    ];
    let said = prop::sample::select(vec![
        LabelVerdict::Good,
        LabelVerdict::Defect,
        LabelVerdict::Class(name("ok")),
        LabelVerdict::Class(name("dent")),
    ]);
    let labelled = (subject, said, "[ab]", 0_u64..3)
        .prop_map(|(by, verdict, inspector, at)| Event::Labelled(label(by, verdict, &inspector, at)));
    prop_oneof![predicted, labelled]
}

fn counts_after(events: &[Event]) -> Option<Counts> {
    let (_dir, mut store) = fresh();
    store.declare(VersionDigest::of_manifest(b"manifest"), [("ok".to_owned(), true)]).unwrap();
    for event in events {
        match event {
            Event::Predicted(outcome) => store.predicted(outcome).unwrap(),
            Event::Labelled(label) => drop(store.labelled(label, START).unwrap()),
        }
    }
    Some(store.summary(after(1), WEEK).models.first()?.quality.counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_order_of_labels_and_no_repetition_shows(
        events in prop::collection::vec(any_event(), 1..30),
        shuffled in any::<prop::sample::Index>(),
    ) {
        // One prediction has one outcome.
        let mut events = events;
        let mut seen = std::collections::HashSet::new();
        events.retain(|event| match event {
            Event::Predicted(outcome) => seen.insert(outcome.prediction_id),
            Event::Labelled(_) => true,
        });
        let expected = counts_after(&events);
        let mut others = events.clone();
        others.rotate_left(shuffled.index(events.len()));
        others.reverse();
        others.extend(events.iter().filter(|event| matches!(event, Event::Labelled(_))).cloned());
        prop_assert_eq!(counts_after(&others), expected);
    }

    #[test]
    fn any_prediction_survives_its_record(outcome in any_outcome(), ordinal in any::<u64>()) {
        let Some(predicted) = super::record::Predicted::of(&outcome, ordinal) else { return Ok(()) };
        let record = Record::Predicted(predicted);
        let (mut payload, mut codec) = (Vec::new(), Records::default());
        codec.encode(&record, &mut payload).unwrap();
        prop_assert_eq!(Records::default().decode(&payload).unwrap(), record);
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Records::default().decode(&payload);
    }
}
