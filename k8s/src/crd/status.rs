//! How a rollout stands, as people and the next operator read it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use kube::core::ListMerge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a rollout stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelRolloutStatus {
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pending, Validating, Placing, Warming, Shadowing, Stepping, Promoting, Baking, Held, Aborting, Degraded, RolledBack or
    /// Succeeded: of the device that is the least far among those that have begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The candidate's largest share on a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Devices that have been promoted, of all, and those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Why it stands where it stands, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Ready, Progressing, Promoted, SpecValid and DataFresh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// What the operator remembers of the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// The leadership under which this was written. One that is older writes no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
}

/// What the operator remembers of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetStatus {
    /// rolling, held, aborting, rolled_back, degraded or succeeded.
    pub course: String,
    /// Why it is held, or is or was taken back: one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The same in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The wave that is under way, from 0.
    pub wave: u32,
    /// When all devices of the wave were through, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<i64>,
    /// What is tried: a digest of model, version, plan and attempt.
    pub goal: String,
    /// How often what is tried has changed while it was under way.
    pub restarts: u32,
    /// The value of spec.attempt that was obeyed.
    pub attempt: u32,
    /// Whether devices were paused by this rollout.
    pub paused: bool,
    /// Evidence of all devices together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub gates: Vec<GateStatus>,
    /// Every device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub devices: Vec<DeviceStatus>,
}

/// Evidence against the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GateStatus {
    /// The gate.
    pub gate: String,
    /// Logarithm of the e-value.
    pub log_e: String,
    /// Logarithm at which it decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_threshold: Option<String>,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceStatus {
    /// Pod or node.
    pub name: String,
    /// Its wave.
    pub wave: u32,
    /// waiting, asked, rolling, promoted, succeeded or failed.
    pub standing: String,
    /// Its own phase, as takt rollout status shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The rollout's name on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The candidate's share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Clients' units that the candidate answered.
    pub exposed: i64,
    /// Since when it has said nothing, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<i64>,
    /// Whether its pod is there.
    pub listed: bool,
    /// The last word of the device, or about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Evidence of its rollout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub gates: Vec<GateStatus>,
    /// Evidence of its earlier rollouts of the same candidate: what was seen stays seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gate".to_owned()]))]
    pub past: Vec<GateStatus>,
}
