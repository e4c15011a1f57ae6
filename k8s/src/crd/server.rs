//! `ModelServer`: pods that serve a model repository.

#![allow(clippy::duplicated_attributes, reason = "columns of one type are said one by one")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "takt.dev",
    version = "v1alpha1",
    kind = "ModelServer",
    namespaced,
    status = "ModelServerStatus",
    shortname = "msv",
    category = "takt",
    derive = "PartialEq",
    doc = "Pods that serve the models of a repository: one on each chosen node, or a number of replicas.",
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workload"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".status.wanted"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || !has(self.workload) || self.workload == 'Deployment'").message("replicas belong to workload Deployment")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelServerSpec {
    /// The container image with takt in it.
    pub image: String,
    /// Where the models are.
    pub repository: RepositorySpec,
    /// Where what must survive the process is: quarantines, rollouts, engines. Left out it is lost with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSpec>,
    /// Deployment, or DaemonSet for one pod on each chosen node. It cannot change.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("workload cannot change: delete this server and make another"))]
    pub workload: Workload,
    /// With workload Deployment: how many. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Processor and memory, as of any container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Such as nvidia on boards where the container runtime brings the libraries of the GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// GPUs of each pod. A device has one unit: two versions share it inside one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSpec>,
    /// Labels of the nodes to run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints to bear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// How health is asked for.
    #[serde(default)]
    pub probes: ProbesSpec,
    /// More arguments of takt serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// Where the models are: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.hostPath) != has(self.claim)").message("exactly one of hostPath and claim"))]
#[serde(rename_all = "camelCase")]
pub struct RepositorySpec {
    /// A folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// A PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// Where state is kept: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.hostPath) != has(self.claim)").message("exactly one of hostPath and claim"))]
#[serde(rename_all = "camelCase")]
pub struct StateSpec {
    /// A folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// A PersistentVolumeClaim. One claim serves one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// What keeps the pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Workload {
    /// A number of replicas.
    #[default]
    Deployment,
    /// One on each chosen node.
    DaemonSet,
}

/// GPUs of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GpuSpec {
    /// Name of the extended resource.
    pub resource: String,
    /// How many.
    #[schemars(range(min = 1))]
    pub units: i32,
}

/// How health is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbesSpec {
    /// Longest time until the models are loaded, engines built. Default 600.
    #[schemars(range(min = 10))]
    pub startup_seconds: i32,
    /// Time between two probes. Default 5.
    #[schemars(range(min = 1))]
    pub period_seconds: i32,
    /// Failed probes in a row. Default 3.
    #[schemars(range(min = 1))]
    pub failures: i32,
}

/// How the pods stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelServerStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What keeps the pods since the server was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Pods that are ready.
    #[serde(default)]
    pub ready: i32,
    /// Pods that are wanted.
    #[serde(default)]
    pub wanted: i32,
    /// Ready and SpecValid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The leadership under which this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
}

impl Default for GpuSpec {
    fn default() -> Self {
        Self { resource: "nvidia.com/gpu".to_owned(), units: 1 }
    }
}

impl Default for ProbesSpec {
    fn default() -> Self {
        Self { startup_seconds: 600, period_seconds: 5, failures: 3 }
    }
}
