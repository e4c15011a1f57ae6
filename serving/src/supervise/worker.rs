//! One worker process, from its parent's side.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::link::{self, LINK_NAME, WORKER_VARIABLE};
use super::{Event, Listeners, SuperviseError};

/// First descriptor that is passed on (`SD_LISTEN_FDS_START`).
const FIRST_FD: i32 = 3;

/// A worker that was started and not yet reaped.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) started: Instant,
    link: UnixStream,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker that inherits the listeners and one end of a link; readiness arrives as [`Event::Ready`].
    pub(super) fn spawn(
        mut command: Command,
        listeners: &Listeners,
        events: &SyncSender<Event>,
    ) -> Result<Self, SuperviseError> {
        let (ours, theirs) = UnixStream::pair().map_err(SuperviseError::system("create the link to the worker"))?;
        pass(&mut command, listeners, theirs).map_err(SuperviseError::system("pass on the listening sockets"))?;
        let child = command.spawn().map_err(|source| SuperviseError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        // Our copies of the worker's descriptors: only its death may close the link.
        drop(command);
        let pid = Pid::from_child(&child);
        let mut worker = Self { pid, started: Instant::now(), link: ours, reader: None };
        match worker.read_link(events) {
            Ok(reader) => worker.reader = Some(reader),
            Err(source) => {
                worker.kill();
                return Err(SuperviseError::system("listen to the worker")(source));
            }
        }
        Ok(worker)
    }

    /// Asks it to drain and end.
    pub(super) fn terminate(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Ends it, and its own children, at once.
    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// After it was reaped: ends what it started and may have left behind, such as a build of an engine. What it said last
    /// arrives before [`Event::Silent`].
    pub(super) fn close(&self) {
        self.kill();
        let _ = self.link.shutdown(Shutdown::Read);
    }

    /// After [`Event::Silent`].
    pub(super) fn join(self) {
        if let Some(reader) = self.reader {
            let _ = reader.join();
        }
    }

    fn read_link(&self, events: &SyncSender<Event>) -> io::Result<JoinHandle<()>> {
        let (stream, events, pid) = (self.link.try_clone()?, events.clone(), self.pid);
        thread::Builder::new().name("worker-link".into()).spawn(move || {
            link::listen(&stream, || {
                let _ = events.send(Event::Ready(pid));
            });
            let _ = events.send(Event::Silent(pid));
        })
    }
}

/// Lays out the descriptors and says so in the environment. The worker gets a process group of its own: a Ctrl-C in the
/// terminal reaches the supervisor alone, which passes it on once.
fn pass(command: &mut Command, listeners: &Listeners, link: UnixStream) -> io::Result<()> {
    let mut names = Vec::new();
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for (name, listener) in listeners.iter() {
        names.push(name);
        sockets.push(listener.try_clone()?.into());
    }
    names.push(LINK_NAME);
    sockets.push(link.into());
    command
        .process_group(0)
        .stdin(Stdio::null())
        .env(WORKER_VARIABLE, "1")
        .env("LISTEN_FDS", names.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS_FIRST_FD");
    let mappings = (FIRST_FD..).zip(sockets).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
    Ok(())
}
