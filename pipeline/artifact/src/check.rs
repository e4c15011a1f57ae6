//! Whether a manifest makes sense: every rule its types cannot hold, all broken ones reported together.

mod image;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::fault::{Fault, choices};
use crate::manifest::{FileDigest, Lineage, Manifest, Variant};
use crate::names::{FILE_RULE, NAME_RULE, is_name, is_plain_file, is_sha256, is_utc_time};
use crate::signature::{Signature, TensorSpec};
use crate::{DataType, Decision};

/// Files that are part of every package and are never listed in `files`.
pub(crate) const UNLISTED: [&str; 2] = [Manifest::FILE, "manifest.sig"];

/// All faults of a manifest, in the order of its fields.
pub(crate) fn manifest(m: &Manifest) -> Vec<Fault> {
    let mut faults = identity(m);
    faults.extend(lineage(&m.lineage));
    faults.extend(signature(&m.signature).into_iter().map(|f| f.under("signature")));
    if let Some(p) = &m.preprocess {
        let found = image::preprocess(p, &m.signature);
        faults.extend(found.into_iter().map(|f| f.under("preprocess")));
    }
    faults.extend(labels(&m.labels));
    if let Some(d) = &m.decision {
        // The labels a decision is held against are a field of the manifest itself.
        faults.extend(decision(d, m).into_iter().map(|f| match f.path.as_str() {
            "labels" => f,
            _ => f.under("decision"),
        }));
    }
    faults.extend(variants(m));
    faults.extend(files(m));
    faults
}

fn identity(m: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_name(&m.name) {
        faults.push(Fault::new("name", quoted(&m.name), NAME_RULE, "rename the model"));
    }
    if let Err(error) = semver::Version::parse(&m.semver) {
        faults.push(Fault::new(
            "semver",
            format!("{} ({error})", quoted(&m.semver)),
            "a semantic version such as 1.2.0 (semver.org)",
            "give all of major.minor.patch, without a leading v",
        ));
    }
    if !is_utc_time(&m.created) {
        faults.push(Fault::new(
            "created",
            quoted(&m.created),
            "a date and time of RFC 3339 in UTC such as 2026-03-01T08:30:00Z",
            "write the time of packaging that way",
        ));
    }
    faults
}

fn lineage(lineage: &Lineage) -> Vec<Fault> {
    let Lineage { parent, data, pipeline } = lineage;
    [("parent", parent), ("data", data), ("pipeline", pipeline)]
        .into_iter()
        .filter_map(|(key, digest)| Some((key, digest.as_ref()?)))
        .filter(|(_, digest)| !is_sha256(digest))
        .map(|(key, digest)| bad_sha256(format!("lineage.{key}"), digest))
        .collect()
}

fn signature(signature: &Signature) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (side, specs) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
        if specs.is_empty() {
            faults.push(Fault::new(side, "none", "at least one tensor", "list them as in the ONNX graph"));
        }
        let mut seen = BTreeSet::new();
        for (i, spec) in specs.iter().enumerate() {
            if spec.name.is_empty() {
                faults.push(Fault::new(
                    format!("{side}[{i}].name"),
                    "an empty name",
                    "the tensor's name in the ONNX graph",
                    "fill it in",
                ));
            } else if !seen.insert(&spec.name) {
                faults.push(Fault::new(
                    format!("{side}[{i}].name"),
                    format!("'{}' a second time", spec.name),
                    "each name once",
                    "remove or rename one of the two",
                ));
            }
            if spec.shape.iter().any(|&dim| dim != -1 && dim < 1) {
                faults.push(Fault::new(
                    format!("{side}[{i}].shape"),
                    format!("{:?}", spec.shape),
                    "dimensions of at least 1, or -1 where free",
                    "correct the shape",
                ));
            }
        }
    }
    faults
}

fn labels(labels: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, label) in labels.iter().enumerate() {
        if label.is_empty() {
            faults.push(Fault::new(format!("labels[{i}]"), "an empty label", "a class name", "name the class"));
        } else if !seen.insert(label) {
            faults.push(Fault::new(
                format!("labels[{i}]"),
                format!("'{label}' a second time"),
                "each label once",
                "rename one of the two",
            ));
        }
    }
    faults
}

fn decision(d: &Decision, m: &Manifest) -> Vec<Fault> {
    let Some(spec) = m.signature.output(&d.output) else {
        let mut faults = d.faults(&m.labels, None);
        faults.push(Fault::new(
            "output",
            quoted(&d.output),
            format!("an output of the signature: {}", names_of(&m.signature.outputs)),
            "name the output with one number per label",
        ));
        return faults;
    };
    let classes = spec.shape.last().and_then(|&dim| usize::try_from(dim).ok());
    let mut faults = d.faults(&m.labels, classes);
    let numbers = [DataType::Fp32, DataType::Fp16, DataType::Bf16, DataType::Fp64];
    if !numbers.contains(&spec.datatype) {
        faults.push(Fault::new(
            "output",
            format!("'{}' of datatype {}", d.output, spec.datatype),
            "an output of FP32, FP16, BF16 or FP64",
            "name the output with one number per label",
        ));
    }
    if spec.shape.len() < 2 {
        faults.push(Fault::new(
            "output",
            format!("'{}' of shape {:?}", d.output, spec.shape),
            "[batch, classes]",
            "name the output with one number per label",
        ));
    }
    faults
}

fn variants(m: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    if m.variants.is_empty() {
        faults.push(Fault::new(
            "variants",
            "none",
            "at least one artefact to serve",
            "list model.onnx as variant 'default'",
        ));
    }
    let mut seen = BTreeSet::new();
    for (i, variant) in m.variants.iter().enumerate() {
        let Variant { name, file, .. } = variant;
        if !is_name(name) {
            faults.push(Fault::new(format!("variants[{i}].name"), quoted(name), NAME_RULE, "rename the variant"));
        } else if !seen.insert(name) {
            faults.push(Fault::new(
                format!("variants[{i}].name"),
                format!("'{name}' a second time"),
                "each name once, as it is what a person pins",
                "rename one of the two",
            ));
        }
        if let Some(bits) = variant.weight_bits.filter(|bits| !(2..=8).contains(bits)) {
            faults.push(Fault::new(
                format!("variants[{i}].weight_bits"),
                bits.to_string(),
                "2 to 8",
                "say how many bits the widest INT8 weight takes, or leave it out",
            ));
        }
        if !m.files.contains_key(file) {
            faults.push(Fault::new(
                format!("variants[{i}].file"),
                quoted(file),
                format!("a file of `files`: {}", choices(m.files.keys().map(String::as_str))),
                "list the file with its sha256 and length, or correct the name",
            ));
        }
    }
    faults
}

fn files(m: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, FileDigest { sha256, .. }) in &m.files {
        if !is_plain_file(name) {
            faults.push(Fault::new(
                format!("files[{name:?}]"),
                quoted(name),
                FILE_RULE,
                "put the file beside the manifest",
            ));
        } else if UNLISTED.contains(&name.as_str()) {
            faults.push(Fault::new(
                format!("files[{name:?}]"),
                quoted(name),
                "files other than the manifest and its signature",
                "leave it out: no file can hold its own digest",
            ));
        }
        if !is_sha256(sha256) {
            faults.push(bad_sha256(format!("files[{name:?}].sha256"), sha256));
        }
    }
    faults
}

fn bad_sha256(path: String, found: &str) -> Fault {
    Fault::new(path, quoted(found), "64 lower-case hexadecimal digits", "write the sha256 as `sha256sum` prints it")
}

fn names_of(specs: &[TensorSpec]) -> String {
    choices(specs.iter().map(|spec| spec.name.as_str()))
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}
