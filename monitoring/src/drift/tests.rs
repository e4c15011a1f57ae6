use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;
use takt_artifact::profile::{ANY_SEGMENT, Origin, Profile};

use super::*;
use crate::events::UnixMillis;
use crate::features::{VISION_LEN, Vision};

/// A small generator, so that a failure can be looked at again: SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal: twelve uniforms.
    fn normal(&mut self) -> f32 {
        ((0..12).map(|_| self.next()).sum::<f64>() - 6.0) as f32
    }

    fn values(&mut self, shift: f32) -> Vision {
        let mut values = [0.0; VISION_LEN];
        values.iter_mut().for_each(|value| *value = self.normal() + shift);
        values
    }
}

fn labels() -> Vec<String> {
    ["ok", "dent"].map(str::to_owned).to_vec()
}

fn reference(rows: &[Row]) -> Profile {
    let labels = labels();
    let reference = Reference {
        model: "qa",
        labels: &labels,
        created: "2026-03-01T08:00:00Z".to_owned(),
        origin: Origin::Packaged,
        version: None,
        artefact: None,
    };
    build(&reference, rows).unwrap()
}

fn rows(
    random: &mut Random,
    n: usize,
    of: impl Fn(&mut Random, usize) -> (Option<&'static str>, Option<&'static str>, f32),
) -> Vec<Row> {
    (0..n)
        .map(|i| {
            let (product, station, shift) = of(random, i);
            Row {
                product: product.map(str::to_owned),
                station: station.map(str::to_owned),
                values: random.values(shift),
                class: Some(usize::from(random.next() < 0.1)),
            }
        })
        .collect()
}

fn config() -> DriftConfig {
    DriftConfig { pane: Duration::from_secs(60), window: NonZeroUsize::new(3).unwrap(), ..DriftConfig::default() }
}

fn monitor(profile: Profile) -> DriftMonitor {
    DriftMonitor::new(profile.into(), &labels(), config())
}

fn show(
    monitor: &mut DriftMonitor,
    random: &mut Random,
    n: usize,
    product: Option<&str>,
    station: Option<&str>,
    shift: f32,
) {
    for _ in 0..n {
        let values = random.values(shift);
        let class = Some(usize::from(random.next() < 0.1));
        let seen = Seen { product, station, part: None, values: &values, image: true, answer: true, class };
        monitor.counters().observe(&seen);
        monitor.follow(&seen);
    }
}

fn drifted(report: &DriftReport) -> Vec<String> {
    let all = report.segments.iter().flat_map(|s| s.features.iter().map(move |f| (s, f)));
    all.filter(|(_, f)| f.is_drift()).map(|(s, f)| format!("{}/{}", s.segment, f.feature)).collect()
}

#[test]
fn a_profile_holds_every_feature_and_can_be_written() {
    let profile = reference(&rows(&mut Random(1), 1000, |_, _| (None, None, 0.0)));
    let any = &profile.segments[ANY_SEGMENT];
    assert_eq!(any.features.len(), VISION_LEN + 1);
    let null = any.features["brightness"].null.as_ref().unwrap();
    assert!(null.psi.len() >= 200, "{}", null.psi.len());
    assert_eq!(Profile::parse(&profile.to_bytes().unwrap()).unwrap(), profile);
}

#[test]
fn answers_of_another_artefact_are_not_compared() {
    let mut profile = reference(&rows(&mut Random(1), 1000, |_, _| (None, None, 0.0)));
    profile.artefact = Some("model.onnx".to_owned());
    let features = |profile: &Profile| profile.segments[ANY_SEGMENT].features.keys().cloned().collect::<Vec<_>>();
    assert_eq!(comparable(profile.clone(), "model.onnx"), profile);
    let narrowed = features(&comparable(profile, "model.cpu-int8.onnx"));
    assert!(narrowed.contains(&"brightness".to_owned()) && narrowed.contains(&"class".to_owned()));
    assert!(!narrowed.contains(&"margin".to_owned()), "{narrowed:?}");
}

#[test]
fn too_few_rows_are_refused_with_what_is_needed() {
    let labels = labels();
    let few = rows(&mut Random(1), 99, |_, _| (None, None, 0.0));
    let reference = Reference {
        model: "qa",
        labels: &labels,
        created: String::new(),
        origin: Origin::Packaged,
        version: None,
        artefact: None,
    };
    let error = build(&reference, &few).unwrap_err().to_string();
    assert!(error.contains("99 rows") && error.contains("100"), "{error}");
}

#[test]
fn the_same_light_is_no_drift_and_another_is_within_one_window() {
    let mut random = Random(2);
    let mut monitor = monitor(reference(&rows(&mut random, 4000, |_, _| (None, None, 0.0))));
    show(&mut monitor, &mut random, 600, None, None, 0.0);
    monitor.seal(UnixMillis(60_000));
    assert_eq!(drifted(&monitor.report()), Vec::<String>::new());
    for pane in 2..5 {
        show(&mut monitor, &mut random, 600, None, None, 1.0);
        monitor.seal(UnixMillis(pane * 60_000));
    }
    let report = monitor.report();
    assert_eq!(drifted(&report).len(), VISION_LEN, "all but the class: {:?}", drifted(&report));
    for pane in 5..8 {
        show(&mut monitor, &mut random, 600, None, None, 0.0);
        monitor.seal(UnixMillis(pane * 60_000));
    }
    assert_eq!(drifted(&monitor.report()), Vec::<String>::new());
}

#[test]
fn an_idle_station_is_no_drift() {
    let mut random = Random(3);
    // Station b is brighter by two deviations: without the mix, its absence would look like drift.
    let reference = reference(&rows(&mut random, 4000, |_, i| (None, Some(["a", "b"][i % 2]), [0.0, 2.0][i % 2])));
    let mut monitor = monitor(reference);
    show(&mut monitor, &mut random, 2000, None, Some("a"), 0.0);
    monitor.seal(UnixMillis(60_000));
    assert_eq!(drifted(&monitor.report()), Vec::<String>::new());
}

#[test]
fn a_changeover_is_no_drift() {
    let mut random = Random(4);
    let product = |i: usize| ["p", "q"][i / 500 % 2];
    let reference = reference(&rows(&mut random, 8000, |_, i| (Some(product(i)), None, [0.0, 2.0][i / 500 % 2])));
    let mut monitor = monitor(reference);
    show(&mut monitor, &mut random, 1000, Some("p"), None, 0.0);
    show(&mut monitor, &mut random, 1000, Some("q"), None, 2.0);
    monitor.seal(UnixMillis(60_000));
    let report = monitor.report();
    assert_eq!(report.segments.iter().map(|s| s.segment.as_str()).collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!(drifted(&report), Vec::<String>::new());
    // Product q shown as p is drift of p.
    show(&mut monitor, &mut random, 4000, Some("p"), None, 2.0);
    monitor.seal(UnixMillis(120_000));
    assert!(drifted(&monitor.report()).contains(&"p/brightness".to_owned()));
}

#[test]
fn further_views_of_a_part_are_not_counted() {
    let mut random = Random(5);
    let monitor = monitor(reference(&rows(&mut random, 1000, |_, _| (None, Some("a"), 0.0))));
    let values = random.values(0.0);
    for part in ["1", "1", "1", "2", "2", "1"] {
        let seen = Seen {
            product: None,
            station: Some("a"),
            part: Some(part),
            values: &values,
            image: true,
            answer: true,
            class: Some(0),
        };
        monitor.counters().observe(&seen);
    }
    let counts = &monitor.counters().read().segments[ANY_SEGMENT];
    assert_eq!((counts.total_units(), counts.units["a"]), (3, 3));
}

#[test]
fn missing_values_and_unknown_classes_count_apart() {
    let mut random = Random(6);
    let monitor = monitor(reference(&rows(&mut random, 1000, |_, _| (None, None, 0.0))));
    let mut values = random.values(0.0);
    values[0] = f32::NAN;
    values[1] = f32::INFINITY;
    let seen =
        Seen { product: None, station: None, part: None, values: &values, image: true, answer: true, class: Some(9) };
    monitor.counters().observe(&seen);
    let counts = &monitor.counters().read().segments[ANY_SEGMENT];
    assert_eq!(counts.features["brightness"].missing, 1);
    assert_eq!(counts.features["contrast"].slots.last(), Some(&1));
    assert_eq!(counts.features["class"].missing, 1);
}

#[test]
fn what_was_not_measured_is_not_missing() {
    let mut random = Random(10);
    let monitor = monitor(reference(&rows(&mut random, 1000, |_, _| (None, None, 0.0))));
    let values = random.values(0.0);
    let seen =
        Seen { product: None, station: None, part: None, values: &values, image: false, answer: true, class: Some(0) };
    monitor.counters().observe(&seen);
    monitor.counters().observe(&Seen { image: true, answer: false, ..seen });
    let counts = &monitor.counters().read().segments[ANY_SEGMENT];
    let of = |name: &str| (counts.features[name].slots.iter().sum::<u32>(), counts.features[name].missing);
    assert_eq!([of("brightness"), of("margin"), of("class")], [(1, 0); 3]);
}

#[test]
fn slow_light_counts_for_less_than_its_number() {
    let mut random = Random(7);
    let mut monitor = monitor(reference(&rows(&mut random, 1000, |_, _| (None, None, 0.0))));
    let mut level = 0.0;
    for _ in 0..2000 {
        level = 0.9 * level + 0.436 * random.normal();
        let values = [level; VISION_LEN];
        let seen = Seen {
            product: None,
            station: None,
            part: None,
            values: &values,
            image: true,
            answer: true,
            class: Some(0),
        };
        monitor.counters().observe(&seen);
        monitor.follow(&seen);
    }
    monitor.seal(UnixMillis(60_000));
    let report = monitor.report();
    let brightness = report.segments[0].features.iter().find(|f| f.feature == "brightness").unwrap();
    assert!((0.85..0.95).contains(&brightness.autocorrelation), "{brightness:?}");
    assert!((60.0..200.0).contains(&brightness.m_effective), "{brightness:?}");
}

#[test]
fn learning_waits_for_units_time_and_every_station() {
    let mut random = Random(8);
    let rule = LearnRule { units: 1000, time: Duration::from_secs(3600), units_per_station: 100 };
    let mut learner = Learner::new(rule);
    let labels = labels();
    let reference = Reference {
        model: "qa",
        labels: &labels,
        created: "2026-03-01T08:00:00Z".to_owned(),
        origin: Origin::Learned,
        version: None,
        artefact: None,
    };
    let mut show = |learner: &mut Learner, n: u64, from: u64, station: &str| {
        for i in 0..n {
            let row =
                Row { product: None, station: Some(station.to_owned()), values: random.values(0.0), class: Some(0) };
            learner.observe(UnixMillis(from + i * 1000), row);
        }
    };
    show(&mut learner, 1500, 0, "a");
    assert!(learner.finish(&reference).is_none(), "25 minutes are no shift");
    show(&mut learner, 10, 3_600_000, "b");
    assert_eq!(learner.progress().stations_wanting, ["b"]);
    assert!(learner.finish(&reference).is_none(), "b has hardly been seen");
    show(&mut learner, 90, 3_700_000, "b");
    assert_eq!(learner.finish(&reference).unwrap().origin, Origin::Learned);
}

#[test]
fn a_learner_keeps_a_bounded_number_of_rows_over_the_whole_time() {
    let mut random = Random(9);
    let mut learner = Learner::new(LearnRule { units: 50_000, time: Duration::ZERO, units_per_station: 0 });
    for i in 0..50_000 {
        learner
            .observe(UnixMillis(i), Row { product: None, station: None, values: random.values(0.0), class: Some(0) });
    }
    let labels = labels();
    let reference = Reference {
        model: "qa",
        labels: &labels,
        created: String::new(),
        origin: Origin::Learned,
        version: None,
        artefact: None,
    };
    let profile = learner.finish(&reference).unwrap();
    let units: u64 = profile.segments[ANY_SEGMENT].units.values().sum();
    assert!((6_000..12_000).contains(&units), "{units}");
}

fn pane() -> impl Strategy<Value = Pane> {
    let counts = prop::collection::vec(0_u32..1000, 0..4);
    let feature = (counts, 0_u32..10).prop_map(|(slots, missing)| pane::FeatureCounts { slots, missing });
    let segment = (
        prop::collection::btree_map("[ab]", 0_u32..9, 0..2),
        0_u32..9,
        prop::collection::btree_map("[fg]", feature, 0..2),
    )
        .prop_map(|(units, unknown, features)| pane::SegmentCounts { units, unknown, features });
    prop::collection::btree_map("[pq*]", segment, 0..3).prop_map(|segments| Pane { segments })
}

proptest! {
    /// Whole slots at the end that one side lacks count as zero, so that lengths do not matter.
    #[test]
    fn panes_add_up_in_any_order(a in pane(), b in pane(), c in pane()) {
        let total = |p: &Pane| p.segments.values().map(pane::SegmentCounts::total_units).sum::<u64>();
        prop_assert_eq!(total(&a.plus(&b)), total(&a) + total(&b));
        let text = serde_json::to_string(&a).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Pane>(&text).unwrap(), &a);
        prop_assert_eq!(a.plus(&b), b.plus(&a));
        prop_assert_eq!(a.plus(&b).plus(&c), a.plus(&b.plus(&c)));
    }
}
