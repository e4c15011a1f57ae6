//! The definitions as files, for `kubectl apply -f`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{ModelRollout, ModelServer};

/// The definitions of every resource.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![ModelServer::crd(), ModelRollout::crd()]
}

/// The same as YAML, one file each: name and text.
///
/// # Errors
/// A definition cannot be written as YAML: a fault of this program.
pub fn files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    definitions()
        .iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.metadata.name.as_deref().unwrap_or_default());
            let text = serde_saphyr::to_string(definition)?;
            Ok((name, format!("# Made by `takt operator crds`.\n{}\n", text.trim_end())))
        })
        .collect()
}
