//! What a server logged, offline and through the binary: as Parquet, against a reference, as a reference, and for causes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};
use takt_artifact::profile::Profile;
use takt_monitoring::events::{
    Arm, Features, Latency, Name, Outcome, PredictionId, Schema, Status, TrafficShare, UnixMillis,
};
use takt_monitoring::features::{VISION, VISION_LEN};
use takt_monitoring::log::{Limits, Writer};
use takt_tables::{Kind, Table};

/// 2026-03-01T08:40:00Z.
const START: u64 = 1_772_354_400_000;

fn takt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prediction `number`, one a second: brightness wanders around `light`, every tenth part of station `bad` is a defect.
fn outcome(model: &str, number: u64, light: f32) -> Outcome {
    let name = |text: &str| Some(Name::new(text).unwrap());
    let at = UnixMillis(START + number * 1000);
    let station = if number.is_multiple_of(2) { "north" } else { "south" };
    let defect = number.is_multiple_of(10);
    let wander = ((number * 7919) % 1000) as f32 / 1000.0;
    let mut values = vec![wander; VISION_LEN];
    values[0] = light + 0.2 * wander;
    Outcome {
        schema: Schema,
        prediction_id: PredictionId::from_parts(at, number.into()),
        part_id: name(&format!("part-{number}")),
        station: name(station),
        product: None,
        model: Name::new(model).unwrap(),
        version_digest: VersionDigest::of_manifest(model.as_bytes()),
        arm: Arm::Stable,
        rho: TrafficShare::NONE,
        routed_at: at,
        latency: Latency {
            queue: Duration::from_micros(300),
            decode: Duration::from_millis(2),
            input: Duration::ZERO,
            infer: Duration::from_millis(9),
            output: Duration::ZERO,
        },
        status: Status::Ok,
        decision: Some(Judgement {
            class: usize::from(defect),
            label: if defect { "dent" } else { "ok" }.to_owned(),
            score: 0.9,
            defect_score: if defect { 0.9 } else { 0.1 },
            verdict: if defect { Verdict::Defect } else { Verdict::Good },
        }),
        features: Features { list: VISION, values },
    }
}

/// A state directory with a log of these outcomes; gives the directory's path.
fn log(state: &Path, outcomes: impl IntoIterator<Item = Outcome>) -> String {
    let folder = state.join("monitor/predictions");
    let mut writer = Writer::open(&folder, Limits::default(), UnixMillis(START)).unwrap();
    outcomes.into_iter().for_each(|outcome| writer.append(&outcome).unwrap());
    writer.close().unwrap();
    state.to_str().unwrap().to_owned()
}

fn outcomes(model: &str, light: f32) -> Vec<Outcome> {
    (0..2000).map(|number| outcome(model, number, light)).collect()
}

/// Cuts the last bytes off the newest segment, as a power cut does.
fn tear(state: &str) {
    let entries = fs::read_dir(Path::new(state).join("monitor/predictions")).unwrap();
    let newest: PathBuf = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    let file = OpenOptions::new().write(true).open(newest).unwrap();
    file.set_len(file.metadata().unwrap().len() - 5).unwrap();
}

#[test]
fn a_log_becomes_parquet_within_a_time_and_of_a_model_and_a_torn_tail_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let failed = Outcome {
        status: Status::Error("queue_full".into()),
        decision: None,
        features: Features::default(),
        ..outcome("lid", 3, 0.5)
    };
    let all = (0..10).map(|number| outcome("surface", number, 0.5)).chain([failed, outcome("surface", 10, 0.5)]);
    let state = log(folder.path(), all);
    tear(&state);
    let out = folder.path().join("predictions.parquet");
    let export =
        |args: &[&str]| takt(&[&["log", "export", "--log", &state, "--out", out.to_str().unwrap()], args].concat());

    let output = export(&["--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["rows"], told["skipped"].as_array().unwrap().len()), (&11.into(), 1), "{told}");
    let warning = text(&output.stderr);
    assert!(warning.contains("warning: ") && warning.contains("ends within a record"), "{warning}");
    let table = Table::open(&out).unwrap();
    let texts = |name: &str| table.texts_of(name).unwrap();
    assert_eq!(table.rows().unwrap(), 11);
    assert_eq!(table.column("time").unwrap().kind, Kind::Datetime);
    assert_eq!(texts("status")[9..].to_vec(), [Some("ok".to_owned()), Some("queue_full".to_owned())]);
    assert_eq!((texts("verdict")[10].clone(), texts("infer_seconds")[10].clone()), (None, None), "it failed");
    assert_eq!((texts("class")[0].as_deref(), texts("station")[1].as_deref()), (Some("dent"), Some("south")));
    assert_eq!(texts("brightness")[0].as_deref(), Some("0.5"));
    assert_eq!(texts("queue_seconds")[0].as_deref(), Some("0.0003"));

    let output = export(&["--model", "surface", "--since", "2026-03-01T08:40:02Z", "--until", "2026-03-01T08:40:05Z"]);
    assert!(text(&output.stdout).contains("3 predictions in"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("8 others were not asked for"), "{}", text(&output.stdout));
}

#[test]
fn what_is_no_log_no_time_or_nothing_at_all_says_what_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let state = log(folder.path(), [outcome("surface", 0, 0.5)]);
    let out = folder.path().join("x.parquet");
    let errors = |log: &str, args: &[&str]| {
        let output = takt(&[&["log", "export", "--log", log, "--out", out.to_str().unwrap()], args].concat());
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let told = errors("nowhere", &[]);
    assert!(told.contains("nowhere has no prediction log") && told.contains("state directory"), "{told}");
    let told = errors(&state, &["--since", "yesterday"]);
    assert!(told.contains("--since is 'yesterday'") && told.contains("2026-01-05T06:00:00Z"), "{told}");
    let told = errors(&state, &["--model", "lid"]);
    assert!(told.contains("no prediction of") && told.contains("('surface "), "{told}");
    assert!(!out.exists());
}

#[test]
fn a_darker_line_is_drift_between_logs_and_the_same_line_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str, outcomes: Vec<Outcome>| log(&folder.path().join(name), outcomes);
    let before = state("before", outcomes("surface", 0.5));
    let (same, dark) = (state("same", outcomes("surface", 0.5)), state("dark", outcomes("surface", 0.3)));
    let report = |current: &str, args: &[&str]| {
        takt(&[&["drift", "report", "--reference", &before, "--current", current, "--fail-on-drift"], args].concat())
    };
    let output = report(&dark, &["--json"]);
    assert_eq!(output.status.code(), Some(3), "{}{}", text(&output.stdout), text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let columns = found["columns"].as_array().unwrap();
    let verdict = |name: &str| columns.iter().find(|column| column["column"] == name).map(|column| &column["verdict"]);
    assert_eq!((verdict("brightness"), verdict("station")), (Some(&"drift".into()), Some(&"ok".into())));
    assert_eq!(verdict("prediction_id"), None, "what names a row has no distribution");
    assert_eq!(found["current"]["path"], dark, "as it was given, not as it lies on the disk meanwhile");

    tear(&same);
    let output = report(&same, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("ends within a record"), "{}", text(&output.stderr));

    let mixed = state("mixed", [outcomes("surface", 0.5), outcomes("lid", 0.5)].concat());
    let output = report(&mixed, &[]);
    assert!(text(&output.stderr).contains("several models ('lid' and 'surface')"), "{}", text(&output.stderr));
    assert_eq!(report(&mixed, &["--model", "surface"]).status.code(), Some(0));
}

#[test]
fn a_log_and_its_table_make_the_same_reference() {
    let folder = tempfile::tempdir().unwrap();
    let state = log(folder.path(), outcomes("surface", 0.5));
    let [of_log, of_table, parquet] = ["log.json", "table.json", "p.parquet"].map(|name| folder.path().join(name));
    let run = |args: &[&str]| {
        let output = takt(args);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    run(&["data", "profile", "--data", &state, "--out", of_log.to_str().unwrap(), "--classes", "ok,dent"]);
    run(&["log", "export", "--log", &state, "--out", parquet.to_str().unwrap()]);
    let table = ["--data", parquet.to_str().unwrap(), "--out", of_table.to_str().unwrap(), "--model", "surface"];
    run(&[&["data", "profile", "--classes", "ok,dent"], &table[..]].concat());
    let read = |path: &Path| Profile::parse(&fs::read(path).unwrap()).unwrap();
    let (log, table) = (read(&of_log), read(&of_table));
    assert_eq!((&log.segments, &log.reference_sha256), (&table.segments, &table.reference_sha256));
    assert_eq!((log.version, table.version), (Some(VersionDigest::of_manifest(b"surface")), None));
    assert!(log.segments["*"].features.contains_key("class"));

    let few = self::log(&folder.path().join("few"), (0..50).map(|number| outcome("surface", number, 0.5)));
    let refused = |args: &[&str]| text(&takt(&[&["data", "profile", "--data"], args].concat()).stderr);
    assert!(refused(&[&few]).contains("found 50 rows for the drift reference, expected at least 100"));
    let told = refused(&[&state, "--classes", "dent,ok"]);
    assert!(told.contains("class 0 is 'ok', expected all classes in the order"), "{told}");
    let told = refused(&[env!("CARGO_MANIFEST_DIR")]);
    assert!(told.contains("give the model with --model-file"), "{told}");
}

#[test]
fn the_station_whose_parts_went_bad_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let before = log(&folder.path().join("before"), outcomes("surface", 0.5));
    let bad = outcomes("surface", 0.5).into_iter().enumerate().map(|(number, outcome)| {
        let decision = outcome.decision.clone().map(|decision| match number % 4 {
            1 => Judgement { verdict: Verdict::Defect, label: "dent".to_owned(), ..decision },
            _ => decision,
        });
        Outcome { decision, ..outcome }
    });
    let now = log(&folder.path().join("now"), bad);
    let causes = |args: &[&str]| takt(&[&["drift", "root-cause", "--dimensions", "station,model,arm"], args].concat());
    let sides = ["--reference", &before, "--current", &now, "--measure", "verdict=defect", "--per", "rows"];
    let output = causes(&[&sides[..], &["--json"]].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["method"], &found["forecast"]), (&"adtributor".into(), &0.1.into()), "{found}");
    assert_eq!(found["causes"][0]["dimension"], "station");
    assert_eq!(found["causes"][0]["elements"][0]["element"], "south");
    let shown = text(&causes(&sides).stdout);
    assert!(shown.contains("verdict=defect per rows: 0.1000 expected, 0.3500 came"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with('1') && line.contains("south")), "{shown}");
    let output = causes(&["--reference", &before]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let output = causes(&["--reference", &before, "--current", &now, "--measure", "verdict"]);
    assert!(text(&output.stderr).contains("write column=value"), "{}", text(&output.stderr));
}

#[test]
fn images_and_their_model_make_a_reference() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let counts = ["--scale", "0.001", "--reference", "120", "--size", "64"];
    let output = takt(&[&["data", "generate", "--out", data.to_str().unwrap()], &counts[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/repository/surface-defects/1/model.onnx");
    let out = folder.path().join("profile.json");
    let manifest: Value = serde_json::from_slice(&fs::read(model.with_file_name("manifest.json")).unwrap()).unwrap();
    let decision = folder.path().join("decision.json");
    fs::write(&decision, manifest["decision"].to_string()).unwrap();
    let [model, out_file, decision] = [&model, &out, &decision].map(|path| path.to_str().unwrap());
    let profile = |split: &str| {
        let files = ["--model-file", model, "--out", out_file, "--split", split, "--decision", decision];
        takt(&[&["data", "profile", "--data", data.to_str().unwrap(), "--model", "surface"], &files[..]].concat())
    };
    let output = profile("reference");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made = Profile::parse(&fs::read(&out).unwrap()).unwrap();
    assert_eq!((made.model.as_str(), made.artefact.as_deref()), ("surface", Some("model.onnx")));
    let features = &made.segments["*"].features;
    assert!(["brightness", "margin", "class"].iter().all(|name| features.contains_key(*name)), "{:?}", features.keys());
    let told = text(&profile("test").stderr);
    assert!(told.contains("20 rows for the drift reference, expected at least 100"), "{told}");
}
