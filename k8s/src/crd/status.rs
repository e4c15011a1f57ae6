//! How a rollout stands, as people and the next operator read it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rollout::Identity;

/// How a rollout stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRolloutStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pending, Validating, Placing, Warming, Shadowing, Stepping, Promoting, Baking, Held, Aborting, Degraded, RolledBack or
    /// Succeeded: of the device that is the least far among those that have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The candidate's largest share on a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Devices that have been promoted, of all, and those that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Why it stands where it stands, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Ready, Progressing, Promoted, SpecValid and DataFresh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// What the operator remembers of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// With layer GRPCRoute: what the operator remembers of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStatus>,
    /// The leadership under which this was written. One that is older writes no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
}

/// What the operator remembers of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// rolling, held, aborting, rolled_back, degraded or succeeded.
    #[serde(default)]
    pub course: String,
    /// Why it is held, or is or was taken back: one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The same in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The wave that is under way, from 0.
    #[serde(default)]
    pub wave: u32,
    /// When all devices of the wave were through, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<i64>,
    /// The model whose candidate the devices have.
    #[serde(default)]
    pub model: String,
    /// Labels of the pods that are the devices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// What a device is. Like model and selector it stays while devices are at work.
    #[serde(default)]
    pub identity: Identity,
    /// What is tried: a digest of model, version, plan and attempt.
    #[serde(default)]
    pub goal: String,
    /// How often what is tried has changed while it was under way, since it last came to rest.
    #[serde(default)]
    pub restarts: u32,
    /// The value of spec.attempt that was obeyed.
    #[serde(default)]
    pub attempt: u32,
    /// Whether devices were paused by this rollout.
    #[serde(default)]
    pub paused: bool,
    /// Evidence of all devices together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub gates: Vec<GateStatus>,
    /// Every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub devices: Vec<DeviceStatus>,
}

/// What the operator remembers of a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// The GRPCRoute. Like all that follows up to the attempt it stays while the candidate may have traffic.
    #[serde(default)]
    pub name: String,
    /// The Service of the version in service.
    #[serde(default)]
    pub stable_service: String,
    /// The Service of the candidate.
    #[serde(default)]
    pub canary_service: String,
    /// The model.
    #[serde(default)]
    pub model: String,
    /// The version that is tried.
    #[serde(default)]
    pub candidate: i64,
    /// What is tried: a digest of these and of the attempt.
    #[serde(default)]
    pub goal: String,
    /// The value of spec.attempt that was obeyed.
    #[serde(default)]
    pub attempt: u32,
    /// The candidate's share of the requests that were answered lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// Clients' requests that the candidate answered.
    #[serde(default)]
    pub exposed: i64,
    /// Evidence against the candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub gates: Vec<GateStatus>,
    /// What only the operator reads: the rollout's state and its readings of counters, as JSON.
    #[serde(default)]
    pub memory: String,
}

/// Evidence against the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// The gate.
    pub gate: String,
    /// Logarithm of the e-value.
    #[serde(default)]
    pub log_e: String,
    /// Logarithm at which it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_threshold: Option<String>,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Pod or node.
    pub name: String,
    /// Its wave.
    #[serde(default)]
    pub wave: u32,
    /// waiting, asked, rolling, promoted, succeeded or failed.
    #[serde(default)]
    pub standing: String,
    /// Its own phase, as takt rollout status shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The rollout's name on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The candidate's share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Clients' units that the candidate answered.
    #[serde(default)]
    pub exposed: i64,
    /// Since when it has said nothing, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<i64>,
    /// Whether its pod is there.
    #[serde(default)]
    pub listed: bool,
    /// The last word of the device, or about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Evidence of its rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub gates: Vec<GateStatus>,
    /// Evidence of its earlier rollouts of the same candidate: what was seen stays seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub past: Vec<GateStatus>,
}
