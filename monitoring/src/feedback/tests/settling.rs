//! What is on disk: restarts, settled counts, bounds, damage.

use super::*;

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
