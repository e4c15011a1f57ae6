//! The watchdog: a run that exceeds its limit ends the process.
//!
//! A native call that hangs cannot be interrupted from outside, and it holds its instance thread, its session and often
//! the device; the only cure is a new process. The instance thread stores when its run began (one relaxed store at each
//! end); a thread looks at all the clocks every 50 ms.
//!
//! The process ends by `_exit`: `exit` would run the destructors of the very libraries that hang, and an abort would spend
//! seconds writing a core of a process whose state nobody will look at. Before that the hang is logged, with a time limit
//! of its own, for a log may hang too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::SuperviseError;

/// Exit code of a process that its watchdog ended; the supervisor reads it.
pub const WATCHDOG_EXIT: i32 = 70;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The last words may take this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Looks after all registered clocks until dropped.
#[derive(Debug)]
pub struct Watchdog {
    epoch: Instant,
    clocks: Arc<Mutex<Vec<Weak<RunClock>>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// When the current run of one instance began. Watched as long as it lives.
#[derive(Debug)]
pub struct RunClock {
    model: String,
    version: u64,
    limit: Duration,
    epoch: Instant,
    /// Nanoseconds since the epoch; 0 while idle.
    began: AtomicU64,
}

/// A run that took too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hang {
    /// Model name.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// How long the run has taken.
    pub running_for: Duration,
    /// How long it was allowed.
    pub limit: Duration,
}

impl Watchdog {
    /// Starts watching. On a hang `last_words` is called (to mark the version as the culprit, to flush what must be seen),
    /// then the process ends with [`WATCHDOG_EXIT`], no later than a second after.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(last_words: impl FnOnce(&Hang) + Send + 'static) -> Result<Self, SuperviseError> {
        Self::start_with(move |hang| end_process(hang, last_words))
    }

    /// As [`Watchdog::start`], but what a hang leads to is up to the caller; watching ends with it.
    fn start_with(on_hang: impl FnOnce(Hang) + Send + 'static) -> Result<Self, SuperviseError> {
        let clocks = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::clone(&clocks);
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    if let Some(hang) = look(&watched) {
                        return on_hang(hang);
                    }
                }
            })
            .map_err(SuperviseError::system("start the watchdog"))?;
        Ok(Self { epoch: Instant::now(), clocks, stop: Some(stop), thread: Some(thread) })
    }

    /// A clock for one instance of a version, whose runs may take `limit`. Dropping the clock ends its watch.
    #[must_use]
    pub fn register(&self, model: &str, version: u64, limit: Duration) -> Arc<RunClock> {
        let model = model.to_owned();
        let began = AtomicU64::new(0);
        let clock = Arc::new(RunClock { model, version, limit, epoch: self.epoch, began });
        lock(&self.clocks).push(Arc::downgrade(&clock));
        clock
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl RunClock {
    /// A run begins.
    #[inline]
    pub fn begin(&self) {
        self.began.store(self.now().max(1), Ordering::Relaxed);
    }

    /// The run ended, well or badly.
    #[inline]
    pub fn end(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        // 584 years.
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn hang(&self) -> Option<Hang> {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 {
            return None;
        }
        let running_for = Duration::from_nanos(self.now().saturating_sub(began));
        let Self { model, version, limit, .. } = self;
        (running_for > *limit).then(|| Hang { model: model.clone(), version: *version, running_for, limit: *limit })
    }
}

/// The first hang, if any; clocks that nobody holds any more are forgotten.
fn look(clocks: &Mutex<Vec<Weak<RunClock>>>) -> Option<Hang> {
    let mut found = None;
    lock(clocks).retain(|clock| {
        let Some(clock) = clock.upgrade() else {
            return false;
        };
        found = found.take().or_else(|| clock.hang());
        true
    });
    found
}

fn lock(clocks: &Mutex<Vec<Weak<RunClock>>>) -> std::sync::MutexGuard<'_, Vec<Weak<RunClock>>> {
    clocks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_process(hang: Hang, last_words: impl FnOnce(&Hang) + Send + 'static) {
    let (done, is_done) = mpsc::channel::<()>();
    let speaker = thread::Builder::new().name("watchdog-last-words".into()).spawn(move || {
        // The mark first: a log may hang.
        last_words(&hang);
        tracing::error!(
            model = hang.model,
            version = hang.version,
            running_ms = hang.running_for.as_millis(),
            limit_ms = hang.limit.as_millis(),
            "a run hangs and cannot be interrupted: the process ends with code {WATCHDOG_EXIT}"
        );
        drop(done);
    });
    if speaker.is_ok() {
        let _ = is_done.recv_timeout(LAST_WORDS);
    }
    signal_hook::low_level::exit(WATCHDOG_EXIT);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn watch() -> (Watchdog, mpsc::Receiver<Hang>) {
        let (tell, told) = mpsc::channel();
        let watchdog = Watchdog::start_with(move |hang| tell.send(hang).unwrap()).unwrap();
        (watchdog, told)
    }

    #[test]
    fn a_run_over_its_limit_is_found_and_named() {
        let (watchdog, told) = watch();
        let _idle = watchdog.register("idle", 1, Duration::ZERO);
        let clock = watchdog.register("m", 7, Duration::from_millis(10));
        clock.begin();
        let hang = told.recv_timeout(SOON).unwrap();
        assert_eq!((hang.model.as_str(), hang.version), ("m", 7));
        assert!(hang.running_for > hang.limit);
    }

    #[test]
    fn many_short_runs_are_not_one_long_one() {
        let (watchdog, told) = watch();
        let clock = watchdog.register("m", 1, Duration::from_secs(60));
        let until = Instant::now() + 4 * LOOK_EVERY;
        while Instant::now() < until {
            clock.begin();
            clock.end();
        }
        clock.begin();
        assert!(told.recv_timeout(2 * LOOK_EVERY).is_err());
    }

    #[test]
    fn ended_runs_and_dropped_clocks_are_not_watched() {
        let (watchdog, told) = watch();
        let ended = watchdog.register("ended", 1, Duration::ZERO);
        ended.begin();
        ended.end();
        let dropped = watchdog.register("dropped", 1, Duration::ZERO);
        dropped.end();
        drop(dropped);
        assert!(told.recv_timeout(3 * LOOK_EVERY).is_err());
        assert_eq!(lock(&watchdog.clocks).len(), 1);
    }
}
