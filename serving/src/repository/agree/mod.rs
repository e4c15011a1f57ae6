//! Whether a model's configuration, its manifest and its ONNX file say the same, and what holds where only one speaks.

mod seen;

use takt_artifact::manifest::{Lineage, SCHEMA};
use takt_artifact::{Manifest, Signature, TensorSpec, Variant};

pub use self::seen::Vision;
use crate::repository::config::{DeclaredTensor, ModelConfig, Side};
use crate::repository::fault::{ConfigFault, ConfigFaults};

impl ModelConfig {
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
        for (side, declared, specs) in
            [(Side::Input, &self.inputs, &model.inputs), (Side::Output, &self.outputs, &model.outputs)]
        {
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
        let names: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
        let expected = format!("a variant of the version: {}", names.join(", "));
        vec![self.fault("variant", format!("'{pinned}'"), expected, "pin one of these, or remove the key")]
    }

    /// What turns pixels into a verdict belongs to the version; saying it again is fine, saying otherwise is not.
    fn manifest_faults(&self, manifest: &Manifest) -> Vec<ConfigFault> {
        let of_file = self.vision(None);
        let contradiction = |key, found: String, expected: String| {
            self.fault(key, found, expected, "remove it: the manifest says how a packaged version is used")
        };
        let table =
            |key| contradiction(key, "other than in the manifest".to_owned(), "the same, or nothing".to_owned());
        let mut faults = Vec::new();
        if of_file.preprocess.is_some() && of_file.preprocess != manifest.preprocess {
            faults.push(table("preprocess"));
        }
        if !of_file.labels.is_empty() && of_file.labels != manifest.labels {
            let expected = format!("{:?} as in the manifest, or nothing", manifest.labels);
            faults.push(contradiction("labels", format!("{:?}", of_file.labels), expected));
        }
        if of_file.decision.is_some() && of_file.decision != manifest.decision {
            faults.push(table("decision"));
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
        let ours = |path: &str| ["preprocess", "labels", "decision"].iter().any(|key| path.starts_with(key));
        let faults = as_manifest.faults().into_iter().filter(|fault| ours(&fault.path));
        faults.map(|fault| self.fault(&fault.path, fault.found, fault.expected, fault.fix)).collect()
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
            return Some(self.fault(key, format!("'{}'", declared.name), expected, "correct the name"));
        };
        let name = &spec.name;
        if let Some(datatype) = declared.datatype
            && datatype != spec.datatype
        {
            let expected = format!("{}, as in the model", spec.datatype);
            return Some(self.fault(key, format!("'{name}' of {datatype}"), expected, "correct the datatype"));
        }
        let model = if batches { &spec.shape[1..] } else { &spec.shape[..] };
        let dims = declared.reshape.as_ref().unwrap_or(&declared.dims);
        let fits = model.len() == dims.len() && model.iter().zip(dims).all(|(&a, &b)| a == b || a == -1 || b == -1);
        if fits && same_elements(declared) {
            return None;
        }
        let batch = if batches { " after the batch dimension" } else { "" };
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
pub fn signature_faults(file: &std::path::Path, manifest: &Signature, model: &Signature) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    for (side, said, real) in
        [("inputs", &manifest.inputs, &model.inputs), ("outputs", &manifest.outputs, &model.outputs)]
    {
        let text = |specs: &[TensorSpec]| {
            let spec = |spec: &TensorSpec| format!("{} {} {:?}", spec.name, spec.datatype, spec.shape);
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
    let count = |dims: &[i64]| dims.iter().try_fold(1_i64, |n, &dim| if dim < 0 { None } else { n.checked_mul(dim) });
    match declared.reshape.as_deref() {
        Some(reshape) => count(reshape) == count(&declared.dims),
        None => true,
    }
}

#[cfg(test)]
mod tests;
