//! Whether a model's configuration, its manifest and its ONNX file say the same, and what holds where only one speaks.

use takt_artifact::manifest::{Lineage, SCHEMA};
use takt_artifact::{Decision, Manifest, Preprocess, Signature, TensorSpec, Variant};

use super::config::{DeclaredTensor, ModelConfig, Side};
use super::fault::{ConfigFault, ConfigFaults};

/// What turns pixels into a verdict, from wherever it is said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vision {
    /// From an encoded image to the input tensor.
    pub preprocess: Option<Preprocess>,
    /// Class names of the decision's output.
    pub labels: Vec<String>,
    /// From outputs to a verdict.
    pub decision: Option<Decision>,
}

impl ModelConfig {
    /// What a version of this model does with images: as its manifest says, else as the configuration does.
    #[must_use]
    pub fn vision(&self, manifest: Option<&Manifest>) -> Vision {
        if let Some(manifest) = manifest {
            return Vision {
                preprocess: manifest.preprocess.clone(),
                labels: manifest.labels.clone(),
                decision: manifest.decision.clone(),
            };
        }
        let output = self
            .bare
            .decision
            .as_ref()
            .map(|decision| decision.output.as_str());
        let labels = match output {
            Some(output) => self.labels_of(output),
            None => self
                .bare
                .labels
                .first()
                .map_or(&[][..], |labels| &labels.names),
        };
        Vision {
            preprocess: self.bare.preprocess.clone(),
            labels: labels.to_vec(),
            decision: self.bare.decision.clone(),
        }
    }

    /// The signature as clients see it: the model's, narrowed by what the configuration names.
    #[must_use]
    pub fn client_signature(&self, model: &Signature, max_batch_size: usize) -> Signature {
        let side = |specs: &[TensorSpec], declared: &[DeclaredTensor]| {
            let narrowed =
                |spec: &TensorSpec| match declared.iter().find(|tensor| tensor.name == spec.name) {
                    Some(tensor) => narrow(spec, tensor, max_batch_size > 0),
                    None => spec.clone(),
                };
            specs.iter().map(narrowed).collect()
        };
        Signature {
            inputs: side(&model.inputs, &self.inputs),
            outputs: side(&model.outputs, &self.outputs),
        }
    }

    /// Whether a version can be run as configured.
    ///
    /// # Errors
    /// Everything in the configuration that contradicts the version's manifest, its variants or the model's signature.
    pub fn agrees_with(
        &self,
        manifest: Option<&Manifest>,
        variants: &[Variant],
        model: &Signature,
    ) -> Result<(), ConfigFaults> {
        let mut faults = self.pin_faults(variants);
        faults.extend(match manifest {
            Some(manifest) => self.manifest_faults(manifest),
            None => self.bare_faults(model),
        });
        let batch_size = match self.batching(model) {
            Ok(batch) => batch.max_batch_size,
            Err(error) => {
                faults.extend_from_slice(error.list());
                ConfigFaults::none_of(faults)?;
                return Ok(());
            }
        };
        for (side, declared, specs) in [
            (Side::Input, &self.inputs, &model.inputs),
            (Side::Output, &self.outputs, &model.outputs),
        ] {
            for (i, tensor) in declared.iter().enumerate() {
                let key = self.tensor_key(side, i);
                faults.extend(self.tensor_fault(&key, tensor, specs, batch_size > 0));
            }
        }
        ConfigFaults::none_of(faults)
    }

    fn pin_faults(&self, variants: &[Variant]) -> Vec<ConfigFault> {
        let Some(pinned) = &self.variant else {
            return Vec::new();
        };
        if variants.iter().any(|variant| variant.name == *pinned) {
            return Vec::new();
        }
        let names: Vec<&str> = variants
            .iter()
            .map(|variant| variant.name.as_str())
            .collect();
        let expected = format!("a variant of the version: {}", names.join(", "));
        vec![self.fault(
            "variant",
            format!("'{pinned}'"),
            expected,
            "pin one of these, or remove the key",
        )]
    }

    /// What turns pixels into a verdict belongs to the version; saying it again is fine, saying otherwise is not.
    fn manifest_faults(&self, manifest: &Manifest) -> Vec<ConfigFault> {
        let of_file = self.vision(None);
        let contradiction = |key| {
            self.fault(
                key,
                "what differs from the version's manifest.json",
                "nothing, or the same as the manifest",
                "remove it: the manifest says how a packaged version is used",
            )
        };
        let mut faults = Vec::new();
        if of_file.preprocess.is_some() && of_file.preprocess != manifest.preprocess {
            faults.push(contradiction("preprocess"));
        }
        if !of_file.labels.is_empty() && of_file.labels != manifest.labels {
            faults.push(contradiction("labels"));
        }
        if of_file.decision.is_some() && of_file.decision != manifest.decision {
            faults.push(contradiction("decision"));
        }
        faults
    }

    /// A bare version under this configuration is held to the rules of a manifest.
    fn bare_faults(&self, model: &Signature) -> Vec<ConfigFault> {
        let vision = self.vision(None);
        let as_manifest = Manifest {
            schema: SCHEMA,
            name: self.name.clone(),
            semver: String::new(),
            created: String::new(),
            lineage: Lineage::default(),
            signature: model.clone(),
            preprocess: vision.preprocess,
            labels: vision.labels,
            decision: vision.decision,
            variants: Vec::new(),
            evaluation: serde_json::Map::default(),
            files: std::collections::BTreeMap::default(),
        };
        let ours = |path: &str| {
            ["preprocess", "labels", "decision"]
                .iter()
                .any(|key| path.starts_with(key))
        };
        let faults = as_manifest
            .faults()
            .into_iter()
            .filter(|fault| ours(&fault.path));
        faults
            .map(|fault| self.fault(&fault.path, fault.found, fault.expected, fault.fix))
            .collect()
    }

    fn tensor_fault(
        &self,
        key: &str,
        declared: &DeclaredTensor,
        specs: &[TensorSpec],
        batches: bool,
    ) -> Option<ConfigFault> {
        let Some(spec) = specs.iter().find(|spec| spec.name == declared.name) else {
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            let expected = format!("one of the model's: {}", names.join(", "));
            return Some(self.fault(
                key,
                format!("'{}'", declared.name),
                expected,
                "correct the name",
            ));
        };
        let name = &spec.name;
        if let Some(datatype) = declared.datatype
            && datatype != spec.datatype
        {
            let expected = format!("{}, as in the model", spec.datatype);
            return Some(self.fault(
                key,
                format!("'{name}' of {datatype}"),
                expected,
                "correct the datatype",
            ));
        }
        let model = if batches {
            &spec.shape[1..]
        } else {
            &spec.shape[..]
        };
        let dims = declared.reshape.as_ref().unwrap_or(&declared.dims);
        let fits = model.len() == dims.len()
            && model
                .iter()
                .zip(dims)
                .all(|(&a, &b)| a == b || a == -1 || b == -1);
        if fits && same_elements(declared) {
            return None;
        }
        let batch = if batches {
            " after the batch dimension"
        } else {
            ""
        };
        Some(self.fault(
            key,
            format!("'{name}' with dims {:?}", declared.dims),
            format!("{model:?}{batch}, as in the model"),
            "correct the dims, or give the model's own as reshape with as many elements",
        ))
    }
}

/// Where the manifest of a version and its ONNX file differ about inputs and outputs.
#[must_use]
pub fn signature_faults(
    file: &std::path::Path,
    manifest: &Signature,
    model: &Signature,
) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    for (side, said, real) in [
        ("inputs", &manifest.inputs, &model.inputs),
        ("outputs", &manifest.outputs, &model.outputs),
    ] {
        let text = |specs: &[TensorSpec]| {
            let spec =
                |spec: &TensorSpec| format!("{} {} {:?}", spec.name, spec.datatype, spec.shape);
            specs.iter().map(spec).collect::<Vec<_>>().join(", ")
        };
        if said != real {
            faults.push(ConfigFault {
                key: format!("signature.{side}"),
                ..ConfigFault::of_file(
                    file,
                    text(said),
                    format!("{}, as in the ONNX file", text(real)),
                    "package it again",
                )
            });
        }
    }
    faults
}

/// A reshape may not add or drop elements.
fn same_elements(declared: &DeclaredTensor) -> bool {
    let count = |dims: &[i64]| {
        dims.iter().try_fold(
            1_i64,
            |n, &dim| if dim < 0 { None } else { n.checked_mul(dim) },
        )
    };
    match declared.reshape.as_deref() {
        Some(reshape) => count(reshape) == count(&declared.dims),
        None => true,
    }
}

fn narrow(spec: &TensorSpec, declared: &DeclaredTensor, batches: bool) -> TensorSpec {
    let model = if batches {
        spec.shape.get(1..).unwrap_or_default()
    } else {
        &spec.shape[..]
    };
    let mut dims = declared.dims.clone();
    if declared.reshape.is_none() {
        for (dim, &of_model) in dims.iter_mut().zip(model) {
            if *dim == -1 {
                *dim = of_model;
            }
        }
    }
    let batch = if batches { Some(-1) } else { None };
    TensorSpec {
        shape: batch.into_iter().chain(dims).collect(),
        ..spec.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use takt_artifact::DataType;
    use takt_artifact::manifest::{Precision, Requires};

    use super::*;
    use crate::repository::toml;

    fn model() -> Signature {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: DataType::Fp32,
            shape: shape.to_vec(),
        };
        Signature {
            inputs: vec![tensor("x", &[-1, 3, -1, 64])],
            outputs: vec![tensor("y", &[-1, 2])],
        }
    }

    fn config(text: &str) -> ModelConfig {
        toml::parse("m", Path::new("model.toml"), text).unwrap()
    }

    fn faults(text: &str) -> String {
        let variant = Variant {
            name: "default".to_owned(),
            file: "model.onnx".to_owned(),
            precision: Precision::Fp32,
            requires: Requires::default(),
        };
        config(text)
            .agrees_with(None, &[variant], &model())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_silent_configuration_agrees_with_every_model() {
        assert_eq!(config("").agrees_with(None, &[], &model()), Ok(()));
        assert_eq!(config("").client_signature(&model(), 8), model());
    }

    #[test]
    fn declared_tensors_narrow_what_clients_see() {
        let config = config("[[inputs]]\nname = 'x'\ndims = [3, 32, -1]\n");
        assert_eq!(config.agrees_with(None, &[], &model()), Ok(()));
        let seen = config.client_signature(&model(), 8);
        assert_eq!(seen.inputs[0].shape, [-1, 3, 32, 64]);
        assert_eq!(seen.outputs, model().outputs);
    }

    #[test]
    fn a_reshape_shows_clients_other_dims_of_as_many_elements() {
        let config = config("[[outputs]]\nname = 'y'\ndims = [1, 2]\nreshape = [2]\n");
        assert_eq!(config.agrees_with(None, &[], &model()), Ok(()));
        assert_eq!(
            config.client_signature(&model(), 8).outputs[0].shape,
            [-1, 1, 2]
        );
        insta::assert_snapshot!(faults(
            "[[outputs]]\nname = 'y'\ndims = [3, 2]\nreshape = [2]\n"
        ));
    }

    #[test]
    fn a_reshape_may_hide_a_batch_dimension_of_one() {
        let mut model = model();
        model.inputs[0].shape = vec![1, 3, 64, 64];
        model.outputs[0].shape = vec![1, 2];
        let config = config("[[inputs]]\nname = 'x'\ndims = [3, 64, 64]\nreshape = [1, 3, 64, 64]\n");
        assert_eq!(config.agrees_with(None, &[], &model), Ok(()));
        assert_eq!(config.client_signature(&model, 0).inputs[0].shape, [3, 64, 64]);
    }

    #[test]
    fn every_contradiction_with_the_model_is_told_with_its_line() {
        insta::assert_snapshot!(faults(
            r#"
variant = "cpu-int8"
labels = ["good", "scratch", "dent"]
[preprocess]
input = "image"
width = 64
height = 64
[decision]
output = "y"
good_classes = ["fine"]
[[inputs]]
name = "x"
datatype = "UINT8"
dims = [3, 32, 32]
[[outputs]]
name = "y"
dims = [2, 1]
[[outputs]]
name = "z"
dims = [2]
"#
        ));
    }

    #[test]
    fn a_manifest_may_be_repeated_but_not_contradicted() {
        let text =
            "labels = ['good', 'scratch']\n[decision]\noutput = 'y'\ngood_classes = ['good']\n";
        let vision = config(text).vision(None);
        let mut manifest = Manifest {
            schema: SCHEMA,
            name: "m".to_owned(),
            semver: "1.0.0".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            lineage: Lineage::default(),
            signature: model(),
            preprocess: None,
            labels: vision.labels,
            decision: vision.decision,
            variants: Vec::new(),
            evaluation: serde_json::Map::default(),
            files: std::collections::BTreeMap::default(),
        };
        assert_eq!(
            config(text).agrees_with(Some(&manifest), &[], &model()),
            Ok(())
        );
        manifest.labels.reverse();
        let faults = config(text)
            .agrees_with(Some(&manifest), &[], &model())
            .unwrap_err();
        insta::assert_snapshot!(faults, @"model.toml:1:1: labels: found what differs from the version's manifest.json, expected nothing, or the same as the manifest; remove it: the manifest says how a packaged version is used");
        assert_eq!(
            config(text).vision(Some(&manifest)).labels,
            ["scratch", "good"]
        );
    }
}
