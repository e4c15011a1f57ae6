//! Says when the repository changed, after the writing has settled.
//!
//! One thread of its own hears of changes from the operating system and, where that fails or misses some (network file
//! systems, overlays), looks at a fingerprint of the whole tree at an interval. Either way it waits until two looks
//! agree, and calls back only if the tree differs from what it last reported: reading never triggers it, a slow copy
//! triggers it once.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::fingerprint::{Fingerprint, Fingerprinter};

/// How to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchOptions {
    /// How long nothing may change before a change is reported.
    pub settle: Duration,
    /// Report anyway after this long, so that one endless copy does not hide the rest.
    pub settle_at_most: Duration,
    /// Look at the tree this often even if nothing was heard; `None` relies on the operating system.
    pub poll: Option<Duration>,
    /// Whether to ask the operating system.
    pub notifications: Notifications,
}

/// Whether the operating system is asked to tell of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notifications {
    /// Where it can.
    On,
    /// Only polling.
    Off,
}

/// A repository that is being watched, until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    signals: SyncSender<Signal>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Changed,
    Stop,
}

struct Watching<F> {
    root: PathBuf,
    options: WatchOptions,
    signals: Receiver<Signal>,
    on_change: F,
    reported: Fingerprint,
}

impl Default for WatchOptions {
    /// Half a second of quiet, ten at most, and a look every five seconds.
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(500),
            settle_at_most: Duration::from_secs(10),
            poll: Some(Duration::from_secs(5)),
            notifications: Notifications::On,
        }
    }
}

impl Watcher {
    /// Watches the repository at `root` and looks at it every `poll` even if nothing was heard; see
    /// [`Watcher::with_options`].
    pub fn start(root: &Path, poll: Duration, on_change: impl FnMut() + Send + 'static) -> Self {
        let options = WatchOptions { poll: Some(poll), ..WatchOptions::default() };
        Self::with_options(root, options, on_change)
    }

    /// Watches the repository at `root`; `on_change` runs on the watching thread and should only pass the word on.
    ///
    /// Where the operating system does not tell of changes, there is one warning in the log and polling goes on; where
    /// not even a thread can be had, one error, and nothing is watched.
    pub fn with_options(root: &Path, options: WatchOptions, on_change: impl FnMut() + Send + 'static) -> Self {
        // Two slots: one change that was not looked at yet says as much as many; the other is for the end.
        let (signals, receiver) = sync_channel(2);
        let watching = Watching { root: root.to_owned(), signals: receiver, on_change, reported: tree(root), options };
        let heard = signals.clone();
        let thread = Builder::new().name("takt-watch".to_owned()).spawn(move || watching.run(heard));
        let thread = thread.inspect_err(|error| {
            tracing::error!(
                repository = %root.display(),
                %error,
                "the model repository is not watched: new versions load only when asked for"
            );
        });
        Self { signals, thread: thread.ok() }
    }
}

impl Drop for Watcher {
    /// Ends the thread and waits for it: at most one look at the tree and one call back.
    fn drop(&mut self) {
        // Fails only if the thread has ended, or never began.
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the model repository had panicked; changes were not seen");
        }
    }
}

impl<F: FnMut()> Watching<F> {
    fn run(mut self, heard: SyncSender<Signal>) {
        let watcher = self.listen(heard);
        loop {
            match self.next() {
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Signal::Changed) | Err(RecvTimeoutError::Timeout) => {}
            }
            if tree(&self.root) == self.reported {
                continue;
            }
            match self.settled() {
                Some(tree) if tree != self.reported => {
                    self.reported = tree;
                    (self.on_change)();
                }
                Some(_) => {}
                None => break,
            }
        }
        drop(watcher);
    }

    /// Asks the operating system; `None` where it cannot or shall not tell.
    fn listen(&mut self, heard: SyncSender<Signal>) -> Option<RecommendedWatcher> {
        if self.options.notifications == Notifications::Off {
            return None;
        }
        let report = move |event: notify::Result<notify::Event>| {
            // Reading the tree is an event too, and would wake us for ever. Errors (an overflow) are worth a look.
            if !matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
                match heard.try_send(Signal::Changed) {
                    // Full: somebody is about to look anyway.
                    Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
                }
            }
        };
        let started = notify::recommended_watcher(report).and_then(|mut watcher| {
            watcher.watch(&self.root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match started {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let poll = *self.options.poll.get_or_insert(Duration::from_secs(5));
                tracing::warn!(
                    repository = %self.root.display(),
                    %error,
                    "the operating system does not tell of changes in the model repository; looking every {poll:?} instead"
                );
                None
            }
        }
    }

    fn next(&self) -> Result<Signal, RecvTimeoutError> {
        match self.options.poll {
            Some(interval) => self.signals.recv_timeout(interval),
            None => self.signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Waits until the tree stays as it is; `None` when told to stop meanwhile.
    fn settled(&self) -> Option<Fingerprint> {
        let deadline = Instant::now() + self.options.settle_at_most;
        let mut last = tree(&self.root);
        loop {
            let quiet_from = Instant::now();
            while let Some(left) = self.options.settle.checked_sub(quiet_from.elapsed()) {
                match self.signals.recv_timeout(left) {
                    Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                    Ok(Signal::Changed) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            let now = tree(&self.root);
            if now == last || Instant::now() >= deadline {
                return Some(now);
            }
            last = now;
        }
    }
}

/// Names, sizes and times of the repository's files, two folders deep. What cannot be read counts as empty.
fn tree(root: &Path) -> Fingerprint {
    let mut files = Fingerprinter::default();
    files.tree(root, 2);
    files.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const QUIET: Duration = Duration::from_millis(400);

    fn options(notifications: Notifications, poll: Option<Duration>) -> WatchOptions {
        WatchOptions {
            settle: Duration::from_millis(100),
            settle_at_most: Duration::from_secs(10),
            poll,
            notifications,
        }
    }

    fn watch(root: &Path, options: WatchOptions) -> (Watcher, Receiver<()>) {
        let (changed, changes) = channel();
        let watch = Watcher::with_options(root, options, move || changed.send(()).unwrap());
        (watch, changes)
    }

    fn version(root: &Path, number: u32) {
        let dir = root.join(format!("m/{number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("model.onnx"), "x").unwrap();
    }

    fn sees_changes_and_only_changes(options: WatchOptions) {
        let root = tempfile::tempdir().unwrap();
        version(root.path(), 1);
        let (_watch, changes) = watch(root.path(), options);
        fs::read(root.path().join("m/1/model.onnx")).unwrap();
        assert!(changes.recv_timeout(QUIET).is_err(), "reading is no change");
        version(root.path(), 2);
        changes.recv_timeout(SOON).unwrap();
        fs::remove_dir_all(root.path().join("m/1")).unwrap();
        changes.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn the_operating_system_tells_of_changes() {
        sees_changes_and_only_changes(options(Notifications::On, None));
    }

    #[test]
    fn polling_alone_sees_changes() {
        sees_changes_and_only_changes(options(Notifications::Off, Some(Duration::from_millis(20))));
    }

    #[test]
    fn a_slow_copy_is_reported_once_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let options = WatchOptions {
            settle: Duration::from_secs(1),
            ..options(Notifications::On, Some(Duration::from_millis(20)))
        };
        let (_watch, changes) = watch(root.path(), options);
        let dir = root.path().join("m/1");
        fs::create_dir_all(&dir).unwrap();
        for size in 1..=10 {
            fs::write(dir.join("model.onnx"), "x".repeat(size)).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        changes.recv_timeout(SOON).unwrap();
        assert_eq!(fs::metadata(dir.join("model.onnx")).unwrap().len(), 10);
        let again = changes.recv_timeout(Duration::from_secs(2));
        assert!(again.is_err(), "one copy is one change");
    }

    #[test]
    fn a_repository_that_appears_later_is_seen() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("models");
        let (_watch, changes) = watch(&root, options(Notifications::On, Some(Duration::from_millis(20))));
        version(&root, 1);
        changes.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn it_ends_at_once_when_told() {
        let root = tempfile::tempdir().unwrap();
        let (watch, _changes) = watch(root.path(), options(Notifications::On, None));
        let begun = Instant::now();
        drop(watch);
        assert!(begun.elapsed() < SOON);
    }
}
