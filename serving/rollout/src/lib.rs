//! Canary rollouts, decided. Pure: time, randomness and everything that was seen are arguments; what should be done is a
//! result. The server and the operator run the same code around different hands.
//!
//! ```text
//! plan + state + observation, now  --decide-->  next state + actions + one sentence why
//! ```
//!
//! What is where:
//!
//! - [`plan`]: what people ask for, checked as a whole; whether it can finish in time.
//! - [`state`]: where a rollout stands, as it is stored.
//! - [`evidence`]: what was counted, weighed by the sequential tests of takt-stats: accept, reject or undecided.
//! - [`observation`]: what the caller saw since it last asked.
//! - [`decide`](decide()): one step of the machine; [`action`]: what its caller is to do about it, safe to do twice.
//! - [`route`]: which version answers a unit, and which stations are given to the canary.
//! - [`progress`]: the same for people.
//!
//! Who uses it: persist [`Decision::next`](decide::Decision) (fsync) *before* doing its actions, do them in order, observe, ask again. Asking
//! twice with the same state gives the same answer, so a crash between any two of these is repaired by asking.

pub mod action;
pub mod counter;
pub mod decide;
pub mod evidence;
pub mod observation;
pub mod plan;
pub mod progress;
pub mod route;
pub mod state;

pub use action::{Action, Do, Intent};
pub use decide::{Conflict, Decision, Ended, Start, StartError, decide, recover, retry, start};
pub use evidence::{Event, GateReport, Verdict};
pub use observation::{Command, Observation};
pub use plan::{Plan, RawPlan};
pub use progress::Progress;
pub use route::{Arm, Router, Salt};
pub use state::{Phase, Stage, State};
