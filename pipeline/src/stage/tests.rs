use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use takt_artifact::VersionDir;

use super::*;
use crate::data::{Augment, Split};
use crate::progress::Silent;
use crate::prune::{Criterion, Keep, Settings as Cut};
use crate::quantise::{Calibration, Options, Rounding, Target};
use crate::testing::{SIDE, TWO, stripes};
use crate::train::{Distil, Settings, Unobserved};

static GO_ON: AtomicBool = AtomicBool::new(false);

pub(super) fn shop() -> Shop<'static> {
    Shop { threads: TWO, cache_bytes: 1 << 24, observer: &Unobserved, progress: &Silent, stop: &GO_ON, weigh: None }
}

pub(super) fn settings(epochs: u32) -> Settings {
    Settings {
        epochs,
        batch: NonZeroUsize::new(8).unwrap(),
        learning_rate: 0.05,
        warmup_epochs: 0.5,
        augment: Augment::NONE,
        ..Settings::default()
    }
}

fn start() -> Start {
    Start::Architecture { name: Architecture::Resnet20, width: 0.5, size: SIDE }
}

pub(super) fn trained(data: &Path, out: &Path) -> PathBuf {
    train(data, out, &Train { start: start(), settings: settings(5), teacher: None, new_head: false }, &shop())
        .unwrap();
    out.join(MODEL)
}

pub(super) fn cut_to(model: &Path, keep: Keep) -> Prune {
    Prune {
        model: model.to_owned(),
        cut: Cut { keep, block: 2, ..Cut::default() },
        criterion: Criterion::Gamma,
        sparsity: None,
        sparse_epochs: 2,
        rounds: NonZeroU32::new(2).unwrap(),
        settings: settings(3),
        distil: Distil { views: 2, ..Distil::default() },
        max_drop: None,
        latencies: None,
    }
}

fn quantisation(model: &Path, targets: &[Target]) -> Quantise {
    Quantise { model: model.to_owned(), targets: targets.to_vec(), options: Options::default(), tune: None }
}

fn judged(data: &Path, model: &Path, parent: Option<&Path>) -> crate::evaluate::Report {
    let run = Evaluate {
        model: model.to_owned(),
        parent: parent.map(Path::to_owned),
        artefacts: None,
        split: Split::Test,
        gates: None,
        decision: None,
    };
    evaluate(data, &run, None, None, &shop()).unwrap()
}

#[test]
fn from_images_to_a_version_that_serving_can_open() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), |name: &str| folder.path().join(name));
    stripes(&data, 40);
    let big = trained(&data, &out("train"));

    let prune_run = cut_to(&big, Keep::Share(0.4));
    let pruned = prune(&data, &out("prune"), &prune_run, &shop()).unwrap();
    assert_eq!(pruned.rounds.len(), 2);
    let (from, to) = (pruned.rounds[0].macs[0], pruned.rounds[1].macs[1]);
    assert!(to as f64 <= 0.41 * from as f64, "{from} to {to}");
    let again = prune(&data, &out("prune"), &prune_run, &shop()).unwrap();
    assert_eq!(again, pruned, "rounds that are done are not done again");

    let small = out("prune").join(MODEL);
    let targets = vec![Target::CpuInt8Avx2, Target::TensorrtInt8];
    let reports = quantise(&data, &out("int8"), &quantisation(&small, &targets), &shop()).unwrap();
    assert_eq!(reports.len(), 2);

    let report = judged(&data, &out("int8").join("model.cpu-int8-avx2.onnx"), Some(&big));
    assert!(report.metrics.balanced_accuracy > 0.9, "{}", report.render_table());
    let [small, big] = [report.cost.size_bytes, report.cost.parent_size_bytes].map(Option::unwrap);
    assert!(3 * small < 2 * big, "{small} bytes from {big}, graph and all");
    assert!(report.agreement.is_some());

    let target = out("models").join("stripes/1");
    let run = Package {
        artefacts: out("int8"),
        target: target.clone(),
        name: "stripes".into(),
        semver: "1.0.0".into(),
        created: "2026-01-01T00:00:00Z".into(),
        decision: None,
        evaluation: Some(report),
        parent: None,
        pipeline: None,
        reference: None,
        parity: PARITY,
    };
    let digest = package(&data, &run, &shop()).unwrap();
    let version = VersionDir::open(&target).unwrap();
    version.verify().unwrap();
    assert_eq!(version.digest(), digest);
    let names: Vec<&str> = version.variants().iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(names, ["tensorrt-int8", "cpu-int8-avx2", "fp32"]);
    assert!(package(&data, &run, &shop()).is_err(), "a version is never written over");
}

#[test]
fn a_target_that_loses_too_much_is_trained_on_its_grids() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("int8"));
    stripes(&data, 40);
    let model = trained(&data, &folder.path().join("train"));
    // Ranges that cut off a third of all values, so that quantising alone does not do.
    let options = Options {
        calibration: Some(Calibration::Percentile(0.3)),
        rounding: Rounding::Nearest,
        correct_bias: false,
        ..Options::default()
    };
    let tune = Tune {
        max_drop: 1.0,
        epochs: 4,
        batch: NonZeroUsize::new(8).unwrap(),
        augment: Augment::NONE,
        ..Tune::default()
    };
    let targets = [Target::CpuInt8Avx2];
    let run = Quantise { options, tune: Some(tune), ..quantisation(&model, &targets) };
    let report = &quantise(&data, &out, &run, &shop()).unwrap()[0];
    let accuracy = report.accuracy.unwrap();
    assert!(accuracy.tuned.unwrap() > accuracy.quantised + 0.1, "{accuracy:?}");
    assert!(accuracy.drop() < 10.0, "{accuracy:?}");
    let path = out.join("model.cpu-int8-avx2.onnx");
    assert_eq!(crate::card::weight_bits(&takt_graph::Model::load(&path).unwrap()), Some(7));
    assert!(judged(&data, &path, None).metrics.balanced_accuracy > accuracy.quantised);

    let content = Quantise { options: Options::default(), tune: Some(Tune { max_drop: 100.0, ..tune }), ..run };
    let report = &quantise(&data, &out, &content, &shop()).unwrap()[0];
    assert_eq!(report.accuracy.unwrap().tuned, None, "what loses little is left alone");
    let below = Quantise { tune: Some(Tune { max_drop: -1.0, ..tune }), ..content };
    let told = quantise(&data, &out, &below, &shop()).unwrap_err().to_string();
    assert!(told.starts_with("tune.max_drop is -1, expected 0 or more"), "{told}");
}

#[test]
fn a_teacher_of_other_pixels_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stripes(&data, 16);
    let out = folder.path().join("teacher");
    let start = Start::Architecture { name: Architecture::Resnet20, width: 0.25, size: 2 * SIDE };
    train(&data, &out, &Train { start, settings: settings(1), teacher: None, new_head: false }, &shop()).unwrap();
    let run = Train {
        start: self::start(),
        settings: settings(1),
        teacher: Some((out.join(MODEL), Distil::default())),
        new_head: false,
    };
    let error = train(&data, &folder.path().join("student"), &run, &shop()).unwrap_err().to_string();
    assert!(error.contains("teacher's preprocess") && error.contains("same pixels"), "{error}");
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stripes(&data, 4);
    let path = folder.path().join("broken.onnx");
    std::fs::write(&path, b"not a model").unwrap();
    let run = quantisation(&path, &[Target::CpuInt8Avx2]);
    let error = quantise(&data, &folder.path().join("out"), &run, &shop()).unwrap_err().to_string();
    assert!(error.contains("broken.onnx"), "{error}");
}
