//! What is counted and how sure it is.

use super::*;

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
