//! The supervisor's life: start a worker, attend to it, judge its death, start another.

use std::fmt;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, WaitStatus, wait as wait_for_any};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::backoff::{self, Backoff};
use super::signals::SignalThread;
use super::worker::Worker;
use super::{Event, Listeners, Notice, SuperviseError, WATCHDOG_EXIT};
use crate::state::{Death, StateDir, UnixMillis, settle_death, settle_leftovers};

/// What a supervisor needs.
pub struct SupervisorSpec {
    /// Makes the command of each new worker; sockets and environment are added to it.
    pub command: Box<dyn FnMut() -> Command>,
    /// Sockets that every worker inherits.
    pub listeners: Listeners,
    /// The state directory, opened as its owner; without one nothing is judged.
    pub state: Option<StateDir>,
    /// How long a worker may drain after SIGTERM; the worker knows it too.
    pub exit_timeout: Duration,
    /// How much longer the supervisor waits before it kills the worker.
    pub grace: Duration,
    /// Told everything that happens, after it was logged.
    pub observe: Box<dyn FnMut(&Notice)>,
}

/// How supervision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was told to: the worker drained.
    Drained,
    /// As it was told to, but the worker had to be killed, or died while it drained.
    NotDrained,
    /// The first worker refused to serve, with this code: its configuration is wrong, and would be the next time.
    Refused(i32),
}

/// How one worker ended.
struct End {
    status: WaitStatus,
    at: Instant,
    was_ready: bool,
    killed: bool,
}

struct Supervisor {
    spec: SupervisorSpec,
    events: Receiver<Event>,
    sender: SyncSender<Event>,
    backoff: Backoff,
    /// The first was asked for by SIGTERM or SIGINT.
    stop: Option<Stop>,
    ever_ready: bool,
    last_death: Option<Instant>,
}

/// Asked to end; the worker is killed at `deadline`.
#[derive(Debug, Clone, Copy)]
struct Stop {
    deadline: Instant,
}

/// Supervises until told to end (SIGTERM or SIGINT; a second SIGINT ends it at once). Takes over the signals and the
/// children of this process.
///
/// # Errors
/// The state directory cannot be used, or the first worker cannot be started.
pub fn run(spec: SupervisorSpec) -> Result<Ended, SuperviseError> {
    if let Some(dir) = &spec.state {
        settle_leftovers(dir, &dir.journal()?, UnixMillis::from(std::time::SystemTime::now()))?;
    }
    // Small: signals coalesce, and each worker speaks once.
    let (sender, events) = sync_channel(16);
    // Dropped after the receiver, which is the supervisor's.
    let _signals = SignalThread::start(sender.clone())?;
    let mut supervisor = Supervisor {
        spec,
        events,
        sender,
        backoff: Backoff::default(),
        stop: None,
        ever_ready: false,
        last_death: None,
    };
    let mut worker = supervisor.start_worker()?;
    loop {
        let pid = worker.pid.as_raw_nonzero().get();
        let started = worker.started;
        let end = supervisor.attend(worker);
        let death = supervisor.judge(&end);
        if supervisor.stop.is_some() {
            return Ok(if end.is_orderly() { Ended::Drained } else { Ended::NotDrained });
        }
        if let (Death::Exit(code @ (1 | 2)), false) = (death, supervisor.ever_ready) {
            return Ok(Ended::Refused(code));
        }
        let lived = end.at - started;
        let mut restart_in = supervisor.backoff.after(lived);
        if matches!(death, Death::Exit(0) | Death::Requested) {
            // A signal to the whole process group may have reached the worker first; ours is on its way.
            restart_in = restart_in.max(backoff::FIRST);
        }
        supervisor.last_death = Some(end.at);
        supervisor.notify(&Notice::Died { pid, death, lived, restart_in });
        worker = match supervisor.replace_worker(restart_in) {
            Some(worker) => worker,
            None => return Ok(Ended::Drained),
        };
    }
}

impl Supervisor {
    fn start_worker(&mut self) -> Result<Worker, SuperviseError> {
        let worker = Worker::spawn((self.spec.command)(), &self.spec.listeners, &self.sender)?;
        self.notify(&Notice::Started { pid: worker.pid.as_raw_nonzero().get() });
        Ok(worker)
    }

    /// Starts a worker after the wait, trying until it can be started; `None` if told to end meanwhile.
    fn replace_worker(&mut self, mut wait: Duration) -> Option<Worker> {
        loop {
            let until = Instant::now() + wait;
            while self.stop.is_none()
                && let Some(event) = self.next_event(Some(until))
            {
                self.note_stop(event);
                reap(None);
            }
            if self.stop.is_some() {
                return None;
            }
            match self.start_worker() {
                Ok(worker) => return Some(worker),
                Err(error) => {
                    wait = self.backoff.after(Duration::ZERO).max(backoff::FIRST);
                    self.notify(&Notice::NotStarted { reason: error.to_string(), retry_in: wait });
                }
            }
        }
    }

    /// Lives with a worker until it has ended and is reaped.
    fn attend(&mut self, worker: Worker) -> End {
        let mut was_ready = false;
        let mut killed = false;
        let mut told = false;
        let mut silent = false;
        let status = loop {
            if let Some(status) = reap(Some(&worker)) {
                break status;
            }
            if let (Some(stop), false) = (self.stop, told) {
                told = true;
                worker.terminate();
                let limit = stop.deadline.saturating_duration_since(Instant::now());
                self.notify(&Notice::Draining { pid: worker.pid.as_raw_nonzero().get(), limit });
            }
            let deadline = self.stop.filter(|_| !killed).map(|stop| stop.deadline);
            match self.next_event(deadline) {
                Some(Event::Ready(pid)) if pid == worker.pid => {
                    was_ready = true;
                    self.greet(&worker);
                }
                Some(Event::Silent(pid)) if pid == worker.pid => silent = true,
                Some(event) => self.note_stop(event),
                None => {
                    killed = true;
                    worker.kill();
                    self.notify(&Notice::Killed { pid: worker.pid.as_raw_nonzero().get() });
                }
            }
        };
        let at = Instant::now();
        worker.close();
        // What it said with its last breath counts; and its reader, which may wait to tell us, is not waited for in vain.
        while !silent {
            match self.next_event(None) {
                Some(Event::Silent(pid)) if pid == worker.pid => silent = true,
                Some(Event::Ready(pid)) if pid == worker.pid => was_ready = true,
                Some(event) => self.note_stop(event),
                None => break,
            }
        }
        worker.join();
        self.ever_ready |= was_ready;
        End { status, at, was_ready, killed }
    }

    fn greet(&mut self, worker: &Worker) {
        self.ever_ready = true;
        let now = Instant::now();
        self.notify(&Notice::Ready {
            pid: worker.pid.as_raw_nonzero().get(),
            startup: now - worker.started,
            outage: self.last_death.map(|death| now - death),
        });
    }

    /// Waits for an event; `None` once the deadline has passed.
    fn next_event(&self, deadline: Option<Instant>) -> Option<Event> {
        let Some(deadline) = deadline else {
            // We hold a sender: the channel cannot close.
            return self.events.recv().ok();
        };
        let wait = deadline.saturating_duration_since(Instant::now());
        self.events.recv_timeout(wait).ok()
    }

    fn note_stop(&mut self, event: Event) {
        let Event::Signal(signal @ (SIGTERM | SIGINT)) = event else {
            return;
        };
        let now = Instant::now();
        match &mut self.stop {
            None => {
                self.stop = Some(Stop { deadline: now + self.spec.exit_timeout + self.spec.grace });
            }
            // Somebody at the keyboard is out of patience. A repeated SIGTERM is routine and means nothing new.
            Some(stop) if signal == SIGINT => stop.deadline = now,
            Some(_) => {}
        }
    }

    /// Records what the death means for the versions; a journal that fails must not keep the line from being served.
    fn judge(&self, end: &End) -> Death {
        let death = end.death(self.stop.is_some());
        if let Some(dir) = &self.spec.state {
            // The worker wrote the journal last: read it anew.
            let judged = dir
                .journal()
                .and_then(|journal| settle_death(dir, &journal, death, UnixMillis::from(std::time::SystemTime::now())));
            if let Err(error) = judged {
                tracing::error!(%error, "the death cannot be recorded: a version that caused it may be served again");
            }
        }
        death
    }

    fn notify(&mut self, notice: &Notice) {
        notice.log();
        (self.spec.observe)(notice);
    }
}

impl End {
    /// It ended as it was told to, or was told before it had begun.
    fn is_orderly(&self) -> bool {
        let before_its_handler = self.status.terminating_signal() == Some(SIGTERM) && !self.was_ready;
        !self.killed && (self.status.exit_status() == Some(0) || before_its_handler)
    }

    fn death(&self, asked: bool) -> Death {
        if self.killed {
            return Death::Requested;
        }
        match (self.status.terminating_signal(), self.status.exit_status()) {
            // Nothing raises these by accident: somebody asked, whether us or the worker directly.
            (Some(SIGTERM | SIGINT), _) => Death::Requested,
            (Some(signal), _) => Death::Signal(signal),
            (None, Some(WATCHDOG_EXIT)) => Death::Watchdog,
            (None, Some(0)) if asked => Death::Requested,
            (None, Some(code)) => Death::Exit(code),
            (None, None) => Death::Unwitnessed,
        }
    }
}

/// Reaps all children that have ended; returns the worker's status if it is among them.
fn reap(worker: Option<&Worker>) -> Option<WaitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait_for_any(WaitOptions::NOHANG) {
        if worker.is_some_and(|worker| worker.pid == pid) {
            ended = Some(status);
        }
    }
    ended
}

impl Ended {
    /// Exit code for the process.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::NotDrained => 1,
            Self::Refused(code) => u8::try_from(code).unwrap_or(1),
        }
    }
}

impl fmt::Debug for SupervisorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorSpec")
            .field("listeners", &self.listeners)
            .field("state", &self.state)
            .field("exit_timeout", &self.exit_timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
