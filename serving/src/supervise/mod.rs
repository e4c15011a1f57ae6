//! Supervisor and worker: a process that outlives the faults of the one that runs models.
//!
//! The supervisor holds the listening sockets and the state directory, and no model, no device and no async runtime: a few
//! megabytes that have no reason to die. The worker inherits the sockets ([`Inherited`]), says when it is ready
//! ([`WorkerLink`]) and ends itself when a run hangs ([`Watchdog`]). When it dies the supervisor judges the versions it had
//! in hand ([`crate::state::judge_death`]) and starts another, while new connections wait in the backlog.
//!
//! The supervisor's main thread sleeps until an [`Event`]: a signal (SIGCHLD among them) or a worker's word. It reaps every
//! child, also strays that it inherits as process 1 of a container.

mod backoff;
mod error;
mod link;
mod listeners;
mod notice;
mod signals;
mod supervisor;
mod watchdog;
mod worker;

pub use error::SuperviseError;
pub use link::{Inherited, SupervisorWatch, WORKER_VARIABLE, WorkerLink};
pub use listeners::Listeners;
pub use notice::Notice;
pub use supervisor::{Ended, SupervisorSpec, run};
pub use watchdog::{Hang, RunClock, WATCHDOG_EXIT, Watchdog};

use rustix::process::Pid;

/// What wakes the supervisor.
#[derive(Debug, Clone, Copy)]
enum Event {
    Signal(i32),
    /// This worker says that it serves.
    Ready(Pid),
    /// This worker will say nothing more.
    Silent(Pid),
}
