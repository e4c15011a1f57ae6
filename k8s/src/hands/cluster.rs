//! The API server: what is read of it, and the few ways in which it is written.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::build::Kept;
use crate::crd::{FINALIZER, MANAGER, ModelRollout, ModelRolloutStatus, ModelServer, ModelServerStatus};

/// Why the API server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The object was changed meanwhile: read again and decide again.
    #[error("the object was changed by somebody else meanwhile; it is read again")]
    Conflict,
    /// The object is gone.
    #[error("the object is gone")]
    Gone,
    /// Not allowed.
    #[error("the API server does not allow it: {0}; look at the operator's Role")]
    Forbidden(String),
    /// It did not understand.
    #[error("the API server refuses: {0}")]
    Refused(String),
    /// It takes too long.
    #[error("the API server takes too long to answer")]
    Late,
    /// It cannot be reached, or is overrun.
    #[error("the API server does not answer: {0}")]
    Unreachable(#[source] kube::Error),
}

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl ClusterError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Late => "late",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) => match status.code {
                404 | 410 => Self::Gone,
                409 => Self::Conflict,
                401 | 403 => Self::Forbidden(status.message.clone()),
                429 | 500.. => Self::Unreachable(error),
                _ => Self::Refused(status.message.clone()),
            },
            _ => Self::Unreachable(error),
        }
    }
}

impl Cluster {
    /// Over that client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api<K>(&self, object: &impl ResourceExt) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    /// Pods with these labels, in the namespace of an object.
    ///
    /// # Errors
    /// The API server's.
    pub async fn pods(&self, of: &ModelRollout, labels: &BTreeMap<String, String>) -> Result<Vec<Pod>, ClusterError> {
        let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        // From the API server's memory: what is a second old is good enough.
        let params = ListParams::default().labels(&selector.join(",")).match_any();
        Ok(self.api::<Pod>(of).list(&params).await?.items)
    }

    /// A Service, in the namespace of an object.
    ///
    /// # Errors
    /// The API server's.
    pub async fn service_named(&self, of: &ModelRollout, name: &str) -> Result<Option<Service>, ClusterError> {
        Ok(self.api::<Service>(of).get_opt(name).await?)
    }

    /// A GRPCRoute of the Gateway API, in the namespace of an object.
    ///
    /// # Errors
    /// The API server's.
    pub async fn grpc_route(&self, of: &ModelRollout, name: &str) -> Result<serde_json::Value, ClusterError> {
        let request = http::Request::get(route_path(of, name)).body(Vec::new());
        Ok(self.client.request(request.map_err(|error| built(&error))?).await?)
    }

    /// Changes a GRPCRoute by a JSON patch (RFC 6902), whole or not at all.
    ///
    /// # Errors
    /// The API server's; a test in the patch that does not hold is [`ClusterError::Refused`].
    pub async fn patch_grpc_route(
        &self,
        of: &ModelRollout,
        name: &str,
        patch: Vec<serde_json::Value>,
    ) -> Result<(), ClusterError> {
        let path = format!("{}?fieldManager={MANAGER}", route_path(of, name));
        let request = http::Request::patch(path).header(http::header::CONTENT_TYPE, "application/json-patch+json");
        let request =
            request.body(serde_json::Value::from(patch).to_string().into_bytes()).map_err(|error| built(&error))?;
        let _: serde_json::Value = self.client.request(request).await?;
        Ok(())
    }

    /// Writes the status of a rollout, if nobody has written the object since it was read. Gives the new one back.
    ///
    /// # Errors
    /// The API server's.
    pub async fn write_rollout(
        &self,
        object: &ModelRollout,
        version: Option<&str>,
        status: &ModelRolloutStatus,
    ) -> Result<ModelRollout, ClusterError> {
        let before = object.status.as_ref();
        self.write_status(&self.api::<ModelRollout>(object), &object.name_any(), version, before, status).await
    }

    /// Writes the status of a server in the same way.
    ///
    /// # Errors
    /// The API server's.
    pub async fn write_server(
        &self,
        object: &ModelServer,
        status: &ModelServerStatus,
    ) -> Result<ModelServer, ClusterError> {
        let version = object.metadata.resource_version.as_deref();
        let before = object.status.as_ref();
        self.write_status(&self.api::<ModelServer>(object), &object.name_any(), version, before, status).await
    }

    async fn write_status<K, S>(
        &self,
        api: &Api<K>,
        name: &str,
        version: Option<&str>,
        before: Option<&S>,
        status: &S,
    ) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
        S: Serialize,
    {
        let mut patch = json!({"metadata": {"resourceVersion": version}, "status": status});
        // A merge patch takes a key away only where it says null.
        if let (Some(status), Ok(before)) = (patch.get_mut("status"), serde_json::to_value(before)) {
            take_away(&before, status);
        }
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        Ok(api.patch_status(name, &params, &Patch::Merge(&patch)).await?)
    }

    /// Holds a rollout until its devices are given back, or lets it go. Nobody else's finalizers are touched.
    ///
    /// # Errors
    /// The API server's.
    pub async fn hold(&self, object: &ModelRollout, hold: bool) -> Result<ModelRollout, ClusterError> {
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if hold {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({
            "metadata": {"resourceVersion": object.metadata.resource_version, "finalizers": finalizers}
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        Ok(self.api::<ModelRollout>(object).patch(&object.name_any(), &params, &Patch::Merge(&patch)).await?)
    }

    /// What keeps a server's pods, as it is.
    ///
    /// # Errors
    /// The API server's.
    pub async fn kept(&self, server: &ModelServer, like: &Kept) -> Result<Option<Kept>, ClusterError> {
        let name = server.name_any();
        Ok(match like {
            Kept::Deployment(_) => {
                self.api::<Deployment>(server).get_opt(&name).await?.map(|found| Kept::Deployment(Box::new(found)))
            }
            Kept::DaemonSet(_) => {
                self.api::<DaemonSet>(server).get_opt(&name).await?.map(|found| Kept::DaemonSet(Box::new(found)))
            }
        })
    }

    /// A server's Service, as it is.
    ///
    /// # Errors
    /// The API server's.
    pub async fn service(&self, server: &ModelServer) -> Result<Option<Service>, ClusterError> {
        Ok(self.api::<Service>(server).get_opt(&server.name_any()).await?)
    }

    /// Applies what keeps a server's pods. What others set in it stays theirs.
    ///
    /// # Errors
    /// The API server's.
    pub async fn apply_kept(&self, server: &ModelServer, kept: &Kept) -> Result<Kept, ClusterError> {
        Ok(match kept {
            Kept::Deployment(object) => Kept::Deployment(Box::new(self.apply(server, object.as_ref()).await?)),
            Kept::DaemonSet(object) => Kept::DaemonSet(Box::new(self.apply(server, object.as_ref()).await?)),
        })
    }

    /// Applies a server's Service.
    ///
    /// # Errors
    /// The API server's.
    pub async fn apply_service(&self, server: &ModelServer, service: &Service) -> Result<Service, ClusterError> {
        self.apply(server, service).await
    }

    async fn apply<K>(&self, owner: &ModelServer, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Serialize
            + DeserializeOwned
            + std::fmt::Debug,
    {
        // What the operator says of its children holds against edits by hand: forced.
        let params = PatchParams::apply(MANAGER).force();
        Ok(self.api::<K>(owner).patch(&object.name_any(), &params, &Patch::Apply(object)).await?)
    }
}

/// Names were checked before: they need no escapes.
fn route_path(of: &ModelRollout, name: &str) -> String {
    let namespace = of.namespace().unwrap_or_default();
    format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/grpcroutes/{name}")
}

fn built(error: &http::Error) -> ClusterError {
    ClusterError::Refused(error.to_string())
}

/// Adds a null for each key that was there and is there no more. Lists are replaced whole by a merge patch.
fn take_away(before: &serde_json::Value, after: &mut serde_json::Value) {
    if let (Some(before), Some(after)) = (before.as_object(), after.as_object_mut()) {
        for (key, old) in before {
            match after.get_mut(key) {
                Some(new) => take_away(old, new),
                None => {
                    after.insert(key.clone(), serde_json::Value::Null);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_takes_away_what_is_there_no_more() {
        let before = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        let mut after = json!({"b": {"c": 2}, "e": []});
        take_away(&before, &mut after);
        assert_eq!(after, json!({"a": null, "b": {"c": 2, "d": null}, "e": []}));
    }
}
