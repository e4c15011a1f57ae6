use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use takt_graph::Model;
use takt_graph::channels;
use takt_graph::execute::{Executor, Mode, Options};

use super::*;
use crate::data::{Augment, Batches, Batching, Images, Tail, Views};
use crate::progress::Silent;
use crate::prune::{Bounds, Budget, Criterion, Importance, Select, Settings as Cut, select};
use crate::testing::{TWO, class_names, network, stripes};

const COUNT: usize = 24;

struct Bench {
    _folder: tempfile::TempDir,
    images: Arc<Images>,
    classes: Vec<String>,
    train: Vec<usize>,
    validate: Vec<usize>,
    stop: AtomicBool,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, images) = stripes(folder.path(), COUNT);
        let (validate, train) = (0..images.len()).partition(|sample| sample % 4 == 0);
        Self { _folder: folder, images, classes: class_names(), train, validate, stop: AtomicBool::new(false) }
    }

    fn job<'a>(&'a self, settings: &'a Settings) -> Job<'a> {
        Job {
            images: &self.images,
            classes: &self.classes,
            train: &self.train,
            validate: &self.validate,
            settings,
            teacher: None,
            sparsity: None,
            checkpoint: None,
            log: None,
            threads: TWO,
            observer: &Unobserved,
            stop: &self.stop,
        }
    }
}

fn settings(epochs: u32) -> Settings {
    Settings {
        epochs,
        batch: NonZeroUsize::new(9).unwrap(),
        learning_rate: 0.05,
        warmup_epochs: 0.5,
        augment: Augment::NONE,
        ..Settings::default()
    }
}

fn bytes(model: &Model) -> Vec<u8> {
    model.graph().initializer.iter().flat_map(|tensor| tensor.data().unwrap().to_vec()).collect()
}

#[test]
fn a_network_learns_what_can_be_learnt() {
    let (bench, settings) = (Bench::new(), settings(6));
    let mut model = network(1);
    let fitted = fit(&mut model, &bench.job(&settings)).unwrap();
    let best = fitted.records.iter().map(|record| record.balanced_accuracy).fold(0.0, f64::max);
    assert!(best >= 0.99, "{:#?}", fitted.records);
    assert_eq!(fitted.ended, Ended::Complete);
    let first = fitted.records.first().unwrap().loss;
    let last = fitted.records.last().unwrap().loss;
    assert!(last < 0.3 * first, "the loss fell from {first} to {last}");
}

/// Sets the flag after some steps of an epoch.
struct StopAt<'a>(u32, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn step(&self, epoch: u32, step: usize, _: usize, _: f32) {
        if epoch == self.0 && step == 2 {
            self.1.store(true, Ordering::Relaxed);
        }
    }

    fn epoch(&self, _: &EpochRecord) {}
}

fn interrupted_and_resumed(bench: &Bench, settings: &Settings, folder: &Path) -> (Model, Fitted) {
    let mut model = network(1);
    let job = Job { checkpoint: Some((folder, "run")), ..bench.job(settings) };
    let watch = StopAt(3, &bench.stop);
    let stopped = fit(&mut model, &Job { observer: &watch, ..job }).unwrap();
    assert_eq!((stopped.ended, stopped.records.len()), (Ended::Interrupted, 2));
    bench.stop.store(false, Ordering::Relaxed);
    let mut model = network(1);
    let fitted = fit(&mut model, &job).unwrap();
    (model, fitted)
}

#[test]
fn a_run_that_was_interrupted_ends_where_it_would_have_ended() {
    let (bench, settings) = (Bench::new(), settings(4));
    let mut whole = network(1);
    let straight = fit(&mut whole, &bench.job(&settings)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (resumed, fitted) = interrupted_and_resumed(&bench, &settings, folder.path());
    assert_eq!(fitted.best, straight.best);
    assert!(bytes(&resumed) == bytes(&whole), "bit by bit");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 4, "state, weights, momenta and the best model; nothing of earlier epochs");
}

#[test]
fn a_checkpoint_of_another_run_is_not_continued() {
    let (bench, settings) = (Bench::new(), settings(1));
    let folder = tempfile::tempdir().unwrap();
    let job = bench.job(&settings);
    fit(&mut network(1), &Job { checkpoint: Some((folder.path(), "one")), ..job }).unwrap();
    let other = fit(&mut network(1), &Job { checkpoint: Some((folder.path(), "other")), ..job });
    assert!(matches!(other, Err(TrainError::ForeignCheckpoint(_))), "{other:?}");
}

#[test]
fn a_loss_that_is_no_number_says_when_and_what_to_do() {
    let (bench, settings) = (Bench::new(), Settings { learning_rate: 100.0, momentum: 0.99, ..settings(20) });
    let mut model = network(1);
    let before = bytes(&model);
    let error = fit(&mut model, &bench.job(&settings)).unwrap_err().to_string();
    assert!(error.contains("epoch") && error.contains("lower learning_rate"), "{error}");
    assert!(bytes(&model) == before, "the model is as it was");
}

#[test]
fn a_model_of_other_classes_is_refused() {
    let (mut bench, settings) = (Bench::new(), settings(1));
    bench.classes.push("fourth".to_owned());
    let error = fit(&mut network(1), &bench.job(&settings)).unwrap_err().to_string();
    assert!(error.contains("found 3") && error.contains("fourth"), "{error}");
}

#[test]
fn patience_ends_a_run_that_no_longer_improves() {
    let (bench, settings) = (Bench::new(), Settings { patience: Some(2), ..settings(40) });
    let fitted = fit(&mut network(1), &bench.job(&settings)).unwrap();
    assert_eq!(fitted.ended, Ended::Early);
    assert_eq!(fitted.records.len() as u32, fitted.best + 2);
}

#[test]
fn a_student_learns_from_its_teacher_alone() {
    let (bench, settings) = (Bench::new(), settings(6));
    let mut master = network(1);
    fit(&mut master, &bench.job(&settings)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let distil = Distil { alpha: 1.0, views: 2, ..Distil::default() };
    let teacher = Teacher { model: &master, distil: &distil, key: "t", folder: folder.path() };
    let answers = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "one file a view");
    let again = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
    assert_eq!(answers, again, "read back, not asked again");

    let job = Job { teacher: Some(&answers), ..bench.job(&settings) };
    let fitted = fit(&mut network(2), &job).unwrap();
    let best = fitted.records.iter().map(|record| record.balanced_accuracy).fold(0.0, f64::max);
    assert!(best >= 0.95, "{:#?}", fitted.records);
}

#[test]
fn the_plain_l2_on_logits_is_one_setting() {
    let (bench, settings) = (Bench::new(), settings(1));
    let folder = tempfile::tempdir().unwrap();
    let master = network(1);
    let distil = Distil { alpha: 0.0, logits_l2: 1.0, views: 1, ..Distil::default() };
    let teacher = Teacher { model: &master, distil: &distil, key: "t", folder: folder.path() };
    let answers = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
    let fitted = fit(&mut network(2), &Job { teacher: Some(&answers), ..bench.job(&settings) }).unwrap();
    assert!(fitted.records[0].loss.is_finite());
}

/// A cut of half the channels of every group, which knows where its channels come from.
fn pruned(model: &Model) -> Model {
    let groups = channels::groups(model).unwrap();
    let budget = Budget::macs(model, &groups).unwrap();
    let cut = Cut { keep: 0.3.into(), block: 2, select: Select::Uniform, ..Cut::default() };
    let importance = Importance::of(model, &groups, Criterion::L2, None).unwrap();
    let bounds = Bounds::of(&groups, &budget, &cut).unwrap();
    let plan = select(&groups, &importance, &budget, &bounds, &cut).unwrap();
    let mut small = model.clone();
    plan.apply(&mut small, &groups).unwrap();
    small
}

/// Mean squared difference of the channels that a student kept, on the training images.
fn distance(bench: &Bench, student: &Model, master: &Model) -> f64 {
    let side = |model| features::Features::of(model, None).unwrap();
    let channels = side(student).among(&side(master)).unwrap();
    let of = |model: &Model| {
        let options = Options { frozen: true, taps: vec!["features".to_owned()] };
        let executor = Executor::new(model, &options).unwrap();
        let size = NonZeroUsize::new(bench.train.len()).unwrap();
        let batching = Batching { size, tail: Tail::Keep, views: Views::Plain, threads: TWO };
        let batch = Batches::start(&bench.images, &bench.train, batching).unwrap().next().unwrap().unwrap();
        let input = crate::predict::tensor(batch.inputs, batch.shape).unwrap();
        executor.run(&[input], Mode::Eval).unwrap().taps[0].to_vec2::<f32>().unwrap()
    };
    let (student, master) = (of(student), of(master));
    let rows =
        student.iter().zip(&master).flat_map(|(row, whole)| row.iter().zip(channels.iter().map(|&at| whole[at])));
    let squares: Vec<f64> = rows.map(|(found, wanted)| f64::from(found - wanted).powi(2)).collect();
    squares.iter().sum::<f64>() / squares.len() as f64
}

#[test]
fn a_pruned_student_comes_nearer_to_its_teachers_features_if_they_count() {
    let (bench, settings) = (Bench::new(), settings(3));
    let mut master = network(1);
    fit(&mut master, &bench.job(&settings)).unwrap();
    let small = pruned(&master);
    let folder = tempfile::tempdir().unwrap();
    let fitted = |features: f64| {
        let distil = Distil { alpha: 1.0, features, views: 1, ..Distil::default() };
        let teacher = Teacher { model: &master, distil: &distil, key: "t", folder: folder.path() };
        let answers = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
        let mut student = small.clone();
        fit(&mut student, &Job { teacher: Some(&answers), ..bench.job(&settings) }).unwrap();
        distance(&bench, &student, &master)
    };
    let (plain, fed) = (fitted(0.0), fitted(0.3));
    assert!(fed < 0.7 * plain, "{fed} against {plain}");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "logits and features of one view, the former asked for once");
}

#[test]
fn features_that_were_asked_for_are_read_back() {
    let (bench, settings) = (Bench::new(), settings(1));
    let folder = tempfile::tempdir().unwrap();
    let master = network(1);
    let distil = Distil { features: 1.0, tap: Some("layer2.0.relu.out".to_owned()), views: 2, ..Distil::default() };
    let teacher = Teacher { model: &master, distil: &distil, key: "t", folder: folder.path() };
    let ask = || teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
    let answers = ask();
    let written = |_| {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.map(|file| (file.metadata().unwrap().modified().unwrap(), file)).collect();
        files.sort();
        files
    };
    let first = written(());
    assert_eq!(first.len(), 4);
    assert_eq!((ask(), written(())), (answers.clone(), first), "not asked again");
    let fitted = fit(&mut network(2), &Job { teacher: Some(&answers), ..bench.job(&settings) }).unwrap();
    assert!(fitted.records[0].loss.is_finite(), "maps of equal width need no record");

    std::fs::remove_dir_all(folder.path()).unwrap();
    let told = fit(&mut network(2), &Job { teacher: Some(&answers), ..bench.job(&settings) }).unwrap_err().to_string();
    assert!(told.contains("t-view0.f32"), "{told}");
}

#[test]
fn a_student_of_other_width_is_told_what_features_need() {
    let (bench, settings) = (Bench::new(), settings(1));
    let folder = tempfile::tempdir().unwrap();
    let master = network(1);
    let distil = Distil { features: 1.0, views: 1, ..Distil::default() };
    let teacher = Teacher { model: &master, distil: &distil, key: "t", folder: folder.path() };
    let answers = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap();
    let mut stranger = pruned(&master);
    crate::lineage::forget(&mut stranger);
    let told = fit(&mut stranger, &Job { teacher: Some(&answers), ..bench.job(&settings) }).unwrap_err().to_string();
    assert!(told.contains("'features'") && told.contains("the 32 of the teacher's"), "{told}");
    let nowhere = Distil { teacher_tap: Some("nowhere".to_owned()), ..distil.clone() };
    let teacher = Teacher { distil: &nowhere, ..teacher };
    let told = teacher.answers(&bench.images, &bench.train, &settings, TWO, &Silent, &bench.stop).unwrap_err();
    assert!(told.to_string().contains("'nowhere'"), "{told}");
}

#[test]
fn sparsity_drives_whole_channels_to_zero() {
    let (bench, settings) = (Bench::new(), settings(4));
    let mut model = network(1);
    let groups = channels::groups(&model).unwrap();
    let gammas = |model: &Model| -> Vec<f32> {
        let of_group = groups.groups.iter().flat_map(|group| &group.members);
        let scales = of_group.filter(|member| member.role == channels::Role::Scale);
        scales
            .flat_map(|member| model.graph().initializer_named(&member.initializer).unwrap().f32s().unwrap())
            .collect()
    };
    assert!(gammas(&model).iter().all(|gamma| gamma.abs() > 0.5));
    let sparsity = Some((Sparsity { strength: 2.0 }, &groups));
    fit(&mut model, &Job { sparsity, ..bench.job(&settings) }).unwrap();
    let gone = gammas(&model).iter().filter(|gamma| **gamma == 0.0).count();
    assert!(gone > 0, "{:?}", gammas(&model));
}
