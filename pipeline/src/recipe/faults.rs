//! What is wrong with stages and with what they take from each other, told before anything runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use takt_artifact::names::is_semver;

use super::error::RecipeFault;
use super::from::From;
use super::spec::{Evaluate, Package, Prune, Quantise, Spec, Start, Train};
use crate::data::Split;
use crate::evaluate::gates::Gates;
use crate::quantise::Target;
use crate::stage;
use crate::train::Distil;

/// Kinds that leave a model.
const MODELS: &[&str] = &["train", "prune", "quantize"];

impl Spec {
    /// What is wrong with its settings.
    pub(super) fn faults(&self) -> Vec<String> {
        match self {
            Self::Generate(generate) => {
                let plan = generate.0.plan().map_err(|error| error.to_string());
                plan.and_then(|plan| plan.check().map_err(|error| error.to_string())).err().into_iter().collect()
            }
            Self::Validate(_) if cfg!(feature = "tables") => Vec::new(),
            Self::Validate(_) => {
                vec!["this build reads no tables; build it with `--features tables`, or leave the stage out".to_owned()]
            }
            Self::Train(spec) => train(spec),
            Self::Prune(spec) => prune(spec),
            Self::Quantise(spec) => spec.run(PathBuf::new()).faults(),
            Self::Evaluate(spec) => evaluate(spec),
            Self::Package(spec) => package(spec),
        }
    }
}

fn train(spec: &Train) -> Vec<String> {
    let mut faults: Vec<String> = spec.settings.check().err().into_iter().map(|error| error.to_string()).collect();
    if let Start::Architecture { width, size, .. } = spec.start {
        faults.extend(stage::Architecture::check(width, size).err().map(|error| format!("start: {error}")));
    }
    if spec.new_head && matches!(spec.start, Start::Architecture { .. }) {
        faults.push("new_head is for start = { model = ... }; a network of our own has the data's classes".to_owned());
    }
    match &spec.teacher {
        Some(_) => faults.extend(spec.distil.check().err().map(|error| error.to_string())),
        None if spec.distil != Distil::default() => {
            let text = "distil says how a teacher is listened to, and there is none; add teacher = \"...\", or leave distil out";
            faults.push(text.to_owned());
        }
        None => {}
    }
    faults
}

fn prune(spec: &Prune) -> Vec<String> {
    let mut faults = spec.run(PathBuf::new()).faults();
    if spec.sparsity.is_none() && spec.sparse_epochs != stage::sparse_epochs() {
        let text = "sparse_epochs is there without sparsity; add sparsity = { strength = 0.01 }, or leave it out";
        faults.push(text.to_owned());
    }
    faults
}

fn evaluate(spec: &Evaluate) -> Vec<String> {
    let known = Split::ALL.map(Split::name);
    let split = Split::parse(&spec.split).is_none();
    let split = split.then(|| format!("split is '{}', expected one of {}", spec.split, known.join(", ")));
    split.into_iter().chain(spec.gates.faults()).collect()
}

fn package(spec: &Package) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_semver(&spec.semver) {
        faults.push(format!("semver is '{}', expected a semantic version such as 1.2.0", spec.semver));
    }
    let of_all = spec.parity.map(|gate| BTreeMap::from([("of every artefact".to_owned(), gate)]));
    faults.extend(Gates { parity: of_all.unwrap_or_default(), ..Gates::default() }.faults());
    faults
}

/// What stages take from stages that do not make it. Names that no stage has are told by the plan.
pub(super) fn between(stages: &[(String, Spec)]) -> Vec<RecipeFault> {
    let by_name: BTreeMap<&str, &Spec> = stages.iter().map(|(name, spec)| (name.as_str(), spec)).collect();
    let mut faults = Vec::new();
    for (name, spec) in stages {
        let fault = |reason| RecipeFault::Keys { stage: name.clone(), kind: spec.kind().to_owned(), reason };
        for (role, from) in spec.inputs() {
            let Some((input, made_by)) = known(from, &by_name) else { continue };
            let expected: &[&str] = match role {
                "data" => &["generate"],
                "evaluation" => &["evaluate"],
                "suite" => &[],
                _ => MODELS,
            };
            if !expected.contains(&made_by.kind()) {
                let kind = made_by.kind();
                let expected = match expected {
                    [] => "a file, written with a '/' or a '.'".to_owned(),
                    kinds => format!("a stage of kind {}, or a path, written with a '/' or a '.'", kinds.join(", ")),
                };
                faults.push(fault(format!("{role} is '{input}', a stage of kind {kind}, expected {expected}")));
            }
        }
        if let Spec::Evaluate(Evaluate { artefact: Some(target), model, .. }) = spec {
            faults.extend(missing(*target, model, &by_name).map(fault));
        }
    }
    faults
}

/// Why the stage that makes `model` leaves no artefact for `target`.
fn missing(target: Target, model: &From, by_name: &BTreeMap<&str, &Spec>) -> Option<String> {
    let (input, made_by) = known(model, by_name)?;
    let target = target.name();
    match made_by {
        Spec::Quantise(Quantise { targets, .. }) => {
            let targets: Vec<&str> = targets.iter().map(|target| target.name()).collect();
            let made = targets.join(", ");
            (!targets.contains(&target)).then(|| format!("artefact is '{target}', and '{input}' makes {made}"))
        }
        other => Some(format!(
            "artefact is '{target}', and '{input}' is a stage of kind {}, which makes none; leave artefact out, or name a stage of \
             kind quantize",
            other.kind()
        )),
    }
}

fn known<'a>(from: &'a From, by_name: &BTreeMap<&str, &'a Spec>) -> Option<(&'a str, &'a Spec)> {
    let name = from.stage()?;
    Some((name, *by_name.get(name)?))
}
