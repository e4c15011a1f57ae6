//! Golden values: `tests/golden_agreement.py`, which asks scikit-learn, statsmodels, krippendorff and crowd-kit.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::sample::{START, name};

const CLASSES: [&str; 4] = ["0", "1", "2", "3"];

#[derive(Deserialize)]
struct Golden {
    complete: Vec<Case>,
    with_gaps: Vec<Case>,
    dawid_skene: Vec<Estimated>,
}

/// -1 where an item was not rated.
type Numbers = Vec<Vec<i64>>;

#[derive(Deserialize)]
struct Case {
    table: Numbers,
    cohen: Option<Cohen>,
    fleiss: Option<f64>,
    krippendorff: f64,
}

#[derive(Deserialize)]
struct Estimated {
    table: Numbers,
    items: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Cohen {
    plain: f64,
    linear: f64,
    quadratic: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden_agreement.json")).unwrap()
}

fn annotations(table: &Numbers) -> Vec<Annotation> {
    let rated = table.iter().enumerate().flat_map(|(item, row)| {
        row.iter().enumerate().filter(|(_, class)| **class >= 0).map(move |(annotator, class)| Annotation {
            batch: name("b"),
            item: format!("{item:03}"),
            annotator: name(&format!("a{annotator}")),
            class: class.to_string(),
        })
    });
    rated.collect()
}

fn ratings(table: &Numbers) -> Ratings {
    let classes = CLASSES.map(str::to_owned);
    Ratings::with_classes(&annotations(table), &classes).unwrap()
}

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    let found = found.expect("defined");
    assert!((found - expected).abs() <= 1e-12, "found {found}, expected {expected}");
}

#[test]
fn cohens_kappas_equal_scikit_learns() {
    for case in golden().complete {
        let (ratings, expected) = (ratings(&case.table), case.cohen.unwrap());
        let kappa = |weights| ratings.cohen("a0", "a1", weights).unwrap();
        close(kappa(Weights::None), expected.plain);
        close(kappa(Weights::Linear), expected.linear);
        close(kappa(Weights::Quadratic), expected.quadratic);
    }
}

#[test]
fn cohens_kappas_of_the_specification() {
    let (a, b) = ([0, 0, 1, 1, 2, 2, 0, 1, 2, 0], [0, 1, 1, 1, 2, 0, 0, 1, 2, 0]);
    let table = a.into_iter().zip(b).map(|(a, b)| vec![a, b]).collect();
    let ratings = ratings(&table);
    close(ratings.cohen("a0", "a1", Weights::None).unwrap(), 0.696969696969697);
    close(ratings.cohen("a0", "a1", Weights::Linear).unwrap(), 0.6511627906976745);
    close(ratings.cohen("a0", "a1", Weights::Quadratic).unwrap(), 0.6031746031746033);
}

#[test]
fn fleiss_kappa_equals_statsmodels() {
    for case in golden().complete {
        close(ratings(&case.table).fleiss(), case.fleiss.unwrap());
    }
}

#[test]
fn krippendorffs_alpha_equals_its_package_with_and_without_gaps() {
    let golden = golden();
    for case in golden.complete.iter().chain(&golden.with_gaps) {
        close(ratings(&case.table).krippendorff(), case.krippendorff);
    }
}

/// crowd-kit takes no probability for less than 1e-10.
const EM: f64 = 1e-8;

#[test]
fn dawid_and_skenes_items_equal_crowd_kits() {
    for case in golden().dawid_skene {
        let model = dawid_skene(&ratings(&case.table));
        assert!(model.converged, "{} rounds", model.rounds);
        for (found, expected) in model.items.iter().flatten().zip(case.items.iter().flatten()) {
            assert!((found - expected).abs() < EM, "found {found}, expected {expected}");
        }
    }
}

#[test]
fn an_annotator_who_always_errs_one_way_is_found_out() {
    // Two are right; the third calls each 1 a 2.
    let table: Numbers =
        (0..40).map(|item| item % 4).map(|class| vec![class, class, if class == 1 { 2 } else { class }]).collect();
    let model = dawid_skene(&ratings(&table));
    assert!(model.confusion[2][1][2] > 0.99 && model.confusion[0][1][1] > 0.99, "{:?}", model.confusion);
    assert!((model.prior[1] - 0.25).abs() < 1e-6);
}

#[test]
fn without_anything_to_correct_by_a_coefficient_is_undefined() {
    let same: Numbers = vec![vec![1, 1, 1]; 5];
    let ratings_ = ratings(&same);
    assert_eq!(ratings_.cohen("a0", "a1", Weights::None).unwrap(), None);
    assert_eq!((ratings_.fleiss(), ratings_.krippendorff()), (None, None));
    let once: Numbers = vec![vec![1, -1], vec![-1, 2]];
    assert_eq!((ratings(&once).fleiss(), ratings(&once).krippendorff()), (None, None));
    assert_eq!(ratings(&vec![]).krippendorff(), None);
    assert_eq!(ratings(&vec![vec![1, 2, 1], vec![1, -1, 1]]).fleiss(), None, "not by the same number");
}

#[test]
fn ratings_that_contradict_themselves_are_refused() {
    let mut twice = annotations(&vec![vec![1, 2]]);
    twice.push(Annotation { class: "3".to_owned(), ..twice[0].clone() });
    let error = Ratings::new(&twice).unwrap_err();
    assert_eq!(error.to_string(), "item '000': 'a0' says both '1' and '3', expected one class; remove one of them");
    let error = Ratings::with_classes(&twice[..1], &["0".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("says '1', expected one of '0'"), "{error}");
    let error = ratings(&vec![vec![1, 2]]).cohen("a0", "mk", Weights::None).unwrap_err();
    assert_eq!(error.to_string(), "found annotator 'mk', expected one of 'a0', 'a1'");
}

fn in_batch(batch: &str, table: &Numbers) -> Vec<Annotation> {
    annotations(table).into_iter().map(|annotation| Annotation { batch: name(batch), ..annotation }).collect()
}

#[test]
fn batches_with_more_than_15_percent_disputed_go_to_review() {
    let batch = |disputed: usize| -> Numbers {
        (0..20).map(|item| if item < disputed { vec![0, 0, 1] } else { vec![2, 2, 2] }).collect()
    };
    let mut all = in_batch("close", &batch(3));
    all.extend(in_batch("over", &batch(4)));
    all.extend(in_batch("two", &vec![vec![0, 1]; 20]));
    let batches = review(&all, &ReviewLimits::default()).unwrap();
    let found: Vec<_> = batches.iter().map(|b| (b.batch.as_str(), b.standing, b.disagreement)).collect();
    assert_eq!(
        found,
        [
            ("close", BatchStanding::Accepted, 0.15),
            ("over", BatchStanding::Review, 0.2),
            ("two", BatchStanding::TooFewAnnotators, 0.0)
        ]
    );
    assert_eq!(batches[1].disputed, ["000", "001", "002", "003"]);
}

#[test]
fn a_ruling_raises_the_guides_version_and_outweighs_the_votes() {
    let ratings = ratings(&vec![vec![0, 0, 0], vec![0, 0, 1], vec![0, 1, 2], vec![0, 0, 1]]);
    let mut rulings = Rulings::default();
    assert_eq!(rulings.record(&name("lead"), START, "", []), 1);
    let decide = |item: &str, class: &str| (item.to_owned(), class.to_owned());
    let reason = "a scratch below 0.1 mm is none";
    assert_eq!(rulings.record(&name("lead"), START, reason, [decide("003", "1"), decide("009", "2")]), 2);
    let labels = settle(&ratings, &rulings);
    let found: Vec<_> = labels.iter().map(|l| (l.item.as_str(), l.class.as_deref(), l.source)).collect();
    assert_eq!(
        found,
        [
            ("000", Some("0"), Source::Unanimous),
            ("001", Some("0"), Source::Majority),
            ("002", None, Source::Disputed),
            ("003", Some("1"), Source::Ruling { guide: 2 }),
            ("009", Some("2"), Source::Ruling { guide: 2 }),
        ]
    );
    assert_eq!(rulings.record(&name("lead"), START, "", [decide("003", "0")]), 3);
    assert_eq!(settle(&ratings, &rulings)[3].class.as_deref(), Some("0"), "the newest guide counts");
}

#[test]
fn rulings_survive_their_file_and_a_wrong_file_is_refused() {
    let mut rulings = Rulings::default();
    rulings.record(&name("lead"), START, "as agreed", [("003".to_owned(), "1".to_owned())]);
    let bytes = rulings.to_bytes().unwrap();
    assert_eq!(Rulings::parse(&bytes).unwrap(), rulings);
    let text = String::from_utf8(bytes).unwrap();
    let error = Rulings::parse(text.replace("\"guide\": 2", "\"guide\": 1").as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("rulings.json: rulings[0].guide: found 1, expected a version"), "{error}");
    let error = Rulings::parse(b"{\"schema\": 2}").unwrap_err();
    assert_eq!(error.kind(), "newer_schema");
}

fn any_table() -> impl Strategy<Value = Numbers> {
    (2_usize..5, 1_usize..20)
        .prop_flat_map(|(annotators, items)| prop::collection::vec(prop::collection::vec(-1_i64..4, annotators), items))
}

proptest! {
    #[test]
    fn coefficients_are_at_most_1_and_probabilities_sum_to_1(table in any_table()) {
        let ratings = ratings(&table);
        for coefficient in [ratings.krippendorff(), ratings.fleiss()].into_iter().flatten() {
            prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&coefficient), "{coefficient}");
        }
        for item in dawid_skene(&ratings).items {
            prop_assert!((item.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{item:?}");
        }
    }

    #[test]
    fn names_of_annotators_and_order_of_items_do_not_matter(table in any_table()) {
        let turned: Numbers = table.iter().rev().map(|row| row.iter().rev().copied().collect()).collect();
        let (a, b) = (ratings(&table).krippendorff(), ratings(&turned).krippendorff());
        prop_assert_eq!(a.is_some(), b.is_some());
        prop_assert!(a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-12));
    }
}
