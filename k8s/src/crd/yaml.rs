//! The definitions as files, for `kubectl apply -f`.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use super::{ModelRollout, ModelServer};

/// The definitions of every resource.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![ModelServer::crd(), ModelRollout::crd()];
    let versions = definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions);
    let schemas = versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for status in schemas.filter_map(|schema| schema.properties.as_mut()?.get_mut("status")) {
        without_defaults(status);
    }
    definitions
}

/// The operator writes statuses whole: nothing is to be filled in. (And Kubernetes 1.20 takes an empty text for null here.)
fn without_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(without_defaults);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => without_defaults(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_defaults),
        None => {}
    }
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
