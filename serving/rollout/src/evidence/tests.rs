use takt_artifact::share::TrafficShare;

use super::*;
use crate::plan::{Drift, Latency, Metric, Slo, Unit};

fn percent(percent: u32) -> TrafficShare {
    TrafficShare::of_millionths(10_000 * percent)
}

fn tally(units: u64, bad: u64) -> Tally {
    Tally { units, bad }
}

fn report(plan: &Plan, evidence: &Evidence, gate: &GateName) -> GateReport {
    evidence.reports(plan, Against::Stable).into_iter().find(|report| report.gate == *gate).unwrap()
}

/// Evidence after these events.
fn after(plan: &Plan, events: &[Event]) -> Evidence {
    let mut evidence = Evidence::new(plan);
    events.iter().for_each(|event| evidence.take(plan, event, Salt::new(1)));
    evidence
}

fn served(stable: Tally, canary: Tally) -> Event {
    Event::Served(Exposure { rho: percent(20), stable, canary })
}

#[test]
fn a_gate_that_saw_nothing_is_undecided() {
    let mut plan = Plan::default();
    plan.gates.metrics = vec![metric()];
    for report in Evidence::new(&plan).reports(&plan, Against::Stable) {
        assert_eq!((report.verdict, report.in_step), (Verdict::Undecided, 0), "{}", report.gate);
    }
}

#[test]
fn versions_that_hardly_ever_fail_are_accepted_without_comparison() {
    let plan = Plan::default();
    let clean = after(&plan, &[served(tally(8_000, 0), tally(2_000, 0))]);
    assert_eq!(report(&plan, &clean, &GateName::Errors).verdict, Verdict::Accept);
    // Both equally bad: the comparison is content, the ceiling of 3 % is not.
    let bad: Vec<Event> = (0..40).map(|_| served(tally(800, 48), tally(200, 12))).collect();
    let both = report(&plan, &after(&plan, &bad), &GateName::Errors);
    assert_eq!(both.verdict, Verdict::Reject, "{both:?}");
}

#[test]
fn evidence_for_a_candidate_begins_anew_with_each_step_and_evidence_against_it_stays() {
    let plan = Plan::default();
    let mut evidence = after(&plan, &[served(tally(8_000, 3), tally(2_000, 1))]);
    let before = report(&plan, &evidence, &GateName::Errors);
    assert_eq!(before.verdict, Verdict::Accept);
    evidence.begin_step(&plan, Some(1));
    let begun = report(&plan, &evidence, &GateName::Errors);
    assert_eq!((begun.verdict, begun.in_step), (Verdict::Undecided, 0));
    assert_eq!((begun.against, begun.seen), (before.against, before.seen));
    assert!(begun.needed.iter().all(|(_, weighed)| weighed.ln_e.abs() < 1e-12));
}

#[test]
fn failures_at_full_share_are_compared_with_nothing_and_still_meet_the_ceiling() {
    let plan = Plan::default();
    let event = Event::Served(Exposure { rho: TrafficShare::ALL, stable: Tally::default(), canary: tally(500, 60) });
    let evidence = after(&plan, &[event]);
    assert_eq!(report(&plan, &evidence, &GateName::Errors).verdict, Verdict::Reject);
}

#[test]
fn runs_are_compared_at_equal_batch_by_what_really_ran() {
    let mut plan = Plan::default();
    plan.gates.latency = Some(Latency { negligible: None, ..Latency::default() });
    let runs = |batch, stable, canary| Event::Runs(Runs { batch, stable, canary });
    // The canary runs small batches only, and there as fast as stable.
    let same = [runs(1, tally(100, 1), tally(100, 1)), runs(8, tally(900, 90), Tally::default())];
    let events: Vec<Event> = same.iter().cycle().take(120).cloned().collect();
    let found = report(&plan, &after(&plan, &events), &GateName::Latency);
    assert_eq!(found.verdict, Verdict::Accept, "{found:?}");
    let slower: Vec<Event> = (0..30).map(|_| runs(1, tally(100, 1), tally(100, 4))).collect();
    assert_eq!(report(&plan, &after(&plan, &slower), &GateName::Latency).verdict, Verdict::Reject);
}

#[test]
fn late_answers_meet_their_objective() {
    let mut plan = Plan::default();
    let slo = Slo { within: std::time::Duration::from_millis(50), late: percent(1) };
    plan.gates.latency = Some(Latency { slo: Some(slo), ..Latency::default() });
    let late: Vec<Event> = (0..20).map(|_| Event::Answered(tally(100, 6))).collect();
    assert_eq!(report(&plan, &after(&plan, &late), &GateName::Latency).verdict, Verdict::Reject);
}

#[test]
fn each_direction_of_disagreement_has_its_own_denominator() {
    let plan = Plan::default();
    // 3 % defects of which half escape: 1.5 % of all parts, and half of the defects.
    let unit = |i: u32| {
        let stable = if i.is_multiple_of(33) { Called::Defect } else { Called::Good };
        let opposite = if i.is_multiple_of(66) { 1.0 } else { 0.0 };
        Event::Shadow(ShadowUnit { stable, opposite, other_class: 0.0 })
    };
    let events: Vec<Event> = (0..1_000).map(unit).collect();
    let found = report(&plan, &after(&plan, &events), &GateName::Disagreement);
    assert_eq!(found.verdict, Verdict::Reject, "{found:?}");
    assert!(found.note.unwrap().contains("escapes 51.61 % of 31"));
    let odd = Event::Shadow(ShadowUnit { stable: Called::Good, opposite: f64::NAN, other_class: 0.0 });
    assert_eq!(after(&plan, &[odd]).compared(), 0);
}

#[test]
fn disagreement_is_accepted_only_when_every_direction_is() {
    let plan = Plan::default();
    let good = Event::Shadow(ShadowUnit { stable: Called::Good, opposite: 0.0, other_class: 0.0 });
    let defect = Event::Shadow(ShadowUnit { stable: Called::Defect, opposite: 0.0, other_class: 0.0 });
    let mut events = vec![good; 2_000];
    assert_eq!(
        report(&plan, &after(&plan, &events), &GateName::Disagreement).verdict,
        Verdict::Undecided,
        "no defect was seen"
    );
    events.extend(vec![defect; 200]);
    assert_eq!(report(&plan, &after(&plan, &events), &GateName::Disagreement).verdict, Verdict::Accept);
}

#[test]
fn escapes_are_unknown_until_an_audit_looked() {
    let plan = Plan::default();
    assert_eq!(Evidence::new(&plan).escapes(), None);
    let audit = Event::Audited(Audit { rho: percent(20), stable: tally(200, 0), canary: Tally::default() });
    let evidence = after(&plan, &[audit]);
    let escapes = evidence.escapes().unwrap();
    assert_eq!(escapes.canary, None);
    // Nothing in 200: at most 1 - 0.05^(1/200).
    assert!((escapes.stable.unwrap().upper - (1.0 - 0.05_f64.powf(1.0 / 200.0))).abs() < 1e-9);
    assert!(report(&plan, &evidence, &GateName::Labels).note.unwrap().contains("candidate unknown"));
}

#[test]
fn labels_reject_a_candidate_that_is_wrong_where_both_disagree() {
    let plan = Plan::default();
    let pair = |candidate_wrong| Event::Labelled(LabelPair { candidate_wrong, inspected: percent(5) });
    assert_eq!(report(&plan, &after(&plan, &vec![pair(true); 20]), &GateName::Labels).verdict, Verdict::Reject);
    assert_eq!(report(&plan, &after(&plan, &vec![pair(false); 40]), &GateName::Labels).verdict, Verdict::Accept);
    let rare = Event::Labelled(LabelPair { candidate_wrong: true, inspected: percent(1) });
    let left_out = report(&plan, &after(&plan, &vec![rare; 20]), &GateName::Labels);
    assert_eq!((left_out.verdict, left_out.seen.canary.units), (Verdict::Undecided, 0));
    assert!(left_out.note.unwrap().contains("20 labels left out"));
}

#[test]
fn stations_are_judged_by_their_epochs() {
    let plan = Plan { unit: Unit::Station { epoch: Unit::LONGEST_EPOCH }, ..Plan::default() };
    let block = |i: u64, units, bad| StationBlock { station: format!("cam-{i}"), tally: tally(units, bad) };
    let epoch = |canary_bad| {
        let epoch = StationEpoch {
            drawn: Drawn::ByRank,
            canary: vec![block(0, 100, canary_bad)],
            stable: (1..12).map(|i| block(i, 100, i % 3)).collect(),
        };
        Event::Stations(epoch)
    };
    let worse = after(&plan, &vec![epoch(9); 8]);
    assert_eq!(report(&plan, &worse, &GateName::Errors).verdict, Verdict::Reject);
    // The same failures as units are no evidence under this routing.
    let units = after(&plan, &[served(tally(8_000, 10), tally(2_000, 30))]);
    let ln_e = report(&plan, &units, &GateName::Errors).against.unwrap().ln_e;
    assert!(ln_e < 1.0, "{ln_e}");
    let text = serde_json::to_string(&worse).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), worse);
}

fn metric() -> Metric {
    Metric {
        name: "p99".to_owned(),
        mode: Mode::Mandatory,
        query: "max(latency)".to_owned(),
        ceiling: 0.2,
        failures: 3,
        samples: 5,
    }
}

#[test]
fn a_query_needs_samples_in_a_row() {
    let mut plan = Plan::default();
    plan.gates.metrics = vec![metric()];
    let gate = GateName::Metric("p99".to_owned());
    let verdict = |values: &[f64]| {
        let samples: Vec<Event> =
            values.iter().map(|value| Event::Sample { metric: "p99".to_owned(), value: *value }).collect();
        report(&plan, &after(&plan, &samples), &gate).verdict
    };
    assert_eq!(verdict(&[0.1; 5]), Verdict::Accept);
    assert_eq!(verdict(&[0.1, 0.1, 0.1, f64::NAN, 0.1]), Verdict::Undecided, "no number is no sample");
    assert_eq!(verdict(&[0.3, 0.3, 0.1, 0.3, 0.3]), Verdict::Undecided);
    assert_eq!(verdict(&[0.1, 0.3, 0.3, f64::INFINITY]), Verdict::Reject);
}

#[test]
fn scores_of_the_same_frames_drift_or_do_not() {
    let mut plan = Plan::default();
    plan.gates.drift = Some(Drift { distance: 0.2, ..Drift::default() });
    let scores =
        |stable: [u64; 3], canary: [u64; 3]| Event::Scores { stable: stable.to_vec(), canary: canary.to_vec() };
    let verdict = |event: Event| report(&plan, &after(&plan, &vec![event; 20]), &GateName::Drift).verdict;
    assert_eq!(verdict(scores([100, 50, 50], [100, 50, 50])), Verdict::Accept);
    assert_eq!(verdict(scores([100, 50, 50], [10, 50, 140])), Verdict::Reject);
    assert_eq!(verdict(scores([1, 1, 1], [1, 1, 1])), Verdict::Undecided);
    let other_bins = Event::Scores { stable: vec![1; 4], canary: vec![1; 4] };
    let evidence = after(&plan, &[scores([1, 1, 1], [1, 1, 1]), other_bins]);
    assert_eq!(report(&plan, &evidence, &GateName::Drift).seen.canary.units, 3, "other bins are left out");
}

#[test]
fn a_replay_makes_the_same_random_choices() {
    let mut plan = Plan { unit: Unit::Station { epoch: Unit::LONGEST_EPOCH }, ..Plan::default() };
    plan.gates.errors = plan.gates.errors.map(|gate| crate::plan::Errors { tolerated: 1.5, ..gate });
    let block = |station: &str, bad| StationBlock { station: station.to_owned(), tally: tally(50, bad) };
    let epoch =
        StationEpoch { drawn: Drawn::Each(percent(30)), canary: vec![block("a", 9)], stable: vec![block("b", 3)] };
    let events = vec![Event::Stations(epoch); 10];
    assert_eq!(after(&plan, &events), after(&plan, &events));
}
