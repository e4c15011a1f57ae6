//! What users get wrong, from the stages' side: an error that names the thing and what to do, and no model.

use std::fs;
use std::path::{Path, PathBuf};

use takt_graph::Model;
use takt_graph::onnx::TensorProto;

use super::tests::{cut_to, settings, shop};
use super::*;
use crate::prune::Keep;
use crate::testing::{SIDE, network, stripes};
use crate::train::{Distil, Settings};

/// Data, and a place for results.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        stripes(&bench.data(), 8);
        bench
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn file(&self, model: &Model) -> PathBuf {
        let path = self.0.path().join("given.onnx");
        model.save(&path).unwrap();
        path
    }

    /// What training says, which leaves no model and nothing half-written.
    #[track_caller]
    fn told(&self, start: Start, settings: Settings) -> String {
        let error =
            train(&self.data(), &self.out(), &Train { start, settings, teacher: None, new_head: false }, &shop())
                .unwrap_err();
        assert!(!self.out().join(MODEL).exists());
        assert_eq!(half_written(&self.out()), Vec::<PathBuf>::new());
        crate::told(&error)
    }
}

fn fresh() -> Start {
    Start::Architecture { name: Architecture::Resnet20, width: 0.25, size: SIDE }
}

/// Files that are written aside, in all folders.
fn half_written(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(half_written(&path));
        } else if name.ends_with(".partial") || name.contains(".writing-") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_model_of_four_channels_is_refused_with_what_images_have() {
    let bench = Bench::new();
    let mut model = network(1);
    let graph = model.graph_mut();
    let weight = graph.initializer_named("conv1.weight").unwrap().shape().unwrap();
    let wide = [weight[0], 4, weight[2], weight[3]];
    graph.set_initializer(TensorProto::from_f32("conv1.weight", &wide, &vec![0.1; wide.iter().product()]));
    let channels = takt_graph::shape::Dim::from(4_usize);
    let shape = [takt_graph::shape::Dim::symbol("batch"), channels, SIDE.into(), SIDE.into()];
    let float = Some(takt_graph::onnx::tensor_proto::DataType::Float);
    graph.input = vec![takt_graph::shape::Fact::new(float, shape.to_vec()).declare("image")];
    let told = bench.told(Start::Model(bench.file(&model)), settings(1));
    assert!(told.contains("[batch, 4, 16, 16]") && told.contains("expected [batch, 3, height, width]"), "{told}");
}

#[test]
fn images_without_labels_are_listed() {
    let bench = Bench::new();
    fs::write(bench.data().join("labels.csv"), "file,label\nacross/0.bmp,across\ndown/0.bmp,\n").unwrap();
    let told = bench.told(fresh(), settings(1));
    assert!(told.contains("labels.csv") && told.contains("line 3: down/0.bmp has no label"), "{told}");
}

#[test]
fn an_image_that_cannot_be_read_is_named_before_the_first_epoch() {
    let bench = Bench::new();
    (0..8).for_each(|image| fs::write(bench.data().join(format!("down/{image}.bmp")), b"BM, and no more").unwrap());
    let told = bench.told(fresh(), settings(1));
    assert!(told.contains("down/") && told.contains("replace the file or remove its row"), "{told}");
    assert!(!bench.out().join("checkpoint").exists(), "{told}");
}

#[test]
fn an_operator_that_cannot_be_trained_is_named_with_its_node() {
    let bench = Bench::new();
    let mut model = network(1);
    model.graph_mut().node[2].op_type = Some("Mystery".to_owned());
    let path = bench.file(&model);
    let told = bench.told(Start::Model(path.clone()), settings(1));
    assert!(told.contains("Mystery 'conv1.act'") && told.contains("supported are Abs"), "{told}");
    let error = prune(&bench.data(), &bench.out(), &cut_to(&path, Keep::Share(0.5)), &shop()).unwrap_err();
    assert!(crate::told(&error).contains("Mystery 'conv1.act'"), "{error}");
    let run = Quantise {
        model: path,
        targets: vec![crate::quantise::Target::CpuInt8],
        options: Default::default(),
        tune: None,
    };
    let error = quantise(&bench.data(), &bench.out(), &run, &shop()).unwrap_err();
    assert!(crate::told(&error).contains("Mystery 'conv1.act'"), "{error}");
}

#[test]
fn a_class_without_training_images_is_named() {
    let bench = Bench::new();
    let mut rows = "file,label,split\n".to_owned();
    for (class, split) in [("across", "train"), ("down", "validation"), ("plain", "train")] {
        (0..8).for_each(|image| rows += &format!("{class}/{image}.bmp,{class},{split}\n"));
    }
    fs::write(bench.data().join("labels.csv"), rows).unwrap();
    let told = bench.told(fresh(), settings(1));
    assert!(told.contains("train has no image of 'down'") && told.contains("label some"), "{told}");
}

#[test]
fn a_loss_that_is_no_number_ends_training_with_what_to_do() {
    let bench = Bench::new();
    let told = bench.told(fresh(), Settings { learning_rate: 100.0, momentum: 0.99, ..settings(20) });
    assert!(told.contains("the loss became") && told.contains("lower learning_rate"), "{told}");
}

/// A network of five classes, where the data has three.
fn of_five(bench: &Bench) -> PathBuf {
    let mut model = network(1);
    takt_graph::head::replace(&mut model, 5, 1).unwrap();
    bench.file(&model)
}

#[test]
fn a_model_of_other_classes_is_refused_before_any_image_is_looked_at() {
    let bench = Bench::new();
    let path = of_five(&bench);
    let expected = "found 5 classes, expected 3, as the data has (across, down, plain)";
    let run = cut_to(&path, Keep::Share(0.5));
    let error = prune(&bench.data(), &bench.out(), &run, &shop()).unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("--new-head"), "{error}");
    let run = Quantise {
        model: path.clone(),
        targets: vec![crate::quantise::Target::CpuInt8],
        options: Default::default(),
        tune: None,
    };
    let error = quantise(&bench.data(), &bench.out(), &run, &shop()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    let teacher = Some((path, Distil { views: 1, ..Distil::default() }));
    let run = Train { start: fresh(), settings: settings(1), teacher, new_head: false };
    let error = train(&bench.data(), &bench.out(), &run, &shop()).unwrap_err().to_string();
    assert!(error.starts_with("the teacher's outputs: found 5 classes"), "{error}");
    assert!(!bench.out().join("teacher").exists(), "{error}");
}

#[test]
fn a_new_head_makes_a_model_of_other_classes_one_of_the_data() {
    let bench = Bench::new();
    let run = Train { start: Start::Model(of_five(&bench)), settings: settings(2), teacher: None, new_head: true };
    train(&bench.data(), &bench.out(), &run, &shop()).unwrap();
    let model = Model::load(bench.out().join(MODEL)).unwrap();
    assert_eq!(crate::predict::classes(&model).unwrap(), 3);
    assert_eq!(crate::card::Card::read(&model).unwrap().unwrap().labels, ["across", "down", "plain"]);
}

/// PyTorch's exporters write a batch of one down unless they are told otherwise.
#[test]
fn a_model_of_one_image_at_a_time_can_be_trained_judged_and_packaged() {
    let bench = Bench::new();
    let mut model = network(1);
    let float = Some(takt_graph::onnx::tensor_proto::DataType::Float);
    let one = |shape: &[usize]| {
        let shape = shape.iter().map(|&extent| takt_graph::shape::Dim::from(extent)).collect();
        takt_graph::shape::Fact::new(float, shape)
    };
    model.graph_mut().input = vec![one(&[1, 3, SIDE, SIDE]).declare("image")];
    model.graph_mut().output = vec![one(&[1, 3]).declare("logits")];
    let path = bench.file(&model);
    let run = Train { start: Start::Model(path.clone()), settings: settings(1), teacher: None, new_head: false };
    train(&bench.data(), &bench.out(), &run, &shop()).unwrap();
    let judged = Evaluate {
        model: bench.out().join(MODEL),
        parent: Some(path),
        artefacts: None,
        split: crate::data::Split::Test,
        gates: None,
        decision: None,
    };
    let page = bench.0.path().join("pages/of/today.html");
    let report = evaluate(&bench.data(), &judged, None, Some(&page), &shop()).unwrap();
    assert!(report.agreement.is_some() && page.is_file());
    let four = |shape: &[usize]| one(&[&[4], shape].concat());
    let mut model = network(1);
    model.graph_mut().input = vec![four(&[3, SIDE, SIDE]).declare("image")];
    model.graph_mut().output = vec![four(&[3]).declare("logits")];
    let by_four = Evaluate { parent: Some(bench.file(&model)), ..judged.clone() };
    let error = evaluate(&bench.data(), &by_four, None, None, &shop()).unwrap_err().to_string();
    assert!(error.contains("takes 4 images at a time") && error.contains("dynamic_axes"), "{error}");
    let nothing = Evaluate { artefacts: Some(bench.data()), ..judged };
    let error = evaluate(&bench.data(), &nothing, None, None, &shop()).unwrap_err().to_string();
    assert!(error.contains("without any, expected files model.<target>.onnx"), "{error}");
}

#[test]
fn what_is_read_is_not_written_over_and_two_runs_do_not_share_a_folder() {
    let bench = Bench::new();
    let run = Train { start: fresh(), settings: settings(1), teacher: None, new_head: false };
    train(&bench.data(), &bench.out(), &run, &shop()).unwrap();
    let path = bench.out().join(MODEL);
    let before = fs::read(&path).unwrap();
    let over = cut_to(&path, Keep::Share(0.5));
    let error = prune(&bench.data(), &bench.out(), &over, &shop()).unwrap_err().to_string();
    assert!(error.contains("where the model that is read lies, expected another one"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let held = super::shop::claim(&bench.out()).unwrap();
    if held.is_some() {
        let error = train(&bench.data(), &bench.out(), &run, &shop()).unwrap_err().to_string();
        assert!(error.contains("another process is writing to") && error.contains("out"), "{error}");
    }
}

#[test]
fn settings_are_looked_at_before_a_teacher_is_asked() {
    let bench = Bench::new();
    let run = Train { start: fresh(), settings: settings(1), teacher: None, new_head: false };
    train(&bench.data(), &bench.0.path().join("big"), &run, &shop()).unwrap();
    let big = bench.0.path().join("big").join(MODEL);
    let cut = cut_to(&big, Keep::Share(0.5));
    let wide = Settings { batch: std::num::NonZeroUsize::new(64).unwrap(), ..settings(1) };
    let mut folded = Model::load(&big).unwrap();
    takt_graph::clean::fold_batch_norm(&mut folded).unwrap();
    let no_gamma = Prune { model: bench.file(&folded), ..cut.clone() };
    for (run, expected) in [
        (Prune { settings: Settings { epochs: 0, ..settings(1) }, ..cut.clone() }, "epochs is 0"),
        (Prune { settings: wide, ..cut }, "expected at least one batch of 64"),
        (no_gamma, "criterion gamma needs"),
    ] {
        let error = prune(&bench.data(), &bench.out(), &run, &shop()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!bench.out().exists(), "{error}");
    }
}

#[test]
fn quantising_stops_when_it_is_asked_to() {
    let bench = Bench::new();
    let stop = std::sync::atomic::AtomicBool::new(true);
    let run = Quantise {
        model: bench.file(&network(1)),
        targets: vec![crate::quantise::Target::CpuInt8],
        options: Default::default(),
        tune: None,
    };
    let error = quantise(&bench.data(), &bench.out(), &run, &Shop { stop: &stop, ..shop() }).unwrap_err();
    assert!(matches!(error, StageError::Interrupted), "{error}");
    assert!(!bench.out().join(MODEL).exists());
}

/// `/dev/full` refuses every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_what_to_do_and_training_goes_on_when_there_is_space() {
    let bench = Bench::new();
    fs::create_dir_all(bench.out().join("checkpoint")).unwrap();
    let full = bench.out().join("checkpoint/state.partial");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let told = bench.told(fresh(), settings(2));
    assert!(told.contains("state.json") && told.contains("No space left"), "{told}");
    assert!(told.contains("free space there"), "{told}");
    let run = Train { start: fresh(), settings: settings(2), teacher: None, new_head: false };
    assert_eq!(train(&bench.data(), &bench.out(), &run, &shop()).unwrap().records.len(), 2);
}
