//! What holds whatever comes.

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Predicted(Box<Outcome>),
    Labelled(Label),
}

fn any_event() -> impl Strategy<Value = Event> {
    let verdict = || prop::sample::select(vec![Good, Defect, Uncertain]);
    let predicted = (0_u64..12, verdict()).prop_map(|(number, verdict)| {
        let part_id = (number % 5 != 0).then(|| name(&format!("A-{:05}", number % 4)));
        Event::Predicted(Box::new(Outcome { part_id, ..outcome(number, verdict) }))
    });
    let subject = prop_oneof![
        (0_u64..12).prop_map(|number| Subject::Prediction(outcome(number, Good).prediction_id)),
        (0_u64..4).prop_map(part),
        (0_u64..12, 1_u64..6).prop_map(|(from, length)| Subject::Span {
            station: name("cam-1"),
            from: after(from * 1000),
            until: after((from + length) * 1000),
        }),
    ];
    let said = prop::sample::select(vec![
        LabelVerdict::Good,
        LabelVerdict::Defect,
        LabelVerdict::Class(name("ok")),
        LabelVerdict::Class(name("dent")),
    ]);
    let labelled = (subject, said, "[ab]", 0_u64..3)
        .prop_map(|(by, verdict, inspector, at)| Event::Labelled(label(by, verdict, &inspector, at)));
    prop_oneof![predicted, labelled]
}

fn counts_after(events: &[Event]) -> Option<Counts> {
    let (_dir, mut store) = fresh();
    store.declare(VersionDigest::of_manifest(b"manifest"), [("ok".to_owned(), true)]).unwrap();
    for event in events {
        match event {
            Event::Predicted(outcome) => store.predicted(outcome).unwrap(),
            Event::Labelled(label) => drop(store.labelled(label, START).unwrap()),
        }
    }
    Some(store.summary(after(1), WEEK).models.first()?.quality.counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_order_of_labels_and_no_repetition_shows(
        events in prop::collection::vec(any_event(), 1..30),
        shuffled in any::<prop::sample::Index>(),
    ) {
        // One prediction has one outcome.
        let mut events = events;
        let mut seen = std::collections::HashSet::new();
        events.retain(|event| match event {
            Event::Predicted(outcome) => seen.insert(outcome.prediction_id),
            Event::Labelled(_) => true,
        });
        let expected = counts_after(&events);
        let mut others = events.clone();
        others.rotate_left(shuffled.index(events.len()));
        others.reverse();
        others.extend(events.iter().filter(|event| matches!(event, Event::Labelled(_))).cloned());
        prop_assert_eq!(counts_after(&others), expected);
    }

    #[test]
    fn any_prediction_survives_its_record(outcome in any_outcome(), ordinal in any::<u64>()) {
        let Some(predicted) = super::record::Predicted::of(&outcome, ordinal) else { return Ok(()) };
        let record = Record::Predicted(predicted);
        let (mut payload, mut codec) = (Vec::new(), Records::default());
        codec.encode(&record, &mut payload).unwrap();
        prop_assert_eq!(Records::default().decode(&payload).unwrap(), record);
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Records::default().decode(&payload);
    }
}
