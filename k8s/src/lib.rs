//! The Kubernetes operator: drives rollouts of model versions over fleets of devices.
//!
//! ```text
//! observe -> validate -> decide -> build -> apply -> report
//! ```
//!
//! What is where:
//!
//! - [`crd`]: the resources `ModelServer` and `ModelRollout`, and their definitions as YAML.
//! - [`spec`]: what people wrote, checked as a whole.
//! - [`fleet`]: many devices, one rollout: waves, evidence of all of them multiplied, the decision what is next. Pure.
//! - [`route`]: one rollout between two Services: weights of a GRPCRoute, counters of a Prometheus. Pure.
//! - [`build`]: resources and statuses made from decisions. Pure, and cannot fail.
//! - [`hands`]: what touches the API server, the devices and Prometheus.
//! - [`reconcile`]: the steps in order.
//! - [`lead`]: one operator at a time.
//! - [`run`]: wiring, metrics, health, the end.
//!
//! What it must never do: decide by silence, write to the API server without a change, or act after another operator took over.

#![cfg_attr(test, allow(clippy::needless_pass_by_value, reason = "tests make values in place"))]

pub mod build;
pub mod crd;
pub mod fleet;
pub mod hands;
pub mod lead;
pub mod reconcile;
pub mod route;
pub mod run;
pub mod spec;
