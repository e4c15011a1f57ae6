//! Figures worked out by hand, and what must hold for any.

use std::path::PathBuf;

use proptest::prelude::*;
use takt_artifact::Decision;

use super::agreement::exact_p;
use super::gates::{Bound, check};
use super::*;
use crate::data::Corruption;
use crate::rng::Rng;

fn classes() -> Vec<String> {
    ["ok", "dent", "hole"].map(str::to_owned).to_vec()
}

fn decision() -> Decision {
    serde_json::from_str(
        r#"{"output": "scores", "activation": "none", "good_classes": ["ok"], "thresholds": {"hole": 0.7}}"#,
    )
    .unwrap()
}

/// Images as (label, scores, station).
fn predictions(images: &[(usize, [f32; 3], &str)]) -> Predictions {
    let outputs: Vec<f32> = images.iter().flat_map(|(_, scores, _)| *scores).collect();
    let labels: Vec<usize> = images.iter().map(|(label, ..)| *label).collect();
    let metadata: Vec<Vec<String>> = images.iter().map(|(.., station)| vec![(*station).to_owned()]).collect();
    let files: Vec<PathBuf> = (0..images.len()).map(|i| PathBuf::from(format!("{i}.jpg"))).collect();
    Predictions::new(Input {
        classes: &classes(),
        outputs: &outputs,
        labels: &labels,
        decision: Some(&decision()),
        columns: &["station".to_owned()],
        metadata: &metadata,
        files: &files,
    })
    .unwrap()
}

const OK: [f32; 3] = [0.8, 0.1, 0.1];
const DENT: [f32; 3] = [0.1, 0.8, 0.1];
/// A hole below its threshold of 0.7: nobody is sure.
const HOLE: [f32; 3] = [0.2, 0.2, 0.6];

/// Four good parts, one of them called dented; three dents, one of them passed; one hole, seen and doubted.
fn eight() -> Predictions {
    predictions(&[
        (0, OK, "S1"),
        (0, OK, "S1"),
        (0, OK, "S2"),
        (0, DENT, "S2"),
        (1, DENT, "S1"),
        (1, DENT, "S1"),
        (1, OK, "S2"),
        (2, HOLE, "S1"),
    ])
}

fn report() -> Report {
    Report::new("m", "d", &eight(), ReportOptions { min_slice: 3, worst: 10 })
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
}

#[test]
fn figures_of_eight_images_are_those_counted_by_hand() {
    let metrics = Metrics::of(&eight());
    assert_eq!(metrics.confusion, [[3, 1, 0], [1, 2, 0], [0, 0, 1]]);
    close(metrics.accuracy.value.unwrap(), 6.0 / 8.0);
    close(metrics.balanced_accuracy, (3.0 / 4.0 + 2.0 / 3.0 + 1.0) / 3.0);
    let precision: Vec<_> = metrics.classes.iter().map(|class| class.precision.value.unwrap()).collect();
    close(precision[0], 3.0 / 4.0);
    close(precision[1], 2.0 / 3.0);
    let verdicts = metrics.verdicts.unwrap();
    assert_eq!((verdicts.escape.hits, verdicts.escape.total), (1, 4));
    assert_eq!((verdicts.false_reject.hits, verdicts.false_reject.total), (1, 4));
    assert_eq!((verdicts.uncertain.hits, verdicts.uncertain.total), (1, 8));
}

#[test]
fn calibration_error_weighs_each_bin_by_its_images() {
    // Seven images of confidence 0.8 with accuracy 5/7, one of 0.6 that is right.
    let calibration = Metrics::of(&eight()).calibration;
    assert_eq!(calibration.bins.iter().map(|bin| bin.images).collect::<Vec<_>>(), [1, 7]);
    let expected = (7.0 * (0.8 - 5.0 / 7.0) + 0.4) / 8.0;
    assert!((calibration.error - expected).abs() < 1e-6, "scores are single precision: {}", calibration.error);
}

#[test]
fn wilsons_interval_is_the_published_one() {
    // Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001: the formula, evaluated for 8 of 10.
    let [low, high] = Rate::new(8, 10).interval.unwrap();
    assert!((low - 0.490_162).abs() < 1e-5 && (high - 0.943_318).abs() < 1e-5, "{low} {high}");
    assert_eq!(Rate::new(0, 0).value, None);
}

#[test]
fn slices_find_the_worst_station_and_the_gap() {
    let report = report();
    let slices = &report.slices[0];
    let worst = slices.worst.as_ref().unwrap();
    // S1: all five right. S2: of two good parts one, and the dent not.
    assert_eq!((worst.value.as_str(), worst.images), ("S2", 3));
    close(worst.balanced_accuracy, 0.25);
    close(slices.gap.unwrap(), 0.75);
    let strict = Report::new("m", "d", &eight(), ReportOptions { min_slice: 4, worst: 0 });
    assert_eq!(strict.slices[0].worst.as_ref().unwrap().value, "S1");
    assert_eq!(strict.slices[0].gap, None);
}

#[test]
fn many_numbers_become_quarters_and_many_words_are_skipped() {
    let values: Vec<String> = (0..60).map(|i| format!("{:.2}", f64::from(i) / 100.0)).collect();
    let column = |value: &dyn Fn(usize) -> String| {
        let names: Vec<String> = (0..60).map(value).collect();
        let images: Vec<_> = names.iter().map(|name| (0, OK, name.as_str())).collect();
        Report::new("m", "d", &predictions(&images), ReportOptions::default()).slices.swap_remove(0)
    };
    let numbers = column(&|i| values[i].clone());
    assert_eq!(numbers.slices.iter().map(|slice| slice.images).collect::<Vec<_>>(), [15; 4]);
    assert_eq!(numbers.slices[3].value, "0.45 to 0.59");
    let words = column(&|i| format!("part {i}"));
    assert_eq!(words.skipped.unwrap(), "60 different values, more than 50");
}

#[test]
fn mcnemar_is_twice_the_tail_of_a_fair_coin() {
    close(exact_p(5, 1), 2.0 * 7.0 / 64.0);
    close(exact_p(1, 5), 2.0 * 7.0 / 64.0);
    close(exact_p(0, 0), 1.0);
    close(exact_p(3, 3), 1.0);
    close(exact_p(10, 0), 2.0 / 1024.0);
    // The normal approximation with continuity correction gives 0.0455 for (|a - b| - 1)^2 / (a + b) = 4.
    assert!((exact_p(5101, 4900) - 0.0455).abs() < 1e-3, "{}", exact_p(5101, 4900));
}

#[test]
fn the_paired_drop_is_the_mean_over_classes_with_its_adjusted_error() {
    // Of four the model loses one, of two it wins one: (1/4 - 1/2) / 2. Variances (0.5 - 1/36) / 6 and (0.75 - 1/16) / 4.
    let drop = PairedDrop::of(&[[4, 1, 0], [2, 0, 1], [0, 0, 0]]);
    close(drop.drop, -0.125);
    close(drop.standard_error, ((0.5 - 1.0 / 36.0) / 6.0 + (0.75 - 0.0625) / 4.0_f64).sqrt() / 2.0);
    close(drop.upper_95, -0.125 + 1.644_853_626_951_472_2 * drop.standard_error);
}

#[test]
fn the_upper_bound_covers_the_true_drop_as_often_as_it_says() {
    // Three classes, the model alone wrong on 3 % and the parent alone on 1 %: the true drop is 0.02.
    let mut rng = Rng::new(5, &[]);
    let trials = 2000;
    let covered = (0..trials).filter(|_| {
        let classes = [300, 60, 60].map(|n: u64| {
            let draws: Vec<f32> = (0..n).map(|_| rng.unit()).collect();
            let lost = draws.iter().filter(|u| **u < 0.03).count() as u64;
            let won = draws.iter().filter(|u| (0.03..0.04).contains(*u)).count() as u64;
            [n, lost, won]
        });
        PairedDrop::of(&classes).upper_95 >= 0.02
    });
    let share = covered.count() as f64 / f64::from(trials);
    assert!((0.935..=0.995).contains(&share), "{share}");
}

#[test]
fn the_closed_form_agrees_with_a_stratified_bootstrap() {
    let classes = [[800_u64, 16, 6], [200, 5, 3]];
    let mut rng = Rng::new(3, &[]);
    let draws: Vec<f64> = (0..3000)
        .map(|_| {
            let resampled = classes.map(|[n, lost, won]| {
                let (mut l, mut w) = (0, 0);
                for _ in 0..n {
                    let pick = u64::from(rng.below(n as u32));
                    l += u64::from(pick < lost);
                    w += u64::from((lost..lost + won).contains(&pick));
                }
                [n, l, w]
            });
            PairedDrop::of(&resampled).drop
        })
        .collect();
    let mean = draws.iter().sum::<f64>() / 3000.0;
    let error = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3000.0).sqrt();
    let closed = PairedDrop::of(&classes).standard_error;
    assert!(closed >= error * 0.97 && closed <= error * 1.2, "{closed} against {error}");
}

#[test]
fn a_parent_is_compared_image_by_image() {
    let mut parent = eight();
    parent.images[3].predicted = 0;
    let agreement = Agreement::of(&eight(), &parent).unwrap();
    assert_eq!((agreement.agreement.hits, agreement.correct.parent_only, agreement.correct.model_only), (7, 1, 0));
    close(agreement.drop.drop, 1.0 / 4.0 / 3.0);
    assert_eq!(agreement.caught.unwrap().parent_only, 0);
    parent.images.pop();
    let error = Agreement::of(&eight(), &parent).unwrap_err();
    assert!(error.to_string().contains("images of the parent: found 7, expected 8"), "{error}");
}

#[test]
fn outputs_that_cannot_be_judged_are_named() {
    let classes = classes();
    fn input<'a>(classes: &'a [String], outputs: &'a [f32], labels: &'a [usize]) -> Input<'a> {
        Input { classes, outputs, labels, decision: None, columns: &[], metadata: &[], files: &[] }
    }
    let message =
        |outputs: &[f32], labels: &[usize]| Predictions::new(input(&classes, outputs, labels)).unwrap_err().to_string();
    assert!(message(&[0.0; 5], &[0, 1]).contains("numbers in the outputs: found 5, expected 6"));
    assert!(message(&[0.0; 3], &[3]).contains("label 3, expected an index below 3"));
    assert!(message(&[0.0, f32::NAN, 0.0], &[0]).contains("image 0: class 1 has NaN"));
    assert!(message(&[], &[]).contains("no image to judge"));
    // Without a decision there are figures, and no verdicts.
    let logits = Predictions::new(input(&classes, &[0.0, 1.0, 2.0], &[2])).unwrap();
    let metrics = Metrics::of(&logits);
    assert_eq!((metrics.accuracy.value, metrics.verdicts), (Some(1.0), None));
}

#[test]
fn parity_counts_and_measures() {
    let parity = Parity::of("cpu-int8", 2, &[1.0, 0.0, 0.4, 0.6], &[1.0, 0.0, 0.6, 0.4]).unwrap();
    assert_eq!((parity.top1.hits, parity.top1.total), (1, 2));
    assert!((parity.max_difference - 0.2).abs() < 1e-6);
    assert!((parity.mean_cosine - (1.0 + 0.48 / 0.52) / 2.0).abs() < 1e-6);
    assert_eq!(Parity::of("x", 2, &[1.0], &[1.0, 2.0]).unwrap_err().kind(), "count");
    assert_eq!(Parity::of("x", 2, &[1.0, f32::NAN], &[1.0, 2.0]).unwrap_err().kind(), "row");
}

/// Every gate there is, at limits that the report just meets or just misses.
const GATES: &str = r#"
min_accuracy = 0.75
min_balanced_accuracy = 0.9
min_recall = 0.6
min_precision = 0.7
max_escape_rate = 0.25
max_false_reject_rate = 0.2
max_uncertain_rate = 0.125
max_calibration_error = 0.5
max_drop = 0.005
min_agreement = 0.8
max_latency_ratio = 0.2
min_speedup = 5.0
min_size_ratio = 15.0
max_size_bytes = 6000000
max_memory_bytes = 1
[min_recall_of]
dent = 0.7
rust = 0.5
[slices.station]
min_balanced_accuracy = 0.2
max_gap = 0.5
[slices.line]
max_gap = 0.5
[robustness.darker]
corruption = { brightness = 0.8 }
max_drop = 0.05
[robustness.blur]
corruption = { blur = 1.0 }
max_drop = 0.05
[parity."cpu-int8.avx2"]
min_top1 = 0.9
min_cosine = 0.9
max_difference = 0.1
"#;

fn full_report() -> Report {
    let mut report = report();
    report.compare(&eight(), &eight()).unwrap();
    report.add_robustness("darker", Corruption::Brightness(0.8), &eight(), &eight());
    report.parity.push(Parity::of("cpu-int8.avx2", 2, &[1.0, 0.0], &[1.0, 0.0]).unwrap());
    report.cost =
        Cost { latency_ms: Some(2.0), parent_latency_ms: Some(10.0), size_bytes: Some(5_000_000), ..Cost::default() };
    report
}

#[test]
fn every_gate_says_yes_or_no_with_its_figure_and_reason() {
    let outcomes = check(&Gates::parse(GATES).unwrap(), &full_report());
    let told = |outcome: &Outcome| (outcome.gate.clone(), outcome.passed);
    let expected = [
        ("min_accuracy", true),
        ("min_balanced_accuracy", false),
        ("min_recall", true),
        ("min_precision", false),
        ("max_escape_rate", true),
        ("max_false_reject_rate", false),
        ("max_uncertain_rate", true),
        ("max_calibration_error", true),
        ("max_drop", false),
        ("min_agreement", true),
        ("max_latency_ratio", true),
        ("min_speedup", true),
        ("min_size_ratio", false),
        ("max_size_bytes", true),
        ("max_memory_bytes", false),
        ("min_recall_of.dent", false),
        ("min_recall_of.rust", false),
        ("slices.line.max_gap", false),
        ("slices.station.min_balanced_accuracy", true),
        ("slices.station.max_gap", false),
        ("robustness.blur.max_drop", false),
        ("robustness.darker.max_drop", true),
        ("parity.cpu-int8.avx2.min_top1", true),
        ("parity.cpu-int8.avx2.min_cosine", true),
        ("parity.cpu-int8.avx2.max_difference", true),
    ];
    assert_eq!(
        outcomes.outcomes.iter().map(told).collect::<Vec<_>>(),
        expected.map(|(gate, yes)| (gate.to_owned(), yes))
    );
    assert!(!outcomes.passed());
    let reason = |gate: &str| &outcomes.outcomes.iter().find(|outcome| outcome.gate == gate).unwrap().reason;
    for (gate, part) in [
        ("min_recall", "least recall is that of dent: 2 of 3"),
        ("max_false_reject_rate", "good parts called defective: 1 of 4; over by 0.0500"),
        ("min_size_ratio", "not measured: there are no figures of model and parent"),
        ("max_memory_bytes", "not measured: the model was not run"),
        ("min_recall_of.rust", "there is no class 'rust'; there is ok, dent, hole"),
        ("slices.line.max_gap", "there is no column 'line'; there is station"),
        ("robustness.blur.max_drop", "there is no robustness trial 'blur'; there is darker"),
        ("slices.station.min_balanced_accuracy", "worst station is S2, 3 images"),
    ] {
        assert!(reason(gate).contains(part), "{gate}: {}", reason(gate));
    }
    assert_eq!(outcomes.outcomes[4].bound, Bound::AtMost);
    assert!(check(&Gates::default(), &full_report()).passed(), "no gate asks for nothing");
    let other = Gates::parse("[robustness.darker]\ncorruption = { brightness = 0.5 }\nmax_drop = 0.1").unwrap();
    let reason = &check(&other, &full_report()).outcomes[0].reason;
    assert!(reason.contains("the trial 'darker' was brightness x0.8; run it again with brightness x0.5"), "{reason}");
}

#[test]
fn gates_on_all_classes_say_no_where_one_of_them_was_not_measured() {
    let gates = "min_balanced_accuracy = 0.0\nmin_recall = 0.0\nmin_precision = 0.0\nmax_drop = 1.0\n";
    let gates = Gates::parse(gates).unwrap();
    let refusals = |images: &[(usize, [f32; 3], &str)]| {
        let predictions = predictions(images);
        let mut report = Report::new("m", "d", &predictions, ReportOptions::default());
        report.compare(&predictions, &predictions).unwrap();
        check(&gates, &report).refusals()
    };
    let not_shown = "not measured: no image shows hole; judge images of every class, or ask for single classes by \
                     min_recall_of";
    let never_taken =
        "not measured: no image was taken for hole; judge images of it, or train until the model finds it";
    let told = |gate: &str, why: &str| format!("{gate}: {why}");
    let absent = refusals(&[(0, OK, "S1"), (1, DENT, "S1")]);
    let expected = [
        told("min_balanced_accuracy", not_shown),
        told("min_recall", not_shown),
        told("min_precision", never_taken),
        told("max_drop", not_shown),
    ];
    assert_eq!(absent, expected);
    let never_found = refusals(&[(0, OK, "S1"), (1, DENT, "S1"), (2, OK, "S1")]);
    assert_eq!(never_found, [told("min_precision", never_taken)], "its recall was measured, and is 0");
}

#[test]
fn gates_that_make_no_sense_are_refused() {
    let message = |text: &str| Gates::parse(text).unwrap_err().to_string();
    let unknown = message("min_acuracy = 0.9");
    assert!(
        unknown.contains("min_acuracy") && unknown.contains("min_accuracy") && unknown.contains("line 1"),
        "{unknown}"
    );
    let limits = message("max_drop = 5.0\nmin_recall = -0.1\nmin_speedup = nan\n[min_recall_of]\ndent = 90.0\n");
    for part in [
        "max_drop is 5, expected a fraction from -1 to 1 (half a point is 0.005)",
        "min_recall is -0.1",
        "min_speedup is NaN",
        "min_recall_of.dent is 90",
    ] {
        assert!(limits.contains(part), "{part} in {limits}");
    }
    let corruption = message("[robustness.x]\ncorruption = { jpeg = 0 }\nmax_drop = 0.1");
    assert!(corruption.contains("robustness.x.corruption: cannot apply JPEG quality 0"), "{corruption}");
}

#[test]
fn the_table_shows_figures_slices_and_gates() {
    let mut report = full_report();
    report.gates = Some(check(&Gates::parse(GATES).unwrap(), &report));
    let table = report.render_table();
    for part in [
        "accuracy",
        "75.00%",
        "by station",
        "worst",
        "McNemar p = 1.000",
        "cpu-int8.avx2",
        "5.0x faster",
        "11 of 25 gates say no",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    let widths: Vec<usize> = table
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("hole "))
        .map(|line| line.chars().count())
        .collect();
    assert_eq!(widths.len(), 2);
    assert_eq!(widths[0], widths[1], "{table}");
}

#[test]
fn the_html_needs_nothing_else_and_names_of_strangers_stay_text() {
    let mut report = full_report();
    report.gates = Some(check(&Gates::parse(GATES).unwrap(), &report));
    report.metrics.classes[1].class = "<script>alert('x')</script>".to_owned();
    assert_eq!(report.worst.len(), 2);
    let html = report.render_html(&[Some(vec![0xff, 0xd8, 0xff]), None]);
    assert!(html.contains("data:image/jpeg;base64,/9j/") && html.contains("<svg"), "{html}");
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    assert!(!html.contains("http"), "no link leads out of the file");
    for tag in ["table", "tr", "figure", "svg", "body"] {
        let (opened, closed) = (html.matches(&format!("<{tag}")).count(), html.matches(&format!("</{tag}>")).count());
        assert_eq!(opened, closed, "{tag}");
    }
}

#[test]
fn pictures_are_small_jpegs_and_lost_files_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let image = crate::data::surface::Image { size: 64, pixels: vec![90; 64 * 64 * 3] };
    let mut report = report();
    let first = report.worst[0].file.clone().unwrap();
    std::fs::write(folder.path().join(first), image.to_jpeg(90).unwrap()).unwrap();
    let pictures = pictures(&report, folder.path());
    assert!(pictures[0].as_ref().unwrap().starts_with(&[0xff, 0xd8]));
    assert_eq!(pictures[1], None);
    report.worst.clear();
    assert!(!report.render_html(&pictures).contains("base64"));
}

#[test]
fn a_report_survives_json() {
    let mut report = full_report();
    report.gates = Some(check(&Gates::parse(GATES).unwrap(), &report));
    let back: Report = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(back.gates.unwrap().outcomes.len(), 25);
    assert_eq!(back.metrics.confusion, report.metrics.confusion);
}

proptest! {
    #[test]
    fn figures_hold_together_for_any_outputs(
        rows in prop::collection::vec((0_usize..3, prop::array::uniform3(0.0_f32..1.0), 0_u8..3), 1..80),
    ) {
        let stations: Vec<String> = rows.iter().map(|(.., station)| format!("S{station}")).collect();
        let images: Vec<_> = rows.iter().zip(&stations).map(|((l, s, _), n)| (*l, *s, n.as_str())).collect();
        let predictions = predictions(&images);
        let report = Report::new("m", "d", &predictions, ReportOptions::default());
        let metrics = &report.metrics;
        prop_assert_eq!(metrics.confusion.iter().flatten().sum::<u64>(), metrics.images);
        prop_assert!((0.0..=1.0).contains(&metrics.balanced_accuracy));
        prop_assert!((0.0..=1.0).contains(&metrics.calibration.error));
        prop_assert_eq!(report.slices[0].slices.iter().map(|slice| slice.images).sum::<u64>(), metrics.images);
        prop_assert_eq!(report.worst.len() as u64, (metrics.images - metrics.accuracy.hits).min(24));
        // Against itself nothing is lost and nothing is certain.
        let same = Agreement::of(&predictions, &predictions).unwrap();
        prop_assert_eq!((same.drop.drop, same.correct.p, same.agreement.value), (0.0, 1.0, Some(1.0)));
        prop_assert!(same.drop.upper_95 > 0.0);
    }

    #[test]
    fn the_p_value_is_one_and_falls_with_the_difference(a in 0_u64..400, b in 0_u64..400) {
        let p = exact_p(a, b);
        prop_assert!(p > 0.0 && p <= 1.0);
        prop_assert_eq!(p, exact_p(b, a));
        if a > b {
            prop_assert!(exact_p(a + 1, b) <= p + 1e-12);
        }
    }
}
