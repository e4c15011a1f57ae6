//! What holds for a version: its manifest's word or its configuration's, and the model's signature as clients see it.

use takt_artifact::{Decision, Manifest, Preprocess, Signature, TensorSpec};

use crate::repository::config::{DeclaredTensor, ModelConfig};

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
        let output = self.bare.decision.as_ref().map(|decision| decision.output.as_str());
        let labels = match output {
            Some(output) => self.labels_of(output),
            None => self.bare.labels.first().map_or(&[][..], |labels| &labels.names),
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
            let narrowed = |spec: &TensorSpec| match declared.iter().find(|tensor| tensor.name == spec.name) {
                Some(tensor) => narrow(spec, tensor, max_batch_size > 0),
                None => spec.clone(),
            };
            specs.iter().map(narrowed).collect()
        };
        Signature { inputs: side(&model.inputs, &self.inputs), outputs: side(&model.outputs, &self.outputs) }
    }
}

fn narrow(spec: &TensorSpec, declared: &DeclaredTensor, batches: bool) -> TensorSpec {
    let model = if batches { spec.shape.get(1..).unwrap_or_default() } else { &spec.shape[..] };
    let mut dims = declared.dims.clone();
    if declared.reshape.is_none() {
        for (dim, &of_model) in dims.iter_mut().zip(model) {
            if *dim == -1 {
                *dim = of_model;
            }
        }
    }
    let batch = if batches { Some(-1) } else { None };
    TensorSpec { shape: batch.into_iter().chain(dims).collect(), ..spec.clone() }
}
