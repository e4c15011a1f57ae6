//! Rollouts within the server: the hands of `takt-rollout`, which decides and touches nothing.
//!
//! One thread ([`hub`]) owns every rollout. It looks a few times a second, and at once when a candidate fails: it reads what
//! was counted where requests are answered ([`watch`]), asks for a decision, writes it down ([`store`]) and only then acts:
//! on the route that requests read, on what the registry keeps loaded, on the journal.
//!
//! What it must never do: give a version weight that is not ready, or go on silently after a crash. Both are decided in
//! takt-rollout and only carried out here.

mod active;
mod admission;
mod auto;
mod hub;
mod labels;
mod rates;
mod store;
mod watch;

pub use hub::{Hands, RolloutHub, RolloutReport, StartOrder};
pub use store::{Found, RolloutStore};
