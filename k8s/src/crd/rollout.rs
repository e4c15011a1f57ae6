//! `ModelRollout`: a version of a model, tried on a fleet.

#![allow(clippy::duplicated_attributes, reason = "columns of one type are said one by one")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::PlanSpec;
use super::status::ModelRolloutStatus;

/// What is asked for. A rollout that has ended is kept until it is deleted; deleting one that is under way takes the
/// candidate back first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "takt.dev",
    version = "v1alpha1",
    kind = "ModelRollout",
    namespaced,
    status = "ModelRolloutStatus",
    shortname = "mro",
    category = "takt",
    derive = "PartialEq",
    doc = "A version of a model, tried step by step on a growing share of traffic and taken back by itself when it is worse.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Candidate", type_ = "integer", json_path = ".spec.candidate.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Weight", type_ = "string", json_path = ".status.weight"),
    printcolumn(
        name = "Devices",
        type_ = "string",
        json_path = ".status.summary",
        description = "promoted/all, and failed ones"
    ),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.why", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.layer) && self.layer == 'GRPCRoute' ? !has(self.serverRef) && !has(self.selector) : has(self.serverRef) != has(self.selector)").message("exactly one of serverRef and selector says which servers; with layer GRPCRoute its Services do"),
    validation = Rule::new("self.model == oldSelf.model").message("model cannot change: delete this rollout and make another"),
    validation = Rule::new("(has(self.layer) && self.layer == 'GRPCRoute') == has(self.route)").message("route belongs to layer GRPCRoute, and is needed there"),
    validation = Rule::new("self.attempt >= oldSelf.attempt").message("attempt only rises")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelRolloutSpec {
    /// The ModelServer whose pods are the devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<ServerRef>,
    /// Labels of the pods that are the devices, in place of serverRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// Name of the model. It cannot change.
    #[x_kube(validation = Rule::new("self.size() > 0").message("model is the name of a folder of the repository"))]
    pub model: String,
    /// The version to try.
    pub candidate: CandidateSpec,
    /// Who splits the traffic.
    #[serde(default)]
    pub layer: Layer,
    /// With layer GRPCRoute: which route and which of its backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,
    /// What is done on each device: the table [rollout] of model.toml in camel case.
    #[serde(default)]
    pub plan: PlanSpec,
    /// How the rollout goes over the devices.
    #[serde(default)]
    pub fleet: FleetSpec,
    /// Hold traffic where it is on every device; false goes on.
    #[serde(default)]
    pub paused: bool,
    /// Take the candidate back on every device, and refuse it from then on.
    #[serde(default)]
    pub abort: bool,
    /// Raise it to try a candidate again that was taken back.
    #[serde(default)]
    pub attempt: u32,
}

/// A ModelServer of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRef {
    /// Its name.
    pub name: String,
}

/// The version to try.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateSpec {
    /// Its number in the repository of the servers. It need not be there yet.
    #[schemars(range(min = 1))]
    pub version: i64,
    /// Where it came from; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// Who splits the traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Layer {
    /// Each server by itself, between two versions that it has loaded.
    #[default]
    InProcess,
    /// A GRPCRoute of the Gateway API, between two Services.
    #[serde(rename = "GRPCRoute")]
    GrpcRoute,
}

/// A GRPCRoute and two of its backends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// Its name, in the same namespace.
    pub name: String,
    /// The Service of the version in service.
    pub stable_service: String,
    /// The Service of the candidate.
    pub canary_service: String,
    /// Matchers by which a Prometheus finds the metrics of both, such as job="takt". Default namespace="...", the rollout's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
}

/// How the rollout goes over the devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetSpec {
    /// How many devices have the candidate after each wave: numbers or shares, rising, such as [1, "10%"]. All the others are
    /// the last wave. Left out, there are two: one device, then all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<Vec<IntOrString>>,
    /// No device begins while more than so many are silent, as a number or a share of all. Default "25%".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// With more devices that took the candidate back than so many, as a number or a share of all (rounded down), it is taken back
    /// everywhere. Among many devices some take a good candidate back by chance, each with probability alpha. Default "10%".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<IntOrString>,
    /// How long a wave that is through is watched before the next begins, such as "1h". Default "0s".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak: Option<String>,
    /// What a device is: the node, which outlives its pods where state is on the node, or the pod.
    pub identity: Identity,
    /// The port of the servers' gRPC API. Default 8001.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// What a device is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identity {
    /// The pod, by its name.
    #[default]
    Pod,
    /// The node that it runs on.
    Node,
}
