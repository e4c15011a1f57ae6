//! Events for tests.

use std::time::Duration;

use proptest::prelude::*;
use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};

use crate::events::{
    Arm, FeatureList, Features, Latency, Name, Outcome, PredictionId, Schema, Status, TrafficShare, UnixMillis,
};

/// 2026-03-01T08:40:00Z, a Sunday.
pub(crate) const START: UnixMillis = UnixMillis(1_772_354_400_000);

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) const fn after(milliseconds: u64) -> UnixMillis {
    UnixMillis(START.0 + milliseconds)
}

/// The verdict about part `A-<number>`, one a second, with the class that goes with it.
pub(crate) fn outcome(number: u64, verdict: Verdict) -> Outcome {
    let routed_at = after(number * 1000);
    let (class, label, score) = match verdict {
        Verdict::Good => (0, "ok", 0.05),
        Verdict::Defect => (1, "scratch", 0.95),
        Verdict::Uncertain => (2, "dent", 0.5),
    };
    Outcome {
        schema: Schema,
        prediction_id: PredictionId::from_parts(routed_at, number.into()),
        part_id: Some(name(&format!("A-{number:05}"))),
        station: Some(name("cam-1")),
        product: Some(name("lid")),
        model: name("surface"),
        version_digest: VersionDigest::of_manifest(b"manifest"),
        arm: Arm::Stable,
        rho: TrafficShare::NONE,
        routed_at,
        latency: Latency {
            queue: Duration::from_micros(310),
            decode: Duration::from_micros(2_400),
            input: Duration::from_micros(12),
            infer: Duration::from_millis(9),
            output: Duration::from_nanos(1_700),
        },
        status: Status::Ok,
        decision: Some(Judgement { class, label: label.to_owned(), score: 0.9, defect_score: score, verdict }),
        features: Features::default(),
    }
}

/// Outcomes of every shape.
pub(crate) fn any_outcome() -> impl Strategy<Value = Outcome> {
    let names = (prop::option::of("[^\\p{Cc}]{1,32}"), prop::option::of("cam-[0-9]"), prop::option::of("lid|box"));
    let times = (any::<u64>(), 0_u64..1 << 48, prop::array::uniform5(any::<u64>()));
    let verdict = prop::sample::select(vec![Verdict::Good, Verdict::Defect, Verdict::Uncertain]);
    let arm = prop::sample::select(vec![Arm::Stable, Arm::Canary, Arm::Shadow]);
    let values = prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..20);
    let ended = prop::option::of((verdict, 0.0_f32..=1.0, 0_usize..1000));
    (names, times, ended, arm, values, any::<u128>(), 0_u32..=1_000_000).prop_map(
        |((part, station, product), (routed_at, id_time, nanos), ended, arm, values, random, share)| {
            let [queue, decode, input, infer, output] = nanos.map(Duration::from_nanos);
            Outcome {
                prediction_id: PredictionId::from_parts(UnixMillis(id_time), random),
                part_id: part.as_deref().map(name),
                station: station.as_deref().map(name),
                product: product.as_deref().map(name),
                arm,
                rho: TrafficShare::new(f64::from(share) / 1e6).unwrap(),
                routed_at: UnixMillis(routed_at),
                latency: Latency { queue, decode, input, infer, output },
                status: if ended.is_some() { Status::Ok } else { Status::Error("timeout".into()) },
                decision: ended.map(|(verdict, score, class)| Judgement {
                    class,
                    label: format!("class {class}"),
                    score,
                    defect_score: score,
                    verdict,
                }),
                features: match values.is_empty() {
                    true => Features::default(),
                    false => Features { list: FeatureList(3), values },
                },
                ..outcome(0, Verdict::Good)
            }
        },
    )
}
