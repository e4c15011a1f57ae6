//! The worker's line to its supervisor: a socket pair, one end inherited.
//!
//! The worker writes one line when it is ready. Neither writes anything else: what matters is that the kernel closes an
//! end when its process dies, however it dies. So the worker learns that its supervisor is gone, drains and frees the
//! ports, instead of serving on unsupervised.

use std::env;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use listenfd::ListenFd;

use super::{Listeners, SuperviseError};

/// Set by the supervisor in the environment of its worker.
pub const WORKER_VARIABLE: &str = "TAKT_WORKER";
/// Name of the link among the inherited descriptors; never a listener's.
pub(super) const LINK_NAME: &str = "takt-link";
const READY: &[u8] = b"ready\n";

/// What a worker gets from its supervisor.
#[derive(Debug)]
pub struct Inherited {
    /// The listening sockets.
    pub listeners: Listeners,
    /// The line to the supervisor.
    pub link: WorkerLink,
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerLink {
    stream: UnixStream,
}

/// Watches for the supervisor's death; dropping it ends the watch without calling back.
#[derive(Debug)]
pub struct SupervisorWatch {
    stream: UnixStream,
    dropped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inherited {
    /// What this process inherited, if it was started as a worker. Call it first thing in `main`, before any thread is
    /// started: it takes the socket variables out of the environment, so that no child believes they are meant for it.
    ///
    /// # Errors
    /// It was started as a worker and the sockets are not what they should be.
    pub fn from_env() -> Result<Option<Self>, SuperviseError> {
        if env::var_os(WORKER_VARIABLE).is_none() {
            return Ok(None);
        }
        let names = env::var("LISTEN_FDNAMES").map_err(|error| broken(format!("LISTEN_FDNAMES: {error}")))?;
        let mut fds = ListenFd::from_env();
        let mut listeners = Listeners::default();
        let mut link = None;
        for (index, name) in names.split(':').enumerate() {
            if name == LINK_NAME {
                let socket = taken(fds.take_unix_listener(index), name)?;
                link = Some(UnixStream::from(OwnedFd::from(socket)));
            } else {
                listeners.push(name.to_owned(), taken(fds.take_tcp_listener(index), name)?);
            }
        }
        let missing = || broken(format!("{LINK_NAME} is not among the inherited sockets"));
        let stream = link.ok_or_else(missing)?;
        Ok(Some(Self { listeners, link: WorkerLink { stream } }))
    }
}

impl WorkerLink {
    /// Tells the supervisor that this worker serves.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn ready(&self) -> io::Result<()> {
        (&self.stream).write_all(READY)
    }

    /// Calls back, on a thread of its own, once the supervisor is gone.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn on_supervisor_gone(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<SupervisorWatch, SuperviseError> {
        let failed = || SuperviseError::system("watch the supervisor");
        let reader = self.stream.try_clone().map_err(failed())?;
        let stream = self.stream.try_clone().map_err(failed())?;
        let dropped = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("supervisor-watch".into())
            .spawn(move || {
                wait_for_end(&reader);
                if !ended.load(Ordering::Acquire) {
                    tracing::error!("the supervisor is gone: draining, so that the ports become free");
                    callback();
                }
            })
            .map_err(failed())?;
        Ok(SupervisorWatch { stream, dropped, thread: Some(thread) })
    }
}

impl Drop for SupervisorWatch {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
        let _ = self.stream.shutdown(Shutdown::Read);
        if let Some(thread) = self.thread.take() {
            // From within the callback there is nothing to wait for.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// The supervisor's side: calls `ready` when the worker says so, and returns when the worker's end is closed.
pub(super) fn listen(stream: &UnixStream, ready: impl FnOnce()) {
    let mut line = [0; READY.len()];
    let mut reader = stream;
    if reader.read_exact(&mut line).is_ok() && line == READY {
        ready();
    }
    wait_for_end(stream);
}

fn wait_for_end(mut reader: &UnixStream) {
    let mut buffer = [0; 64];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn taken<T>(result: io::Result<Option<T>>, name: &str) -> Result<T, SuperviseError> {
    match result {
        Ok(Some(socket)) => Ok(socket),
        Ok(None) => Err(broken(format!("LISTEN_FDS has no place for {name}"))),
        Err(error) => Err(broken(format!("{name}: {error}"))),
    }
}

fn broken(found: String) -> SuperviseError {
    SuperviseError::Inheritance { variable: WORKER_VARIABLE, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (UnixStream, WorkerLink) {
        let (supervisor, worker) = UnixStream::pair().unwrap();
        (supervisor, WorkerLink { stream: worker })
    }

    #[test]
    fn the_supervisor_hears_ready_and_then_the_end() {
        let (supervisor, worker) = pair();
        let (heard, hears) = mpsc::channel();
        let thread = thread::spawn(move || listen(&supervisor, || heard.send("ready").unwrap()));
        worker.ready().unwrap();
        assert_eq!(hears.recv_timeout(SOON), Ok("ready"));
        drop(worker);
        thread.join().unwrap();
    }

    #[test]
    fn a_worker_that_ends_or_talks_nonsense_was_not_ready() {
        for words in [&b""[..], b"rea", b"what?\n and more"] {
            let (supervisor, worker) = pair();
            (&worker.stream).write_all(words).unwrap();
            drop(worker);
            listen(&supervisor, || panic!("not ready"));
        }
    }

    #[test]
    fn the_worker_is_told_when_its_supervisor_is_gone() {
        let (supervisor, worker) = pair();
        let (told, is_told) = mpsc::channel();
        let _watch = worker.on_supervisor_gone(move || told.send(()).unwrap()).unwrap();
        assert!(is_told.recv_timeout(Duration::from_millis(20)).is_err());
        drop(supervisor);
        is_told.recv_timeout(SOON).unwrap();
        assert!(worker.ready().is_err());
    }

    #[test]
    fn dropping_the_watch_ends_it_in_silence() {
        let (_supervisor, worker) = pair();
        let (told, is_told) = mpsc::channel::<()>();
        drop(worker.on_supervisor_gone(move || told.send(()).unwrap()).unwrap());
        assert_eq!(is_told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        worker.ready().unwrap();
    }
}
