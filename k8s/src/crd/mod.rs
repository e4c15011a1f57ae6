//! The resources of `takt.dev/v1alpha1`. Doc comments of their fields are what `kubectl explain` shows.

mod plan;
mod rollout;
mod server;
mod status;
mod yaml;

pub use plan::{
    BakeSpec, DisagreementGate, DriftGate, ErrorsGate, GatesSpec, LabelsGate, LatencyGate, MetricGate, PlacementSpec,
    PlanSpec, RoutingSpec, ShadowSpec, StepSpec,
};
pub use rollout::{CandidateSpec, FleetSpec, Identity, Layer, ModelRollout, ModelRolloutSpec, RouteSpec, ServerRef};
pub use server::{
    GpuSpec, ModelServer, ModelServerSpec, ModelServerStatus, ProbesSpec, RepositorySpec, StateSpec, Workload,
};
pub use status::{DeviceStatus, FleetStatus, GateStatus, ModelRolloutStatus, RouteStatus};
pub use yaml::{definitions, files};

/// The API group.
pub const GROUP: &str = "takt.dev";
/// The one version of it.
pub const VERSION: &str = "v1alpha1";
/// Who owns the fields that the operator applies.
pub const MANAGER: &str = "takt-operator";
/// Holds a rollout until its devices serve stable alone.
pub const FINALIZER: &str = "takt.dev/return-weight";
