use proptest::prelude::*;

use super::*;

fn sample() -> Profile {
    let half = 0.5_f32;
    let brightness = Feature {
        bins: Bins::Grid(Grid {
            // 0.5 is an atom.
            edges: vec![0.1, half, half.next_up(), 0.9],
            psi_edges: vec![0, 3],
        }),
        counts: BTreeMap::from([
            ("cam-1".to_owned(), Counts { slots: vec![3, 10, 40, 12, 5], missing: 2, neg_inf: 1, pos_inf: 0 }),
            ("cam-2".to_owned(), Counts { slots: vec![0, 9, 20, 1, 0], ..Counts::default() }),
        ]),
        null: Some(NullPanes {
            pane: Pane::Units(NonZeroU64::new(500).unwrap()),
            psi: vec![0.01, 0.02],
            ks: vec![0.03, 0.05],
        }),
    };
    let class = Feature {
        bins: Bins::Categories(vec!["ok".to_owned(), "scratch".to_owned()]),
        counts: BTreeMap::from([("cam-1".to_owned(), Counts { slots: vec![65, 5], ..Counts::default() })]),
        null: None,
    };
    Profile {
        schema: SCHEMA,
        model: "surface".to_owned(),
        created: "2026-03-01T08:30:00Z".to_owned(),
        origin: Origin::Packaged,
        version: None,
        artefact: None,
        reference_sha256: "ab".repeat(32),
        segments: BTreeMap::from([(
            ANY_SEGMENT.to_owned(),
            Segment {
                units: BTreeMap::from([("cam-1".to_owned(), 70), ("cam-2".to_owned(), 30)]),
                features: BTreeMap::from([("brightness".to_owned(), brightness), ("class".to_owned(), class)]),
            },
        )]),
    }
}

/// The one fault after `change`, as text, told by a parser that read the JSON.
fn fault(change: impl FnOnce(&mut Profile)) -> String {
    let mut profile = sample();
    change(&mut profile);
    let error = Profile::parse(&serde_json::to_vec(&profile).unwrap()).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{error}");
    error.faults()[0].to_string()
}

fn in_brightness(change: impl FnOnce(&mut Feature)) -> String {
    let text = fault(|p| {
        let segment = p.segments.get_mut(ANY_SEGMENT).unwrap();
        change(segment.features.get_mut("brightness").unwrap());
    });
    let path = "segments[\"*\"].features[\"brightness\"].";
    assert!(text.starts_with(path), "{text}");
    text[path.len()..].to_owned()
}

fn in_grid(change: impl FnOnce(&mut Grid)) -> String {
    in_brightness(|f| match &mut f.bins {
        Bins::Grid(grid) => change(grid),
        Bins::Categories(_) => panic!("brightness is a number"),
    })
}

#[test]
fn a_full_profile_is_written_as_agreed() {
    let profile = sample();
    insta::assert_snapshot!(serde_json::to_string_pretty(&profile).unwrap());
    let bytes = profile.to_bytes().unwrap();
    assert!(bytes.ends_with(b"}\n"));
    assert_eq!(Profile::parse(&bytes).unwrap(), profile);
}

#[test]
fn schema_and_form_are_told_apart() {
    let error = Profile::parse(br#"{"schema": 7}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "profile.json: written by a newer Takt: schema 7, this reads up to 1; update Takt on this machine"
    );
    let mut value = serde_json::to_value(sample()).unwrap();
    value["segments"]["*"]["features"]["class"]["bins"] = serde_json::json!({"histogram": []});
    let error = Profile::parse(value.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.kind(), "form");
    assert!(error.to_string().contains("segments.*.features.class.bins"), "{error}");
}

#[test]
fn identity_must_be_in_form() {
    assert!(fault(|p| p.model.clear()).starts_with("model: found \"\""));
    assert!(fault(|p| p.created = "today".to_owned()).starts_with("created: found"));
    assert!(fault(|p| p.reference_sha256.clear()).starts_with("reference_sha256: found"));
    assert!(fault(|p| p.segments.clear()).starts_with("segments: found 0"));
    let text = fault(|p| p.origin = Origin::Learned);
    assert!(text.starts_with("version: found nothing"), "{text}");
    let mut learned = sample();
    learned.origin = Origin::Learned;
    learned.version = Some(VersionDigest::of_manifest(b""));
    assert_eq!(Profile::parse(&learned.to_bytes().unwrap()).unwrap(), learned);
}

#[test]
fn a_grid_must_be_increasing_and_its_bins_part_of_it() {
    let text = in_grid(|g| g.edges[3] = 0.2);
    assert!(text.starts_with("bins.grid.edges[3]: found 0.2 after 0.5"), "{text}");
    let text = in_grid(|g| g.psi_edges = vec![0, 4]);
    assert!(text.starts_with("bins.grid.psi_edges: found [0, 4]"), "{text}");
    let text = in_grid(|g| g.psi_edges = vec![3, 0]);
    assert!(text.starts_with("bins.grid.psi_edges: found [3, 0]"), "{text}");
    let text = in_grid(|g| g.psi_edges.clear());
    assert!(text.starts_with("bins.grid.psi_edges: found []"), "{text}");
}

#[test]
fn counts_must_fit_their_slots_and_stations() {
    let cam_1 = |change: fn(&mut Counts)| in_brightness(|f| change(f.counts.get_mut("cam-1").unwrap()));
    let text = cam_1(|c| c.slots.push(0));
    assert!(text.starts_with("counts[\"cam-1\"].slots: found 6 counts, expected 5"), "{text}");
    let text = cam_1(|c| c.neg_inf = 4);
    assert!(text.starts_with("counts[\"cam-1\"].neg_inf: found 4, expected at most 3"), "{text}");
    let text = in_brightness(|f| {
        let counts = f.counts.remove("cam-2").unwrap();
        f.counts.insert("cam-9".to_owned(), counts);
    });
    assert!(text.starts_with("counts[\"cam-9\"]: found station 'cam-9'"), "{text}");
    let text = in_brightness(|f| f.counts.clear());
    assert!(text.starts_with("counts: found no values"), "{text}");
}

#[test]
fn null_panes_must_be_whole_and_possible() {
    let null = |change: fn(&mut NullPanes)| in_brightness(|f| change(f.null.as_mut().unwrap()));
    assert!(null(|n| n.ks.truncate(1)).starts_with("null.ks: found 1 panes, expected 2"));
    assert!(null(|n| n.psi[1] = -0.1).starts_with("null.psi[1]: found -0.1"));
    assert!(null(|n| n.ks[0] = 1.5).starts_with("null.ks[0]: found 1.5"));
}

#[test]
fn every_value_has_its_slot_and_atoms_are_known() {
    let grid = Grid { edges: vec![0.1, 0.5, 0.5_f32.next_up(), 0.9], psi_edges: vec![0, 3] };
    let slots = [f32::NEG_INFINITY, 0.0, 0.1, 0.5, 0.5_f32.next_up(), 0.9, f32::INFINITY];
    let slots: Vec<_> = slots.iter().map(|&v| grid.slot(v).unwrap()).collect();
    assert_eq!(slots, [0, 0, 1, 2, 3, 4, 4]);
    assert_eq!(grid.slot(f32::NAN), None);
    let atoms: Vec<_> = (0..grid.slots()).filter(|&s| grid.is_atom(s)).collect();
    assert_eq!((atoms, grid.psi_bins()), (vec![2], 3));
}

#[test]
fn a_product_without_a_reference_uses_the_common_one() {
    let mut profile = sample();
    let mut own = profile.segments[ANY_SEGMENT].clone();
    own.features.clear();
    profile.segments.insert("lid".to_owned(), own.clone());
    assert_eq!(profile.segment("lid"), Some(&own));
    assert_eq!(profile.segment("box"), Some(&profile.segments[ANY_SEGMENT]));
}

proptest! {
    /// Atoms hang on single bits of the edges, so no bit may be lost on the way through JSON.
    #[test]
    fn edges_survive_json_bit_for_bit(
        values in prop::collection::btree_set(any::<u32>(), 1..50),
        counts in prop::collection::vec(0..u64::MAX / 200, 101),
    ) {
        let mut edges: Vec<f32> = values.into_iter().map(f32::from_bits).filter(|v| v.is_finite()).collect();
        edges.extend(edges.clone().into_iter().map(f32::next_up));
        edges.retain(|v| v.is_finite());
        edges.sort_by(f32::total_cmp);
        edges.dedup();
        prop_assume!(!edges.is_empty());
        let mut profile = sample();
        let feature = profile.segments.get_mut(ANY_SEGMENT).unwrap().features.get_mut("brightness").unwrap();
        let mut slots = counts;
        slots.truncate(edges.len() + 1);
        slots[0] += 1;
        feature.counts = BTreeMap::from([("cam-1".to_owned(), Counts { slots, ..Counts::default() })]);
        feature.bins = Bins::Grid(Grid { psi_edges: vec![edges.len() - 1], edges: edges.clone() });
        let read = Profile::parse(&profile.to_bytes().unwrap()).unwrap();
        let Bins::Grid(grid) = &read.segments[ANY_SEGMENT].features["brightness"].bins else {
            panic!("brightness is a number");
        };
        let bits = |edges: &[f32]| edges.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&grid.edges), bits(&edges));
        prop_assert_eq!(read, profile);
    }
}
