//! Models as messages: metadata, configuration, the repository index.

use takt_artifact::TensorSpec;
use takt_proto::inference::model_metadata_response::TensorMetadata;
use takt_proto::inference::repository_index_response::ModelIndex;
use takt_proto::inference::{ModelConfig, ModelMetadataResponse, RepositoryIndexResponse};

use crate::error::{ErrorKind, InferError};
use crate::registry::index::IndexEntry;
use crate::registry::version::ServedVersion;
use crate::repository::config::PLATFORM;

/// Inputs and outputs of a version, and the versions beside it.
#[must_use]
pub fn metadata(version: &ServedVersion, versions: &[u64]) -> ModelMetadataResponse {
    let tensors = |specs: &[TensorSpec]| {
        specs
            .iter()
            .map(|spec| TensorMetadata {
                name: spec.name.clone(),
                datatype: spec.datatype.name().to_owned(),
                shape: version.request_shape(spec),
            })
            .collect()
    };
    ModelMetadataResponse {
        name: version.id.model.to_string(),
        versions: versions.iter().map(u64::to_string).collect(),
        platform: PLATFORM.to_owned(),
        inputs: tensors(&version.signature.inputs),
        outputs: tensors(&version.signature.outputs),
    }
}

/// A version's configuration as Triton shows it.
#[must_use]
pub fn config(version: &ServedVersion) -> ModelConfig {
    crate::repository::to_proto::to_proto(&version.config, &version.signature)
}

/// The repository's models and versions with their states.
#[must_use]
pub fn index(entries: Vec<IndexEntry>) -> RepositoryIndexResponse {
    let models = entries
        .into_iter()
        .map(|entry| ModelIndex {
            name: entry.model,
            version: entry.version.map(|number| number.to_string()).unwrap_or_default(),
            state: entry.state.label().to_owned(),
            reason: entry.reason,
        })
        .collect();
    RepositoryIndexResponse { models }
}

/// Refuses what a load request may carry for Triton and this server does not take from the wire.
///
/// # Errors
/// There is a parameter.
pub fn check_load_parameters<'a>(model: &str, keys: impl IntoIterator<Item = &'a str>) -> Result<(), InferError> {
    match keys.into_iter().next() {
        None => Ok(()),
        Some(key) => Err(InferError::new(
            ErrorKind::Unimplemented,
            format!(
                "load of model '{model}' carries parameter '{key}': configurations and files are not taken from a request; \
                 write them into the repository and load without parameters"
            ),
        )),
    }
}
