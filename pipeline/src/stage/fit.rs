//! Training and distilling.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use takt_graph::arch::{
    self, ArchError, MobileNetOptions, ResNetOptions, mobilenet_v2, resnet_cifar, resnet18, resnet50,
};
use takt_graph::channels::Groups;
use takt_graph::{Model, clean, head};

use super::error::StageError;
use super::evaluate::same_classes;
use super::shop::{MODEL, Ready, Shop, claim, keep_input, open, report};
use crate::card::Card;
use crate::data::{Dataset, Split};
use crate::predict::classes;
use crate::train::{Answers, Distil, Ended, Fitted, Job, Settings, Sparsity, Teacher, fit};

/// Networks that can be begun from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// ResNet-18 (He et al. 2016).
    Resnet18,
    /// ResNet-50 (He et al. 2016).
    Resnet50,
    /// The ResNet for small images with three blocks a stage, 20 layers.
    Resnet20,
    /// MobileNetV2 (Sandler et al. 2018).
    MobilenetV2,
}

/// What training begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Start {
    /// A network of our own with random weights.
    Architecture {
        /// Which.
        name: Architecture,
        /// Factor on its numbers of channels.
        width: f64,
        /// Height and width of its input.
        size: usize,
    },
    /// A model file, such as an export from PyTorch.
    Model(PathBuf),
}

/// A training run.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// What it begins with.
    pub start: Start,
    /// How it goes on.
    pub settings: Settings,
    /// A teacher, and how it is listened to.
    pub teacher: Option<(PathBuf, Distil)>,
    /// Whether a model that it begins with gets a fresh last layer, for the classes of the data instead of its own.
    pub new_head: bool,
}

/// Trains on the data's training split and leaves the best model in `out`.
///
/// # Errors
/// See [`StageError`]; what was reached is in `out/checkpoint`.
pub fn train(data: &Path, out: &Path, run: &Train, shop: &Shop<'_>) -> Result<Fitted, StageError> {
    run.settings.check()?;
    if let Some((_, distil)) = &run.teacher {
        distil.check()?;
    }
    let (mut model, card, data) = match &run.start {
        Start::Architecture { name, width, size } => {
            let data = shop.data(data, None)?;
            let model = name.build(data.classes.len(), *width, *size, run.settings.seed)?;
            let card = Card::of_input(&model, data.classes.clone())?;
            (model, card, data)
        }
        Start::Model(path) => {
            keep_input(path, out)?;
            if run.new_head { begin_anew(path, data, run.settings.seed, shop)? } else { begin_from(path, data, shop)? }
        }
    };
    clean::clean(&mut model)?;
    let ready = shop.ready(data, &card.preprocess)?;
    can_be_trained(&ready, &run.settings)?;
    let _held = claim(out)?;
    let answers = match &run.teacher {
        None => None,
        Some((path, distil)) => Some(ask(path, distil, &ready, &card, &run.settings, out, shop)?),
    };
    let key = key(&model, &run.settings, run.teacher.as_ref(), &ready)?;
    let course = Course { settings: &run.settings, teacher: answers.as_ref(), sparsity: None, key: &key, out };
    let fitted = run_fit(&mut model, &ready, &course, shop)?;
    card.write(&mut model)?;
    model.save(out.join(MODEL))?;
    report(out, &fitted.records)?;
    Ok(fitted)
}

/// One run of the loop.
pub(super) struct Course<'a> {
    pub(super) settings: &'a Settings,
    pub(super) teacher: Option<&'a Answers>,
    /// Channels to be driven to zero.
    pub(super) sparsity: Option<(Sparsity, &'a Groups)>,
    /// Names the run in its checkpoint.
    pub(super) key: &'a str,
    /// Folder of its metrics and `checkpoint/`.
    pub(super) out: &'a Path,
}

/// The loop with its log of metrics; an interrupted run is an error here, since nothing can follow it.
pub(super) fn run_fit(
    model: &mut Model,
    ready: &Ready,
    course: &Course<'_>,
    shop: &Shop<'_>,
) -> Result<Fitted, StageError> {
    ready.data.require_every_class(Split::Train)?;
    let (train, validate) = (ready.split(Split::Train)?, ready.split(Split::Validation)?);
    let checkpoint = course.out.join("checkpoint");
    let job = Job {
        images: &ready.images,
        classes: &ready.data.classes,
        train: &train,
        validate: &validate,
        settings: course.settings,
        teacher: course.teacher,
        sparsity: course.sparsity,
        checkpoint: Some((&checkpoint, course.key)),
        log: Some(course.out),
        threads: shop.threads,
        observer: shop.observer,
        stop: shop.stop,
    };
    let fitted = fit(model, &job)?;
    if fitted.ended == Ended::Interrupted {
        return Err(StageError::Interrupted);
    }
    Ok(fitted)
}

/// Refuses data that cannot be learnt from, before a teacher is asked or a channel is dropped.
pub(super) fn can_be_trained(ready: &Ready, settings: &Settings) -> Result<(), StageError> {
    ready.data.require_every_class(Split::Train)?;
    ready.split(Split::Validation)?;
    Ok(settings.fits(ready.split(Split::Train)?.len())?)
}

/// A model from a file, its card, and the data in the order of its classes. A batch that its exporter fixed is set free.
pub(super) fn begin_from(path: &Path, data: &Path, shop: &Shop<'_>) -> Result<(Model, Card, Dataset), StageError> {
    let (mut model, card) = open(path)?;
    clean::free_batch(&mut model);
    let labels = card.as_ref().map(|card| card.labels.as_slice()).filter(|labels| !labels.is_empty());
    let data = shop.data(data, labels)?;
    let card = match card {
        Some(card) => card,
        None => Card::of_input(&model, data.classes.clone())?,
    };
    tells_apart("the model's outputs", &model, &data)?;
    Ok((model, card, data))
}

/// As [`begin_from`], with a fresh last layer for the classes of the data.
fn begin_anew(path: &Path, data: &Path, seed: u64, shop: &Shop<'_>) -> Result<(Model, Card, Dataset), StageError> {
    let (mut model, card) = open(path)?;
    clean::free_batch(&mut model);
    let data = shop.data(data, None)?;
    head::replace(&mut model, data.classes.len(), seed)?;
    let labels = data.classes.clone();
    let card = match card {
        // The old decision names old classes.
        Some(card) => Card { labels, decision: None, ..card },
        None => Card::of_input(&model, labels)?,
    };
    Ok((model, card, data))
}

/// Refuses a model of another number of classes than the data has.
fn tells_apart(what: &'static str, model: &Model, data: &Dataset) -> Result<(), StageError> {
    // Where the graph does not say it, who runs the model will.
    let Ok(found) = classes(model) else { return Ok(()) };
    let expected = data.classes.len();
    if found == expected {
        return Ok(());
    }
    Err(StageError::Mismatch {
        what,
        found: format!("{found} classes"),
        expected: format!(
            "{expected}, as the data has ({}); `takt train --new-head` gives a model that tells those apart",
            data.classes.join(", ")
        ),
    })
}

/// A teacher's answers for the training split.
pub(super) fn ask(
    path: &Path,
    distil: &Distil,
    ready: &Ready,
    student: &Card,
    settings: &Settings,
    out: &Path,
    shop: &Shop<'_>,
) -> Result<Answers, StageError> {
    let (mut model, card) = open(path)?;
    if let Some(card) = card {
        same_classes("the teacher's classes", &card.labels, &ready.data.classes)?;
        if !card.preprocess.same_tensor(&student.preprocess) {
            return Err(StageError::Mismatch {
                what: "the teacher's preprocess",
                found: format!("{:?}", card.preprocess),
                expected: format!("the student's, {:?}: both must see the same pixels", student.preprocess),
            });
        }
    }
    clean::free_batch(&mut model);
    clean::clean(&mut model)?;
    tells_apart("the teacher's outputs", &model, &ready.data)?;
    let key = key(&model, settings, None, ready)?;
    let train = ready.split(Split::Train)?;
    let teacher = Teacher { model: &model, distil, key: &key, folder: &out.join("teacher") };
    Ok(teacher.answers(&ready.images, &train, settings, shop.threads, shop.progress, shop.stop)?)
}

/// Names a run: model, settings and data.
pub(super) fn key(
    model: &Model,
    settings: &Settings,
    teacher: Option<&(PathBuf, Distil)>,
    ready: &Ready,
) -> Result<String, StageError> {
    let mut all = Sha256::new();
    for tensor in &model.graph().initializer {
        all.update(tensor.name());
        all.update(tensor.data()?);
    }
    all.update(serde_json::to_string(&(settings, teacher)).unwrap_or_default());
    all.update(ready.digest()?);
    Ok(all.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}

impl Architecture {
    /// Whether a network of that width, for images of `size` pixels a side, can be made.
    ///
    /// # Errors
    /// The size or width makes no sense.
    pub fn check(width: f64, size: usize) -> Result<(), ArchError> {
        arch::check(2, [3, size, size], width)
    }

    /// The network with random weights.
    ///
    /// # Errors
    /// A size or width makes no sense.
    pub fn build(self, classes: usize, width: f64, size: usize, seed: u64) -> Result<Model, StageError> {
        let options = ResNetOptions { classes, input: [3, size, size], width };
        Ok(match self {
            Self::Resnet18 => resnet18(&options, seed)?,
            Self::Resnet50 => resnet50(&options, seed)?,
            Self::Resnet20 => resnet_cifar(&options, 3, seed)?,
            Self::MobilenetV2 => mobilenet_v2(&MobileNetOptions { classes, input: [3, size, size], width }, seed)?,
        })
    }
}
