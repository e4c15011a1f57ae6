//! Images to be labelled, annotators and experts, through the binary.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};
use takt_monitoring::capture::{Capture, CaptureConfig, Reason};
use takt_monitoring::events::{
    Arm, Features, Latency, Name, Outcome, PredictionId, Schema, Status, TrafficShare, UnixMillis,
};

fn takt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn outcome(number: u64) -> Outcome {
    let at = UnixMillis(1_772_354_400_000 + number);
    Outcome {
        schema: Schema,
        prediction_id: PredictionId::from_parts(at, number.into()),
        part_id: None,
        station: Some(Name::new("north").unwrap()),
        product: None,
        model: Name::new("surface").unwrap(),
        version_digest: VersionDigest::of_manifest(b"1"),
        arm: Arm::Stable,
        rho: TrafficShare::NONE,
        routed_at: at,
        latency: Latency::default(),
        status: Status::Ok,
        decision: Some(Judgement {
            class: 1,
            label: "dent".to_owned(),
            score: 0.75,
            defect_score: 0.75,
            verdict: Verdict::Uncertain,
        }),
        features: Features::default(),
    }
}

/// Keeps the shipped image of that name, as the server does.
fn keep(state: &Path, image: &str, number: u64, reason: Reason) {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images");
    let mut store = Capture::open(&state.join("monitor/images"), CaptureConfig::default()).unwrap();
    let bytes = fs::read(images.join(image)).unwrap();
    let outcome = outcome(number);
    store.keep(&bytes, &outcome, reason, outcome.routed_at).unwrap();
}

#[test]
fn pulled_images_are_labelled_once_and_become_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let (state, out) = (folder.path().join("state"), folder.path().join("to-label"));
    keep(&state, "crack-000001.jpg", 1, Reason::Uncertain);
    keep(&state, "hole-000013.jpg", 2, Reason::OneInN);
    let pull = |args: &[&str]| {
        let paths = ["--from", state.to_str().unwrap(), "--out", out.to_str().unwrap()];
        takt(&[&["data", "pull", "--json"], &paths[..], args].concat())
    };
    let counted = |output: &Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let first = counted(&pull(&["--reasons", "uncertain"]));
    assert_eq!((&first["added"], &first["left_out"]), (&1.into(), &1.into()), "{first}");
    let labels = out.join("labels.csv");
    let rows = fs::read_to_string(&labels).unwrap();
    let row: Vec<&str> = rows.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(row[1..7], ["", "dent", "0.75", "uncertain", "uncertain", "north"]);
    assert!(out.join(row[0]).is_file());

    // A person fills it in; what is pulled later does not touch that.
    let labelled = rows.replace(&format!("{},,", row[0]), &format!("{},crack,", row[0]));
    fs::write(&labels, labelled).unwrap();
    let second = counted(&pull(&[]));
    assert_eq!((&second["added"], &second["known"]), (&1.into(), &1.into()), "{second}");
    let rows = fs::read_to_string(&labels).unwrap();
    assert!(rows.contains(&format!("{},crack,dent", row[0])) && rows.lines().count() == 3, "{rows}");

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("labels.csv"), "file,label\n").unwrap();
    let output = takt(&["data", "pull", "--from", state.to_str().unwrap(), "--out", other.to_str().unwrap()]);
    let told = text(&output.stderr);
    assert!(
        output.status.code() == Some(1) && told.contains("no labels.csv with the columns file,label,suggested"),
        "{told}"
    );
    let output = takt(&["data", "pull", "--from", "nowhere", "--out", out.to_str().unwrap()]);
    assert!(text(&output.stderr).contains("nowhere has no captured images"), "{}", text(&output.stderr));
}

/// Twenty items in two batches: in `b2` the third annotator sees dents where the others see scratches.
fn annotations(folder: &Path) -> String {
    let mut rows = "batch,item,annotator,class\n".to_owned();
    for item in 0..20 {
        let batch = if item < 10 { "b1" } else { "b2" };
        for annotator in ["ada", "bob", "cyd"] {
            let class = match (item % 3, batch, annotator) {
                (0, "b2", "cyd") => "dent",
                (0, ..) => "scratch",
                _ => "ok",
            };
            rows += &format!("{batch},img-{item}.jpg,{annotator},{class}\n");
        }
    }
    let path = folder.join("annotations.csv");
    fs::write(&path, rows).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_disputed_batch_goes_to_an_expert_whose_ruling_reaches_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let annotations = annotations(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let agreement = |args: &[&str]| takt(&[&["data", "agreement", &annotations], args].concat());
    let output = agreement(&["--fail-on-review"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("REVIEW              b2: 3 of 10 items disputed (30.0 %)"), "{shown}");
    assert!(shown.contains("img-12.jpg, img-15.jpg, img-18.jpg"), "{shown}");
    assert!(
        shown.contains("accepted            b1: 0 of 10") && shown.contains("17 unanimous, 3 by majority"),
        "{shown}"
    );

    fs::write(path("decisions.csv"), "item,class\nimg-12.jpg,dent\nimg-15.jpg,scratch\n").unwrap();
    fs::write(path("labels.csv"), "file,label,split\nimg-12.jpg,scratch,train\nimg-0.jpg,scratch,\nnew.jpg,ok,\n")
        .unwrap();
    let (rulings, decisions, labels) = (path("rulings.json"), path("decisions.csv"), path("labels.csv"));
    let decide = ["--rulings", &rulings, "--decide", &decisions, "--expert", "eve", "--reason", "A dent has an edge."];
    let output = agreement(&[&decide[..], &["--apply", &labels, "--json"]].concat());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["decided"]["recorded"], &told["decided"]["guide"], &told["guide"]),
        (&2.into(), &2.into(), &2.into())
    );
    let applied = &told["applied"];
    assert_eq!(
        (&applied["changed"], &applied["kept"], &applied["open"]),
        (&1.into(), &1.into(), &1.into()),
        "{applied}"
    );
    let expected = "file,label,split,label_source\nimg-12.jpg,dent,train,ruling under guide 2\nimg-0.jpg,scratch,,unanimous\nnew.jpg,ok,,\n";
    assert_eq!(fs::read_to_string(path("labels.csv")).unwrap(), expected);
    // Decided again as it was, nothing is recorded and the guide stays.
    let output = agreement(&[&decide[..], &["--labels", &path("all.csv")]].concat());
    assert!(text(&output.stdout).contains("0 rulings recorded, 2 were known; the guide's version is 2"));
    assert!(fs::read_to_string(path("all.csv")).unwrap().contains("img-15.jpg,scratch,ruling under guide 2"));
}

#[test]
fn faults_of_annotations_and_decisions_are_told_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let told = |args: &[&str]| {
        let output = takt(&[&["data", "agreement"], args].concat());
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let error = told(&[&path("a.csv", "item,annotator,class\ni,,ok\n,ada,\n")]);
    assert!(error.contains("line 2: annotator: found") && error.contains("line 3: no item"), "{error}");
    assert!(error.contains("line 3: no class"), "{error}");
    let error = told(&[&path("b.csv", "item,rater,class\n")]);
    assert!(error.contains("expected item, annotator, class; add annotator"), "{error}");
    let error = told(&[&path("c.csv", "item,annotator,class\ni,ada,ok\ni,ada,dent\n")]);
    assert!(error.contains("'ada' says both 'ok' and 'dent'"), "{error}");
    let good = path("d.csv", "item,annotator,class\nimg-1,ada,ok\nimg-1,bob,ok\n");
    let decisions = path("e.csv", "item,class\nimg-2,ok\nimg-1,\n");
    let rulings = folder.path().join("r.json");
    let error = told(&[&good, "--rulings", rulings.to_str().unwrap(), "--decide", &decisions, "--expert", "eve"]);
    assert!(error.contains("nobody rated 'img-2'") && error.contains("did you mean 'img-1'?"), "{error}");
    assert!(error.contains("line 3: 'img-1' has no class") && !rulings.exists(), "{error}");
}
