use std::collections::HashMap;
use std::sync::Arc;

use takt_artifact::VersionDigest;

use super::*;
use crate::events::{Arm, UnixMillis};
use crate::feedback::{Cell, Counts, Cube, Findings, Hours};
use crate::sample::name;

/// An hour of a day in 2026.
const NOW: u64 = 490_000;

fn now() -> UnixMillis {
    UnixMillis(NOW * 3_600_000 + 1_800_000)
}

fn cell(station: &str) -> Arc<Cell> {
    Arc::new(Cell {
        model: name("surface"),
        version: VersionDigest::of_manifest(b"manifest"),
        arm: Arm::Stable,
        station: Some(name(station)),
        product: Some(name("lid")),
        shift: None,
        class: "ok".to_owned(),
    })
}

/// So many passed and flagged at each of two stations in each of the last `hours` full hours; `flagged` takes how long ago
/// the hour began and the station.
fn hours(hours: u64, inspected: u64, flagged: impl Fn(u64, &str) -> u64) -> Hours {
    let of_hour = |ago: u64| {
        let cells = ["cam-1", "cam-2"].map(|station| {
            let flagged = flagged(ago, station);
            let passed = Findings { unlabelled: inspected - flagged, ..Findings::default() };
            let flagged = Findings { defect: flagged, ..Findings::default() };
            (cell(station), Counts { passed, flagged, ..Counts::default() })
        });
        (NOW - ago, HashMap::from(cells))
    };
    (1..=hours).map(of_hour).collect()
}

fn evaluate(hours: &Hours, config: FunnelConfig) -> FunnelReport {
    let cube = Cube { settled: hours, live: Hours::new() };
    Funnel::try_from(config).unwrap().evaluate(&cube, now(), true)
}

/// inspected -> flagged, where a fall of the flagged is bad.
fn two_stages() -> FunnelConfig {
    let mut config = FunnelConfig::default();
    config.stages.truncate(2);
    config.stages[1].bad = Direction::Down;
    config
}

#[track_caller]
fn change(report: &FunnelReport, stage: usize, against: Against) -> &Change {
    let comparison = report.stages[stage].comparisons.iter().find(|comparison| comparison.against == against);
    match &comparison.unwrap().compared {
        Compared::Change(change) => change,
        Compared::Off(off) => panic!("{off:?}"),
    }
}

#[track_caller]
fn off(report: &FunnelReport, stage: usize, against: Against) -> Off {
    let comparison = report.stages[stage].comparisons.iter().find(|comparison| comparison.against == against);
    match &comparison.unwrap().compared {
        Compared::Change(change) => panic!("{change:?}"),
        Compared::Off(off) => *off,
    }
}

/// Changes with the hour, without a pattern that a day or a week has.
fn scatter(hour: u64, by: u64) -> u64 {
    hour.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33 & (2 * by)
}

#[test]
fn a_fall_of_a_rate_is_an_alarm_that_names_the_station() {
    let counts = hours(24 * 35, 500, |ago, station| {
        let fell = ago <= 24 && station == "cam-2";
        if fell { 15 } else { 24 + scatter(ago, 1) }
    });
    let report = evaluate(&counts, two_stages());
    let change = change(&report, 1, Against::Window);
    assert!(change.alarm && change.relative.unwrap() < -0.15 && change.p < 0.01, "{change:?}");
    assert_eq!(change.now.of, Some(24 * 1000));
    let cause = &change.causes[0];
    assert_eq!((cause.dimension.as_str(), cause.elements[0].element.as_str()), ("station", "cam-2"));
    let alarms: Vec<_> = report.alarms().map(|(stage, against, _)| (stage.as_str(), against)).collect();
    assert_eq!(alarms, [("flagged", Against::Window)], "one day of seven is not yet 8 percent of a week");
}

#[test]
fn a_rise_is_no_alarm_where_a_fall_is_bad_and_the_other_way_round() {
    let counts = hours(24 * 35, 500, |ago, _| if ago <= 24 * 7 { 40 } else { 25 });
    let report = evaluate(&counts, two_stages());
    assert!(!change(&report, 1, Against::Week).alarm);
    let mut config = two_stages();
    config.stages[1].bad = Direction::Up;
    assert!(change(&evaluate(&counts, config), 1, Against::Week).alarm);
}

#[test]
fn a_fall_of_the_count_itself_is_seen_week_over_week() {
    let counts: Hours = hours(24 * 35, 500, |_, _| 20);
    let mut fewer: Hours = hours(24 * 7, 300, |_, _| 12);
    fewer.extend(counts.into_iter().filter(|(hour, _)| NOW - hour > 24 * 7));
    let report = evaluate(&fewer, two_stages());
    let change = change(&report, 0, Against::Week);
    assert!(change.alarm && change.now.of.is_none(), "{change:?}");
    assert!((change.relative.unwrap() + 0.4).abs() < 1e-12);
}

#[test]
fn a_fall_that_chance_explains_is_no_alarm() {
    // 10 percent fewer of some 200 a week.
    let counts = hours(24 * 35, 100, |ago, station| {
        let every = if ago <= 24 * 7 { 20 } else { 18 };
        u64::from(station == "cam-1" && ago % every == 0) * 10
    });
    let report = evaluate(&counts, two_stages());
    let change = change(&report, 1, Against::Week);
    assert!(change.relative.unwrap() < -0.08 && !change.alarm, "{change:?}");
}

#[test]
fn weeks_that_always_differ_make_a_fall_less_sure() {
    let weekly = |ago: u64| [24, 30, 22, 31, 24][usize::try_from((ago - 1) / 168).unwrap()];
    let report = evaluate(&hours(24 * 35, 500, |ago, _| weekly(ago)), two_stages());
    let change = change(&report, 1, Against::Week);
    assert!(change.dispersion > 10.0 && change.periods == 4, "{change:?}");
    assert!(change.relative.unwrap() < -0.19 && !change.alarm, "{change:?}");
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[test]
fn of_unchanged_lines_a_fifth_falls_by_8_percent_and_hardly_any_alarms() {
    let (mut fell, mut alarms) = (0, 0);
    let lines = 300;
    for line in 0..lines {
        // Some 200 flagged a week: each of 50 parts an hour with a probability of 0.0238.
        let mut state = line;
        let mut drawn: HashMap<u64, u64> = HashMap::new();
        for ago in 1..=24 * 35 {
            drawn.insert(ago, (0..50).filter(|_| splitmix(&mut state) % 10_000 < 238).count() as u64);
        }
        let counts = hours(24 * 35, 50, |ago, station| if station == "cam-1" { drawn[&ago] } else { 0 });
        let report = evaluate(&counts, two_stages());
        let change = change(&report, 1, Against::Week);
        fell += u64::from(change.relative.unwrap() < -0.08);
        alarms += u64::from(change.alarm);
    }
    assert!((lines / 7..lines / 4).contains(&fell), "{fell} of {lines} fell");
    // Stated: 1 in 100. Three standard deviations above 3 of 300 are 8.
    assert!(alarms <= 8, "{alarms} of {lines} alarmed");
}

#[test]
fn without_a_synchronised_clock_week_over_week_is_off_and_says_so() {
    let counts = hours(24 * 35, 500, |_, _| 20);
    let cube = Cube { settled: &counts, live: Hours::new() };
    let report = Funnel::try_from(two_stages()).unwrap().evaluate(&cube, now(), false);
    assert_eq!(off(&report, 1, Against::Week), Off::ClockNotSynchronised);
    assert!(change(&report, 1, Against::Window).periods > 3);
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains(r#""off":"clock_not_synchronised""#), "{json}");
    assert_eq!(serde_json::from_str::<FunnelReport>(&json).unwrap(), report);
}

#[test]
fn without_enough_history_a_comparison_is_off() {
    let report = evaluate(&hours(100, 500, |_, _| 20), two_stages());
    assert_eq!(off(&report, 0, Against::Week), Off::NotEnoughHistory { needed: 336, found: 100 });
    assert!(!change(&report, 0, Against::Window).alarm);
    let report = evaluate(&Hours::new(), two_stages());
    assert_eq!(off(&report, 0, Against::Window), Off::NotEnoughHistory { needed: 48, found: 0 });
}

#[test]
fn a_share_of_nothing_is_not_compared() {
    let report = evaluate(&hours(24 * 35, 500, |_, _| 0), FunnelConfig::default());
    assert_eq!(off(&report, 3, Against::Week), Off::NothingToCompare);
}

#[test]
fn stages_with_labels_wait_until_labels_are_there() {
    // Nothing of the last day is labelled yet.
    let mut counts = hours(24 * 35, 500, |_, _| 20);
    for (_, cells) in counts.range_mut(NOW - 24..) {
        for counts in cells.values_mut() {
            counts.flagged = Findings { unlabelled: 20, ..Findings::default() };
        }
    }
    let report = evaluate(&counts, FunnelConfig::default());
    assert_eq!(report.alarms().count(), 0);
    assert_eq!((report.stages[2].level.units, report.stages[2].level.of), (0, Some(960)), "as things are");
    assert_eq!(change(&report, 2, Against::Window).now, Level { units: 960, of: Some(960) }, "a day ago");
    let hasty = FunnelConfig { label_delay_hours: 0, ..FunnelConfig::default() };
    assert!(change(&evaluate(&counts, hasty), 2, Against::Window).alarm);
}

#[test]
fn shadows_and_other_models_are_not_counted() {
    let mut counts = hours(1, 500, |_, _| 20);
    for cells in counts.values_mut() {
        let shadow = Cell { arm: Arm::Shadow, ..Cell::clone(&cell("cam-1")) };
        let other = Cell { model: name("other"), ..Cell::clone(&cell("cam-1")) };
        for cell in [shadow, other] {
            let passed = Findings { unlabelled: 7, ..Findings::default() };
            cells.insert(Arc::new(cell), Counts { passed, ..Counts::default() });
        }
    }
    let of_model = FunnelConfig { model: Some(name("surface")), ..two_stages() };
    assert_eq!(evaluate(&counts, of_model).stages[0].level.units, 1000);
    assert_eq!(evaluate(&counts, two_stages()).stages[0].level.units, 1007);
}

fn faults(config: serde_json::Value) -> Vec<String> {
    let config: FunnelConfig = serde_json::from_value(config).unwrap();
    let errors = Funnel::try_from(config).unwrap_err();
    errors.faults.into_iter().map(|fault| fault.path).collect()
}

#[test]
fn a_funnel_reads_as_it_is_said() {
    let config: FunnelConfig = serde_json::from_value(serde_json::json!({
        "stages": [
            {"name": "inspected", "bad": "down"},
            {"name": "flagged", "verdict": "defect", "bad": "up"},
            {"name": "audited", "verdict": "good", "label": "any", "of": "inspected", "bad": "down"},
            {"name": "escaped", "label": "defect", "bad": "up"}
        ]
    }))
    .unwrap();
    let funnel = Funnel::try_from(config).unwrap();
    let of: Vec<_> = funnel.stages.iter().map(|stage| stage.of).collect();
    assert_eq!(of, [None, Some(0), Some(0), Some(2)]);
    let counts = Counts {
        passed: Findings { unlabelled: 5, good: 4, defect: 3, unresolved: 2 },
        flagged: Findings { defect: 9, ..Findings::default() },
        ..Counts::default()
    };
    let counted: Vec<_> = funnel.stages.iter().map(|stage| stage.count(&cell("cam-1"), &counts)).collect();
    assert_eq!(counted, [23, 9, 7, 3], "an escape is a passed part, as it is a share of the audited");
}

#[test]
fn a_funnel_without_sense_is_refused_with_all_its_faults() {
    let stages = serde_json::json!([
        {"name": "a", "verdict": "good", "bad": "down"},
        {"name": "a", "verdict": "defect", "bad": "down"},
        {"name": "b", "of": "c", "bad": "down"},
        {"name": "d", "of": "a", "label": "none", "bad": "down"},
        {"name": "e", "label": "good", "bad": "down"}
    ]);
    let paths = faults(serde_json::json!({
        "stages": stages, "window_hours": 0, "limit": 0, "significance": 1, "dimensions": ["shift", "shift"],
        "cause": {"dimensions": 0}
    }));
    let expected = [
        "cause.dimensions",
        "window_hours",
        "limit",
        "significance",
        "dimensions[1]",
        "stages[1].name",
        "stages[1].verdict",
        "stages[2].of",
        "stages[4].label",
    ];
    assert_eq!(paths, expected);
    assert_eq!(faults(serde_json::json!({"stages": []})), ["stages"]);
    assert!(serde_json::from_value::<FunnelConfig>(serde_json::json!({"stage": []})).is_err());
}
