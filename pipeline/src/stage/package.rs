//! Packaging: artefacts with digests, preprocess, decision and golden images as one version, ready to be served.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use takt_artifact::golden::GoldenTensor;
use takt_artifact::manifest::{Lineage, Precision, Requires, Variant};
use takt_artifact::profile::Profile;
use takt_artifact::version::{GOLDEN_FILE, PROFILE_FILE};
use takt_artifact::write::VersionWriter;
use takt_artifact::{Decision, Golden, Manifest, VersionDigest};
use takt_backend::Session;

use super::error::StageError;
use super::fit::begin_from;
use super::parity::parities;
use super::profile;
use super::quantise::artefact;
use super::shop::{MODEL, Ready, Shop};
use crate::data::Split;
use crate::evaluate::Report;
use crate::evaluate::gates::{self, ParityGate};
use crate::predict::{open_session, run_samples, weight_bits};
use crate::quantise::Target;

/// Images of the golden file, spread over the test split.
const GOLDEN: usize = 8;

/// A version to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// Folder with `model.onnx` and any `model.<target>.onnx`.
    pub artefacts: PathBuf,
    /// The version's folder, such as `models/surface-defects/2`; must not exist.
    pub target: PathBuf,
    /// Name of the model.
    pub name: String,
    /// Version for people.
    pub semver: String,
    /// When, RFC 3339 UTC.
    pub created: String,
    /// From outputs to verdicts, where the model does not say it.
    pub decision: Option<Decision>,
    /// Evaluation, if there was one; gates that said no keep it from being packaged.
    pub evaluation: Option<Report>,
    /// Digest of the version it was made from.
    pub parent: Option<String>,
    /// Digest of everything that decided it, where a pipeline knows.
    pub pipeline: Option<String>,
    /// The drift reference; made of the data's reference split where none is given.
    pub reference: Option<Profile>,
    /// How near every artefact must be to single precision; see [`PARITY`](super::PARITY).
    pub parity: ParityGate,
}

/// Writes the version folder, all of it or nothing.
///
/// # Errors
/// See [`StageError`]; also a gate that said no, or an artefact that does not agree with the model in single precision.
pub fn package(data: &Path, run: &Package, shop: &Shop<'_>) -> Result<VersionDigest, StageError> {
    let gates = run.evaluation.as_ref().and_then(|report| report.gates.as_ref());
    if let Some(refused) = gates.filter(|gates| !gates.passed()) {
        return Err(StageError::Mismatch {
            what: "the evaluation",
            found: refused.refusals().join("; "),
            expected: "gates that all say yes; make the model better, or the gates wider".to_owned(),
        });
    }
    let default = run.artefacts.join(MODEL);
    let (_, card, data) = begin_from(&default, data, shop)?;
    let ready = shop.ready(data, &card.preprocess)?;
    near_single_precision(run, &ready, shop)?;
    let mut session = open_session(&default, weight_bits(&default))?;
    let signature = session.signature().clone();
    let golden = golden(&mut *session, &ready, &card.preprocess.input)?;
    let mut writer = VersionWriter::create(&run.target)?;
    let mut variants = Vec::new();
    for target in Target::ALL {
        let file = artefact(target);
        if run.artefacts.join(&file).is_file() {
            writer.add_copy(&file, &run.artefacts.join(&file))?;
            variants.extend(machines(target).into_iter().map(|(name, requires)| Variant {
                name: name.to_owned(),
                file: file.clone(),
                precision: Precision::Int8,
                weight_bits: Some(target.weight_bits()),
                requires,
            }));
        }
    }
    writer.add_copy(MODEL, &default)?;
    variants.push(Variant {
        name: "fp32".into(),
        file: MODEL.into(),
        precision: Precision::Fp32,
        weight_bits: None,
        requires: Requires::default(),
    });
    writer.add(GOLDEN_FILE, &golden.to_bytes().map_err(|error| unwritable("the golden file", &error))?)?;
    let decision = run.decision.clone().or_else(|| card.decision.clone());
    let reference = profile::Of {
        model: &run.name,
        created: &run.created,
        artefacts: &run.artefacts,
        variants: &variants,
        decision: decision.as_ref(),
    };
    let profile = match &run.reference {
        Some(given) => Some(of_others(given.clone())),
        None => profile::profile(&reference, &ready, shop)?,
    };
    if let Some(profile) = profile {
        writer.add(PROFILE_FILE, &profile.to_bytes().map_err(|error| unwritable("the drift reference", &error))?)?;
    }
    let evaluation = match &run.evaluation {
        Some(report) => evaluation(report),
        None => serde_json::Map::new(),
    };
    let manifest = Manifest {
        schema: takt_artifact::manifest::SCHEMA,
        name: run.name.clone(),
        semver: run.semver.clone(),
        created: run.created.clone(),
        lineage: Lineage {
            parent: run.parent.clone(),
            data: Some(ready.digest()?.to_owned()),
            pipeline: run.pipeline.clone(),
        },
        signature,
        preprocess: Some(card.preprocess),
        labels: ready.data.classes.clone(),
        decision,
        variants,
        evaluation,
        files: BTreeMap::new(),
    };
    Ok(writer.finish(manifest)?)
}

/// A reference that an earlier version's answers gave: a server compares images and classes with it, and not scores.
fn of_others(mut given: Profile) -> Profile {
    if let Some(version) = given.version {
        given.artefact.get_or_insert_with(|| version.to_string());
    }
    given
}

/// What was made of the model's outputs cannot be written: they are not finite.
fn unwritable(what: &'static str, error: &dyn std::fmt::Display) -> StageError {
    StageError::Mismatch { what, found: error.to_string(), expected: "finite outputs".to_owned() }
}

/// Refuses artefacts whose outputs are not those of the model in single precision.
fn near_single_precision(run: &Package, ready: &Ready, shop: &Shop<'_>) -> Result<(), StageError> {
    let parities = parities(&run.artefacts, ready, held_out(ready), shop)?;
    let told = gates::check_parity(&run.parity, &parities);
    if told.passed() {
        return Ok(());
    }
    Err(StageError::Mismatch {
        what: "the artefacts",
        found: told.refusals().join("; "),
        expected: "outputs near those in single precision; calibrate on more images, or leave the target out"
            .to_owned(),
    })
}

/// Images that neither training nor calibration has seen, where there are any.
fn held_out(ready: &Ready) -> Split {
    if ready.split(Split::Test).is_ok() { Split::Test } else { Split::Validation }
}

/// The figures that people ask for first; the whole report stays with the pipeline.
fn evaluation(report: &Report) -> serde_json::Map<String, serde_json::Value> {
    let mut figures = serde_json::Map::new();
    figures.insert("data".into(), report.data.clone().into());
    figures.insert("images".into(), report.metrics.images.into());
    let (metrics, cost) = (&report.metrics, &report.cost);
    let drop = report.agreement.as_ref().map(|agreement| agreement.drop);
    let verdicts = metrics.verdicts.as_ref();
    let measured = [
        ("accuracy", metrics.accuracy.value),
        ("balanced_accuracy", Some(metrics.balanced_accuracy)),
        ("escape_rate", verdicts.and_then(|verdicts| verdicts.escape.value)),
        ("false_reject_rate", verdicts.and_then(|verdicts| verdicts.false_reject.value)),
        ("drop", drop.map(|drop| drop.drop)),
        ("drop_upper_95", drop.map(|drop| drop.upper_95)),
        ("times_faster", cost.speedup()),
        ("times_smaller", cost.size_ratio()),
    ];
    figures.extend(measured.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    figures
}

/// The machines that a target's artefact is for, each as a variant of the same file.
fn machines(target: Target) -> Vec<(&'static str, Requires)> {
    let of = |runtime: &str, arch: &[&str], features: &[&str]| Requires {
        runtime: vec![runtime.to_owned()],
        arch: arch.iter().map(|&arch| arch.to_owned()).collect(),
        cpu_features: features.iter().map(|&feature| feature.to_owned()).collect(),
    };
    let name = target.name();
    match target {
        Target::TensorrtInt8 => vec![(name, of("tensorrt", &[], &[]))],
        Target::CpuInt8Avx2 => vec![(name, of("onnxruntime", &["x86_64"], &["avx2"]))],
        // Where products are added into 32 bits; without that, 8-bit weights saturate.
        Target::CpuInt8 => vec![
            (name, of("onnxruntime", &["x86_64"], &["avx512vnni"])),
            ("cpu-int8-avxvnni", of("onnxruntime", &["x86_64"], &["avxvnni"])),
            ("cpu-int8-arm", of("onnxruntime", &["aarch64"], &["dotprod"])),
        ],
    }
}

/// Held-out images with the outputs of the model in single precision.
fn golden(session: &mut dyn Session, ready: &Ready, input: &str) -> Result<Golden, StageError> {
    let samples = ready.split(held_out(ready))?;
    let stride = (samples.len() / GOLDEN).max(1);
    let chosen: Vec<usize> = samples.into_iter().step_by(stride).take(GOLDEN).collect();
    let mut images = Vec::new();
    for &sample in &chosen {
        if let Some(sample) = ready.data.samples.get(sample) {
            let path = ready.data.path(sample);
            images.push(fs::read(&path).map_err(StageError::file(path))?);
        }
    }
    let outputs = run_samples(session, &ready.images, &chosen)?;
    let outputs = outputs.into_iter().map(|(name, shape, data)| {
        let data = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name, GoldenTensor { datatype: takt_artifact::DataType::Fp32, shape, data })
    });
    Ok(Golden { images: BTreeMap::from([(input.to_owned(), images)]), outputs: outputs.collect(), ..Golden::default() })
}
