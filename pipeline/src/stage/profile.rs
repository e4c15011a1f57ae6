//! The drift reference of a package: what a healthy line's images look like, and what the artefact that this machine
//! would serve says of them.

use std::path::Path;

use takt_artifact::manifest::{Precision, Requires, Variant};
use takt_artifact::profile::{Origin, Profile};
use takt_artifact::{Decision, Judge, Machine, choose};
use takt_monitoring::drift::{Reference, Row, TooFewRows, build};
use takt_monitoring::features::{IMAGE_LEN, VISION_LEN};

use super::error::StageError;
use super::evaluate::outputs;
use super::fit::begin_from;
use super::shop::{Ready, Shop};
use crate::data::{Buffers, Split, Views};
use crate::predict::{Runner, runtimes};

/// What the profile is of.
pub(super) struct Of<'a> {
    /// Name of the model.
    pub(super) model: &'a str,
    /// When, RFC 3339 UTC.
    pub(super) created: &'a str,
    /// Folder of the artefacts.
    pub(super) artefacts: &'a Path,
    /// The artefacts, in the order in which a server takes them.
    pub(super) variants: &'a [Variant],
    /// From outputs to verdicts.
    pub(super) decision: Option<&'a Decision>,
}

/// The drift reference of labelled images and a model file: of the images of `split`, in the order of time. `decision` says
/// how outputs become verdicts where the model does not.
///
/// # Errors
/// See [`StageError`]; also a split without images, or with too few of them.
pub fn reference(
    data: &Path,
    model: &Path,
    name: &str,
    created: &str,
    split: Split,
    decision: Option<Decision>,
    shop: &Shop<'_>,
) -> Result<Profile, StageError> {
    let (_, card, data) = begin_from(model, data, shop)?;
    let decision = decision.or_else(|| card.decision.clone());
    let ready = shop.ready(data, &card.preprocess)?;
    let file = model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let variant = Variant {
        name: "fp32".into(),
        file,
        precision: Precision::Fp32,
        weight_bits: None,
        requires: Requires::default(),
    };
    let artefacts = model.parent().unwrap_or(Path::new(""));
    let of = Of { model: name, created, artefacts, variants: &[variant], decision: decision.as_ref() };
    let samples = ready.split(split)?;
    let found = samples.len();
    let made = made(&of, &ready, samples, shop)?;
    made.unwrap_or(Err(TooFewRows { found })).map_err(|few| StageError::Mismatch {
        what: "the drift reference",
        found: few.to_string(),
        expected: "enough images in the order of time".to_owned(),
    })
}

/// Makes the profile from the reference split in the order of time; `None` where the data has no such split, or too
/// little of it: the server then learns one.
pub(super) fn profile(of: &Of<'_>, ready: &Ready, shop: &Shop<'_>) -> Result<Option<Profile>, StageError> {
    let Ok(samples) = ready.split(Split::Reference) else { return Ok(None) };
    match made(of, ready, samples, shop)? {
        Some(Err(few)) => {
            tracing::warn!(%few, "the package has no drift reference; the server will learn one");
            Ok(None)
        }
        Some(Ok(profile)) => Ok(Some(profile)),
        None => Ok(None),
    }
}

/// `None` where no artefact is one that this machine serves.
fn made(
    of: &Of<'_>,
    ready: &Ready,
    mut samples: Vec<usize>,
    shop: &Shop<'_>,
) -> Result<Option<Result<Profile, TooFewRows>>, StageError> {
    let column = |name: &str| ready.data.columns.iter().position(|column| column == name);
    let (time, station, product) = (column("time"), column("station"), column("product"));
    let value = |sample: usize, column: Option<usize>| {
        let text = ready.data.samples.get(sample)?.metadata.get(column?)?;
        (!text.is_empty()).then(|| text.clone())
    };
    // Times are written so that they sort as text; without them the order of the label file is taken for that of time.
    samples.sort_by_cached_key(|&sample| value(sample, time));
    let machine = Machine::detect(runtimes().map_err(crate::predict::PredictError::from)?);
    let Ok(choice) = choose(of.variants, &machine, None) else { return Ok(None) };
    let file = &choice.variant.file;
    let runner = Runner::file(&of.artefacts.join(file))?;
    let answers = outputs(&runner, ready, &samples, Views::Plain, shop)?;
    let labels = &ready.data.classes;
    let judge = of.decision.and_then(|decision| Judge::new(decision, labels, runner.classes()).ok());
    let mut buffers = Buffers::default();
    let mut rows = Vec::with_capacity(samples.len());
    for (&sample, answer) in samples.iter().zip(answers.chunks_exact(runner.classes().max(1))) {
        let mut values = [f32::NAN; VISION_LEN];
        if let Some(image) = ready.images.statistics(sample, &mut buffers)? {
            values[..IMAGE_LEN].copy_from_slice(&image.values());
        }
        let sure = judge.as_ref().and_then(|judge| judge.confidence(answer).ok());
        if let Some(sure) = sure {
            values[IMAGE_LEN..].copy_from_slice(&[sure.top, sure.entropy, sure.margin]);
        }
        let class = judge.as_ref().and_then(|judge| judge.judge(answer).ok()).map(|judgement| judgement.class);
        rows.push(Row { product: value(sample, product), station: value(sample, station), values, class });
    }
    let reference = Reference {
        model: of.model,
        labels: if judge.is_some() { labels } else { &[] },
        created: of.created.to_owned(),
        origin: Origin::Packaged,
        version: None,
        artefact: Some(file.clone()),
    };
    Ok(Some(build(&reference, &rows)))
}
