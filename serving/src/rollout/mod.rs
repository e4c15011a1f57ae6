//! Rollouts within the server: the hands of `takt-rollout`, which decides and touches nothing.
//!
//! One thread ([`owner`]) owns every rollout; [`hub`] is the handle to it. It looks a few times a second, and at once when a candidate fails: it reads what
//! was counted where requests are answered ([`watch`]), asks for a decision, writes it down ([`store`]) and only then acts:
//! on the route that requests read, on what the registry keeps loaded, on the journal.
//!
//! What it must never do: give a version weight that is not ready, or go on silently after a crash. Both are decided in
//! takt-rollout and only carried out here.

#[cfg(test)]
mod accelerated;
mod act;
mod active;
mod admission;
mod auto;
mod begin;
mod hub;
mod labels;
mod observe;
mod owner;
mod query;
mod rates;
mod settings;
mod store;
mod watch;
mod windows;

pub use hub::{Hands, RolloutHub, RolloutReport, StartOrder};
pub use settings::{PrometheusSettings, RawRolloutSettings, RolloutSettings};
pub use store::{Found, RolloutStore};
pub use windows::Windows;
