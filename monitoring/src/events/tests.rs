use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn outcome() -> Outcome {
    let routed_at = UnixMillis(1_772_354_400_123);
    Outcome {
        schema: Schema,
        prediction_id: PredictionId::from_parts(routed_at, 7),
        part_id: Some(name("A-00017")),
        station: Some(name("cam-1")),
        product: Some(name("lid")),
        model: name("surface"),
        version_digest: VersionDigest::of_manifest(b"manifest"),
        arm: Arm::Canary,
        rho: TrafficShare::new(0.05).unwrap(),
        routed_at,
        latency: Latency {
            queue: Duration::from_micros(310),
            decode: Duration::from_micros(2_400),
            input: Duration::from_micros(12),
            infer: Duration::from_millis(9),
            output: Duration::from_nanos(1_700),
        },
        status: Status::Ok,
        decision: Some(Judgement {
            class: 1,
            label: "scratch".to_owned(),
            score: 0.875,
            defect_score: 0.9,
            verdict: Verdict::Defect,
        }),
        features: Features { list: FeatureList(1), values: vec![0.42, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] },
    }
}

fn label(by: Subject) -> Label {
    Label {
        schema: Schema,
        by,
        verdict: LabelVerdict::Class(name("scratch")),
        inspector: name("mk"),
        at: UnixMillis(1_772_358_000_000),
    }
}

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap()
}

/// The error of an outcome line after `change`.
fn refused(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut value = serde_json::to_value(outcome()).unwrap();
    change(&mut value);
    Outcome::parse(value.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn outcomes_are_written_as_agreed() {
    let line = text(outcome().to_line().unwrap());
    insta::assert_snapshot!(line);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(Outcome::parse(line.as_bytes()).unwrap(), outcome());
}

#[test]
fn an_outcome_of_a_model_that_only_answers_is_short() {
    let outcome = Outcome {
        part_id: None,
        station: None,
        product: None,
        arm: Arm::Stable,
        rho: TrafficShare::NONE,
        latency: Latency::default(),
        status: Status::Error("queue_full".into()),
        decision: None,
        features: Features::default(),
        ..outcome()
    };
    let line = text(outcome.to_line().unwrap());
    insta::assert_snapshot!(line);
    assert_eq!(Outcome::parse(line.as_bytes()).unwrap(), outcome);
}

#[test]
fn labels_are_written_as_agreed() {
    let labels = [
        label(Subject::Prediction(PredictionId::from_parts(UnixMillis(1), 7))),
        label(Subject::Part { station: name("cam-1"), part_id: name("A-00017") }),
        Label {
            verdict: LabelVerdict::Good,
            ..label(Subject::Span { station: name("cam-1"), from: UnixMillis(1), until: UnixMillis(2) })
        },
    ];
    let lines: Vec<_> = labels.iter().map(|l| text(l.to_line().unwrap())).collect();
    insta::assert_snapshot!(lines.concat());
    for (label, line) in labels.iter().zip(&lines) {
        assert_eq!(&Label::parse(line.as_bytes()).unwrap(), label);
    }
}

#[test]
fn newer_lines_are_called_newer() {
    let error = Outcome::parse(br#"{"schema": 2, "prediction": {}}"#).unwrap_err();
    assert_eq!(error.kind(), "newer_schema");
    let error = Label::parse(br#"{"schema": 2}"#).unwrap_err();
    assert!(error.to_string().starts_with("label: written by a newer Takt: schema 2"), "{error}");
    assert_eq!(Label::parse(b"{}").unwrap_err().kind(), "no_schema");
}

#[test]
fn faults_of_an_outcome_name_the_key() {
    let text = refused(|o| o["prediction_id"] = "17".into());
    assert!(text.starts_with("outcome: prediction_id: found '17', expected a prediction id"), "{text}");
    let text = refused(|o| o["rho"] = 5.into());
    assert!(text.starts_with("outcome: rho: found 5, expected a share"), "{text}");
    let text = refused(|o| o["station"] = "".into());
    assert!(text.starts_with("outcome: station: found \"\" of 0 bytes"), "{text}");
    let text = refused(|o| o["part_id"] = "x".repeat(129).into());
    assert!(text.contains("of 129 bytes, expected 1 to 128"), "{text}");
    let text = refused(|o| o["latency"]["queue_ns"] = (-1).into());
    assert!(text.starts_with("outcome: latency.queue_ns: invalid value: integer `-1`"), "{text}");
    let text = refused(|o| o["arm"] = "blue".into());
    assert!(text.starts_with("outcome: arm: unknown variant `blue`"), "{text}");
    let text = refused(|o| o["features"]["values"][0] = "many".into());
    assert!(text.contains("features.values[0]: expected a number, null"), "{text}");
    let text = refused(|o| o["colour"] = "red".into());
    assert!(text.contains("unknown field `colour`"), "{text}");
    let text = refused(|o| o["version_digest"] = "abc".into());
    assert!(text.starts_with("outcome: version_digest: found 'abc'"), "{text}");
}

#[test]
fn an_outcome_that_contradicts_itself_is_neither_read_nor_written() {
    let text = refused(|o| o["status"] = serde_json::json!({"error": "timeout"}));
    assert!(text.starts_with("outcome: decision: found a verdict"), "{text}");
    let text = refused(|o| o["decision"]["score"] = 1.5.into());
    assert!(text.starts_with("outcome: decision.score: found 1.5"), "{text}");
    let wordy = Outcome { status: Status::Error("Deadline exceeded!".into()), decision: None, ..outcome() };
    let error = wordy.to_line().unwrap_err();
    assert!(error.to_string().contains("status.error"), "{error}");
}

#[test]
fn a_span_that_ends_before_it_begins_is_refused() {
    let error = label(Subject::Span { station: name("cam-1"), from: UnixMillis(5), until: UnixMillis(5) })
        .to_line()
        .unwrap_err();
    assert!(error.to_string().starts_with("label: by.span: found from 5 until 5"), "{error}");
}

#[test]
fn ids_carry_their_time_and_differ() {
    let at = UnixMillis(1_772_354_400_123);
    let (first, second) = (PredictionId::at(at), PredictionId::at(at));
    assert_ne!(first, second);
    assert_eq!(first.time(), at);
    assert_eq!(first.to_string().parse(), Ok(first));
    assert!(PredictionId::at(UnixMillis(at.0 + 1)) > first, "ids sort by time");
    assert_eq!(PredictionId::at(UnixMillis(u64::MAX)).time().0, (1 << 48) - 1);
}

#[test]
fn a_clock_before_1970_gives_the_epoch() {
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(UnixMillis::from(early), UnixMillis(0));
    let later = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
    assert_eq!(UnixMillis::from(later), UnixMillis(1_500));
}

#[test]
fn shares_are_fractions_of_one() {
    assert_eq!(TrafficShare::new(0.05).unwrap().to_string(), "5 %");
    assert_eq!(TrafficShare::new(1.0), Ok(TrafficShare::ALL));
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(TrafficShare::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_total_is_the_sum_of_the_stages() {
    assert_eq!(outcome().latency.total(), Duration::from_nanos(11_723_700));
}

proptest! {
    #[test]
    fn any_outcome_survives_its_line(
        values in prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..20),
        part in prop::option::of("[^\\p{Cc}]{1,32}"),
        nanos in prop::array::uniform5(any::<u64>()),
        share in 0_u32..=1_000_000,
        routed_at in any::<u64>(),
        score in 0.0_f32..=1.0,
        random in any::<u128>(),
    ) {
        let [queue, decode, input, infer, output] = nanos.map(Duration::from_nanos);
        let event = Outcome {
            part_id: part.map(|part| name(&part)),
            prediction_id: PredictionId::from_parts(UnixMillis(routed_at >> 16), random),
            latency: Latency { queue, decode, input, infer, output },
            rho: TrafficShare::new(f64::from(share) / 1e6).unwrap(),
            routed_at: UnixMillis(routed_at),
            decision: outcome().decision.map(|d| Judgement { score, ..d }),
            features: match values.is_empty() {
                true => Features::default(),
                false => Features { list: FeatureList(3), values },
            },
            ..outcome()
        };
        prop_assert_eq!(Outcome::parse(&event.to_line().unwrap()).unwrap(), event);
    }

    #[test]
    fn no_line_makes_the_parsers_panic(line in "\\PC{0,100}") {
        prop_assert!(Outcome::parse(line.as_bytes()).is_err());
        prop_assert!(Label::parse(line.as_bytes()).is_err());
    }
}
