//! The drift reference of a package: what a healthy line's images look like, and what the artefact that this machine
//! would serve says of them.

use std::path::Path;

use takt_artifact::manifest::Variant;
use takt_artifact::profile::{Origin, Profile};
use takt_artifact::{Decision, Judge, Machine, choose};
use takt_monitoring::drift::{Reference, Row, build};
use takt_monitoring::features::{IMAGE_LEN, VISION_LEN};

use super::error::StageError;
use super::evaluate::outputs;
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

/// Makes the profile from the reference split in the order of time; `None` where the data has no such split, or too
/// little of it: the server then learns one.
pub(super) fn profile(of: &Of<'_>, ready: &Ready, shop: &Shop<'_>) -> Result<Option<Profile>, StageError> {
    let Ok(mut samples) = ready.split(Split::Reference) else { return Ok(None) };
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
    match build(&reference, &rows) {
        Ok(profile) => Ok(Some(profile)),
        Err(few) => {
            tracing::warn!(%few, "the package has no drift reference; the server will learn one");
            Ok(None)
        }
    }
}
