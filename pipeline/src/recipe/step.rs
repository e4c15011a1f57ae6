//! A stage of a recipe as the runner wants it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use takt_artifact::Decision;

use super::from::From;
use super::spec::{self, Spec, Start};
use crate::data::Split;
use crate::data::surface::{self, GenerateError};
use crate::evaluate::Report;
use crate::run::{self, Context, StageReport, Unfinished};
use crate::stage::{self, MODEL, REPORT, Shop, StageError, Weigh};

/// What stages leave for going on and nobody reads later.
const LEFTOVERS: [&str; 2] = ["checkpoint", "teacher"];
/// Number of the version that a package stage writes.
const VERSION: &str = "1";

/// What a run may use of the machine. It decides no result.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Threads that decode.
    pub threads: NonZeroUsize,
    /// Bytes of decoded images that may be kept.
    pub cache_bytes: usize,
    /// Measures memory in a process of its own, where there can be one.
    pub weigh: Option<Weigh>,
}

/// A stage with what it needs to know of the recipe around it.
pub(super) struct Step {
    spec: Spec,
    base: PathBuf,
    model: String,
    decision: Option<Decision>,
    machine: Machine,
    inputs: Vec<String>,
}

/// The version folder in the result of a package stage, which is a model repository of one model.
pub(super) fn version_folder(result: &Path, model: &str) -> PathBuf {
    result.join(model).join(VERSION)
}

impl Step {
    pub(super) fn new(spec: Spec, base: &Path, model: &str, decision: Option<&Decision>, machine: Machine) -> Self {
        let mut inputs: Vec<String> = Vec::new();
        for stage in spec.inputs().into_iter().filter_map(|(_, from)| from.stage()) {
            if !inputs.iter().any(|there| there == stage) {
                inputs.push(stage.to_owned());
            }
        }
        let decision = match spec {
            Spec::Evaluate(_) | Spec::Package(_) => decision.cloned(),
            _ => None,
        };
        Self { spec, base: base.to_owned(), model: model.to_owned(), decision, machine, inputs }
    }
}

impl run::Stage for Step {
    fn kind(&self) -> &'static str {
        self.spec.kind()
    }

    fn identity(&self) -> Value {
        let settings = match &self.spec {
            // Defaults are part of the plan, so a default that changes makes new images.
            Spec::Generate(generate) => generate.0.plan().map(|plan| json!(plan)).unwrap_or_default(),
            Spec::Validate(validate) => json!(validate),
            Spec::Train(train) => json!(train),
            Spec::Prune(prune) => json!(prune),
            Spec::Quantise(quantise) => json!(quantise),
            Spec::Evaluate(evaluate) => json!({ "evaluate": evaluate, "decision": self.decision }),
            Spec::Package(package) => {
                json!({ "package": package, "decision": self.decision, "model": self.model })
            }
        };
        json!({ "revision": self.spec.revision(), "settings": settings, "takes": self.takes() })
    }

    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn is_log(&self, file: &str) -> bool {
        match self.spec {
            // What it measured is what it makes.
            Spec::Evaluate(_) | Spec::Validate(_) | Spec::Generate(_) | Spec::Package(_) => false,
            Spec::Train(_) | Spec::Prune(_) | Spec::Quantise(_) => stage::is_log(file),
        }
    }

    fn sources(&self) -> Vec<PathBuf> {
        self.spec.inputs().into_iter().filter_map(|(_, from)| from.path(&self.base)).collect()
    }

    fn run(
        &self,
        inputs: &BTreeMap<String, PathBuf>,
        out: &Path,
        context: &Context<'_>,
    ) -> Result<StageReport, Unfinished> {
        let shop = Shop {
            threads: self.machine.threads,
            cache_bytes: self.machine.cache_bytes,
            observer: context.training(),
            progress: context.progress(),
            stop: context.stop(),
            weigh: self.machine.weigh,
        };
        let work = Work { step: self, inputs, out, shop };
        let report = match &self.spec {
            Spec::Generate(generate) => work.generate(generate, context),
            Spec::Validate(validate) => work.validate(validate),
            Spec::Train(train) => work.train(train),
            Spec::Prune(prune) => work.prune(prune),
            Spec::Quantise(quantise) => work.quantise(quantise),
            Spec::Evaluate(evaluate) => work.evaluate(evaluate),
            Spec::Package(package) => work.package(package, context),
        }?;
        // A version's files are all its own, whatever the model is called.
        if !matches!(self.spec, Spec::Package(_)) {
            clear(out)?;
        }
        Ok(report)
    }
}

impl Step {
    /// Which input or source serves as what, by its place among them: names and paths are no part of a key, but the same
    /// model as parent or as teacher gives another result.
    fn takes(&self) -> Value {
        let mut sources = 0..;
        let takes = self.spec.inputs().into_iter().map(|(role, from)| match from {
            From::Stage(name) => json!([role, "input", self.inputs.iter().position(|input| input == name)]),
            From::Path(_) => json!([role, "source", sources.next()]),
        });
        takes.collect()
    }
}

/// A stage at work.
struct Work<'a> {
    step: &'a Step,
    inputs: &'a BTreeMap<String, PathBuf>,
    out: &'a Path,
    shop: Shop<'a>,
}

impl Work<'_> {
    /// Where something comes from: a stage's folder, or the user's file.
    fn at(&self, from: &From) -> PathBuf {
        match from {
            From::Stage(name) => self.inputs.get(name).cloned().unwrap_or_default(),
            From::Path(path) => self.step.base.join(path),
        }
    }

    /// A file in a stage's folder or in the user's, or the user's file itself.
    fn file(&self, from: &From, name: &str) -> PathBuf {
        let place = self.at(from);
        if place.is_dir() { place.join(name) } else { place }
    }

    fn generate(&self, generate: &spec::Generate, context: &Context<'_>) -> Result<StageReport, Unfinished> {
        let plan = generate.0.plan().map_err(Unfinished::failed)?;
        let made = surface::generate(
            &plan,
            self.out,
            surface::LabelFile::Csv,
            self.step.machine.threads,
            context.progress(),
            context.stop(),
        );
        let summary = made.map_err(|error| match error {
            GenerateError::Interrupted { .. } => Unfinished::Stopped,
            error => Unfinished::failed(error),
        })?;
        let images: u64 = summary.counts.values().flat_map(|labels| labels.values()).sum();
        Ok(told([("images", json!(images))]))
    }

    #[cfg(feature = "tables")]
    fn validate(&self, validate: &spec::Validate) -> Result<StageReport, Unfinished> {
        let report = stage::validate(&self.at(&validate.data), &self.at(&validate.suite), self.out, &self.shop)?;
        let (errors, warnings) = report.broken();
        let refused = (errors > 0).then(|| report.errors().join("; "));
        let figures = told([("rules", json!(report.results.len())), ("warnings", json!(warnings))]);
        Ok(StageReport { refused, ..figures })
    }

    /// Refused when the recipe was read.
    #[cfg(not(feature = "tables"))]
    fn validate(&self, _: &spec::Validate) -> Result<StageReport, Unfinished> {
        Err(Unfinished::failed("this build reads no tables"))
    }

    fn train(&self, train: &spec::Train) -> Result<StageReport, Unfinished> {
        let start = match &train.start {
            Start::Architecture { name, width, size } => {
                stage::Start::Architecture { name: *name, width: *width, size: *size }
            }
            Start::Model(from) => stage::Start::Model(self.file(from, MODEL)),
        };
        let teacher = train.teacher.as_ref().map(|from| (self.file(from, MODEL), train.distil.clone()));
        let run = stage::Train { start, settings: train.settings.clone(), teacher, new_head: train.new_head };
        let fitted = stage::train(&self.at(&train.data), self.out, &run, &self.shop)?;
        let best = fitted.records.iter().find(|record| record.epoch == fitted.best);
        Ok(told([("balanced accuracy", json!(best.map(|best| best.balanced_accuracy))), ("epoch", json!(fitted.best))]))
    }

    fn prune(&self, prune: &spec::Prune) -> Result<StageReport, Unfinished> {
        let run = prune.run(self.file(&prune.model, MODEL));
        let pruned = stage::prune(&self.at(&prune.data), self.out, &run, &self.shop)?;
        let share = |of: fn(&stage::Round) -> [u64; 2]| {
            let (first, last) = (pruned.rounds.first(), pruned.rounds.last());
            first.zip(last).map(|(first, last)| of(last)[1] as f64 / of(first)[0] as f64)
        };
        Ok(told([
            ("MACs", json!(share(|round| round.macs))),
            ("weights", json!(share(|round| round.parameters))),
            ("balanced accuracy", json!(pruned.rounds.last().map(|round| round.balanced_accuracy))),
        ]))
    }

    fn quantise(&self, quantise: &spec::Quantise) -> Result<StageReport, Unfinished> {
        let run = quantise.run(self.file(&quantise.model, MODEL));
        let reports = stage::quantise(&self.at(&quantise.data), self.out, &run, &self.shop)?;
        let worst = |report: &crate::quantise::QuantiseReport| {
            report.outputs.iter().map(|(_, agreement)| agreement.cosine()).fold(1.0, f64::min)
        };
        let figures = reports.iter().map(|report| (format!("{} cosine", report.target), json!(worst(report))));
        Ok(StageReport { figures: figures.collect(), refused: None })
    }

    fn evaluate(&self, evaluate: &spec::Evaluate) -> Result<StageReport, Unfinished> {
        let model = match evaluate.artefact {
            None => self.file(&evaluate.model, MODEL),
            Some(target) => self.file(&evaluate.model, &stage::artefact(target)),
        };
        let split = Split::parse(&evaluate.split).ok_or_else(|| {
            let known = Split::ALL.map(Split::name).join(", ");
            Unfinished::failed(format!("split is '{}', expected one of {known}", evaluate.split))
        })?;
        let run = stage::Evaluate {
            model,
            parent: evaluate.parent.as_ref().map(|from| self.file(from, MODEL)),
            artefacts: evaluate.artefact.map(|_| self.at(&evaluate.model)),
            split,
            gates: Some(evaluate.gates.clone()),
            decision: self.step.decision.clone(),
        };
        let page = self.out.join(stage::PAGE);
        let report = stage::evaluate(&self.at(&evaluate.data), &run, Some(self.out), Some(&page), &self.shop)?;
        let refused = report.gates.as_ref().filter(|gates| !gates.passed()).map(|gates| gates.refusals().join("; "));
        Ok(StageReport { refused, ..told(figures(&report)) })
    }

    fn package(&self, package: &spec::Package, context: &Context<'_>) -> Result<StageReport, Unfinished> {
        let folder = version_folder(self.out, &self.step.model);
        // What a run that was killed had written; only a result that the runner knows of counts.
        match fs::remove_dir_all(self.out.join(&self.step.model)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(self.out.join(&self.step.model))?,
        }
        let evaluation = package.evaluation.as_ref().map(|from| read_report(&self.file(from, REPORT))).transpose()?;
        let run = stage::Package {
            artefacts: self.at(&package.artefacts),
            target: folder.clone(),
            name: self.step.model.clone(),
            semver: package.semver.clone(),
            created: takt_artifact::calendar::now(),
            decision: self.step.decision.clone(),
            evaluation,
            parent: None,
            pipeline: context.key().map(ToString::to_string),
            reference: None,
            parity: package.parity.unwrap_or(stage::PARITY),
        };
        let digest = stage::package(&self.at(&package.data), &run, &self.shop)?;
        Ok(told([("version", json!(digest.short()))]))
    }
}

/// What people ask of an evaluation first.
fn figures(report: &Report) -> Vec<(&'static str, Value)> {
    let all = [
        ("balanced accuracy", Some(report.metrics.balanced_accuracy)),
        ("drop at most", report.agreement.as_ref().map(|agreement| agreement.drop.upper_95)),
        ("times faster", report.cost.speedup()),
        ("times smaller", report.cost.size_ratio()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, json!(value?)))).collect()
}

fn told(figures: impl IntoIterator<Item = (&'static str, Value)>) -> StageReport {
    let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value));
    StageReport { figures: figures.collect(), refused: None }
}

fn read_report(path: &Path) -> Result<Report, Unfinished> {
    let bad = |error: &dyn std::fmt::Display| Unfinished::failed(format!("'{}': {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(&error))?;
    serde_json::from_str(&text).map_err(|error| bad(&error))
}

/// Removes what a stage kept for going on; rounds have folders of their own.
fn clear(out: &Path) -> Result<(), Unfinished> {
    let entries = fs::read_dir(out)?.map(|entry| entry.map(|entry| entry.path()));
    let mut folders: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    folders.retain(|path| path.is_dir());
    folders.push(out.to_owned());
    for folder in folders.iter().flat_map(|folder| LEFTOVERS.map(|name| folder.join(name))) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

impl std::convert::From<StageError> for Unfinished {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Interrupted => Self::Stopped,
            error => Self::failed(error),
        }
    }
}
