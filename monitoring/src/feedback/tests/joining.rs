//! Which label finds which prediction, and which of them counts.

use super::*;

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
