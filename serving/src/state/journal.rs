//! The journal: a handle that may be shared between threads, over the one ledger and its file.
//!
//! Every change is on disk (fsynced) when the call returns. Calls take milliseconds and belong on the loading path, never
//! on that of a request. If a change cannot be written the error is returned and the change still holds in memory (a
//! version found bad is not served because a disk is full); only an intent that cannot be written is not opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::journal_file::{self, Recovery};
use super::ledger::{IntentKind, IntentRecord, LastGood, Ledger, Quarantined};
use super::verdict::{Action, Death, Evidence, judge_death};
use super::{Running, StateError, UnixMillis, VersionId, boot};

/// The memory of the state directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    recovery: Recovery,
    ledger: Mutex<Ledger>,
}

/// Something dangerous is under way with a version; open from its making until it is closed or dropped. If the process
/// dies in between, the version is to blame.
#[derive(Debug)]
#[must_use = "the intent is closed when this is dropped"]
pub struct Intent {
    journal: Journal,
    id: u64,
    open: bool,
}

impl Journal {
    /// Reads the journal of a state directory. See [`super::StateDir::journal`].
    pub(super) fn open(dir: &Path) -> Result<Self, StateError> {
        let (ledger, recovery) = journal_file::load(dir)?;
        let inner = Inner { dir: dir.to_owned(), recovery, ledger: Mutex::new(ledger) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the journal was there and readable when it was opened.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Whether a version must not be served.
    #[must_use]
    pub fn is_quarantined(&self, digest: &str) -> bool {
        self.ledger().quarantine_of(digest).is_some()
    }

    /// All quarantined versions, oldest first.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.ledger().quarantined.clone()
    }

    /// Quarantines a version until [`Journal::release`]. If it was the model's last good one, the one before takes its
    /// place. A version already quarantined keeps its first reason.
    ///
    /// # Errors
    /// The journal cannot be written; the version is quarantined for the life of this process all the same.
    pub fn quarantine(&self, version: &VersionId, reason: &str, at: UnixMillis) -> Result<(), StateError> {
        let mut ledger = self.ledger();
        if !ledger.quarantine(version, reason, at) {
            return Ok(());
        }
        tracing::error!(%version, reason, "version is quarantined");
        self.store_in_both_generations(&ledger)
    }

    /// Lets a quarantined version be tried again; an operator asked for it. Returns what was on record, if anything.
    ///
    /// # Errors
    /// The journal cannot be written; the version is released for the life of this process all the same.
    pub fn release(&self, digest: &str) -> Result<Option<Quarantined>, StateError> {
        let mut ledger = self.ledger();
        let released = ledger.release(digest);
        if let Some(entry) = &released {
            tracing::info!(version = %entry.id, "version is released from quarantine");
            self.store_in_both_generations(&ledger)?;
        }
        Ok(released)
    }

    /// The versions of a model that served well, if any did.
    #[must_use]
    pub fn last_good(&self, model: &str) -> Option<LastGood> {
        self.ledger().last_good.get(model).cloned()
    }

    /// Records that a version serves well. Writes nothing if it is already the last good one.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn set_last_good(&self, version: &VersionId, at: UnixMillis) -> Result<(), StateError> {
        let mut ledger = self.ledger();
        if ledger.set_last_good(version, at) { self.store(&ledger) } else { Ok(()) }
    }

    /// Forgets that a version served well, because its files are gone: it is nothing to fall back to.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn forget_good(&self, digest: &str) -> Result<(), StateError> {
        let mut ledger = self.ledger();
        if ledger.forget_good(digest) { self.store(&ledger) } else { Ok(()) }
    }

    /// Records, on disk before it returns, that something dangerous is about to be done with a version.
    ///
    /// # Errors
    /// The journal cannot be written; then it must not be done.
    pub fn open_intent(&self, kind: IntentKind, version: &VersionId, at: UnixMillis) -> Result<Intent, StateError> {
        let mut ledger = self.ledger();
        let id = ledger.open_intent(kind, version, at, boot::id());
        if let Err(error) = self.store(&ledger) {
            ledger.close_intent(id);
            return Err(error);
        }
        drop(ledger);
        Ok(Intent { journal: self.clone(), id, open: true })
    }

    /// The intents that are open, also those of a process that died.
    #[must_use]
    pub fn open_intents(&self) -> Vec<IntentRecord> {
        self.ledger().intents.clone()
    }

    /// Closes every intent without blame: for the end of an orderly shutdown that gave up loads in progress.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn abandon_intents(&self) -> Result<(), StateError> {
        let mut ledger = self.ledger();
        if ledger.intents.is_empty() {
            return Ok(());
        }
        ledger.intents.clear();
        self.store(&ledger)
    }

    /// Judges a death and records what follows, in one write.
    pub(super) fn record_death(
        &self,
        death: Death,
        running: &[Running],
        now: UnixMillis,
    ) -> Result<Vec<Action>, StateError> {
        let mut ledger = self.ledger();
        let actions = judge_death(
            &Evidence {
                death,
                intents: &ledger.intents,
                running,
                strikes: &ledger.strikes,
                last_good: &ledger.last_good,
            },
            now,
        );
        if ledger.apply(&actions, now) {
            self.store_in_both_generations(&ledger)?;
        }
        Ok(actions)
    }

    fn close(&self, id: u64, also: impl FnOnce(&mut Ledger, &VersionId)) -> Result<(), StateError> {
        let mut ledger = self.ledger();
        let Some(version) = ledger.intents.iter().find(|intent| intent.id == id).map(|intent| intent.version.clone())
        else {
            return Ok(());
        };
        ledger.close_intent(id);
        also(&mut ledger, &version);
        self.store(&ledger)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No change to the ledger can panic half-way in a way that matters: every state of it is a valid one.
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, ledger: &Ledger) -> Result<(), StateError> {
        journal_file::store(&self.inner.dir, ledger)
    }

    /// What must not be forgotten if the newest file is lost. Rare, so the second write costs nothing that matters.
    fn store_in_both_generations(&self, ledger: &Ledger) -> Result<(), StateError> {
        self.store(ledger)?;
        self.store(ledger)
    }
}

impl Intent {
    /// It ended, well or badly, and the process is alive.
    ///
    /// # Errors
    /// The journal cannot be written: a later death of this process would be blamed on the version.
    pub fn close(mut self) -> Result<(), StateError> {
        self.open = false;
        self.journal.close(self.id, |_, _| {})
    }

    /// It ended well and the version is now the model's last good one; one write for both.
    ///
    /// # Errors
    /// As for [`Intent::close`].
    pub fn close_as_good(mut self, at: UnixMillis) -> Result<(), StateError> {
        self.open = false;
        self.journal.close(self.id, |ledger, version| {
            ledger.set_last_good(version, at);
        })
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.journal.close(self.id, |_, _| {})
        {
            tracing::error!(%error, "an intent stays open in the journal");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn version(n: u64) -> VersionId {
        VersionId { model: "m".into(), version: n, digest: format!("d{n}") }
    }

    fn open(dir: &Path) -> Journal {
        Journal::open(dir).unwrap()
    }

    #[test]
    fn everything_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        assert_eq!(journal.recovery(), &Recovery::Fresh);
        journal.set_last_good(&version(1), NOW).unwrap();
        journal.quarantine(&version(2), "bad", NOW).unwrap();
        std::mem::forget(journal.open_intent(IntentKind::Load, &version(3), NOW).unwrap());

        let journal = open(dir.path());
        assert_eq!(journal.recovery(), &Recovery::Intact);
        assert_eq!(journal.last_good("m").unwrap().current.version, 1);
        assert!(journal.is_quarantined("d2") && !journal.is_quarantined("d1"));
        assert_eq!(journal.open_intents()[0].version, version(3));
        assert_eq!(journal.open_intents()[0].boot, boot::id());
    }

    #[test]
    fn an_intent_is_open_while_it_lives_and_closed_by_whatever_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        let dropped = journal.open_intent(IntentKind::Load, &version(1), NOW).unwrap();
        let closed = journal.open_intent(IntentKind::Weight, &version(2), NOW).unwrap();
        let good = journal.open_intent(IntentKind::Load, &version(3), NOW).unwrap();
        assert_eq!(open(dir.path()).open_intents().len(), 3);
        drop(dropped);
        closed.close().unwrap();
        good.close_as_good(NOW).unwrap();
        let reopened = open(dir.path());
        assert!(reopened.open_intents().is_empty());
        assert_eq!(reopened.last_good("m").unwrap().current.version, 3);
    }

    #[test]
    fn intents_of_a_dead_process_are_not_confused_with_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::forget(open(dir.path()).open_intent(IntentKind::Load, &version(1), NOW).unwrap());
        let journal = open(dir.path());
        journal.open_intent(IntentKind::Load, &version(2), NOW).unwrap().close().unwrap();
        assert_eq!(journal.open_intents()[0].version, version(1));
        journal.abandon_intents().unwrap();
        assert!(open(dir.path()).open_intents().is_empty());
    }

    #[test]
    fn corrupt_newest_journal_falls_back_without_forgetting_the_quarantine() {
        for damage in [&b""[..], b"{\"quarantined\": [", b"\0\0\0\0", b"[1, 2]"] {
            let dir = tempfile::tempdir().unwrap();
            open(dir.path()).quarantine(&version(2), "bad", NOW).unwrap();
            fs::write(dir.path().join("journal.json"), damage).unwrap();
            let journal = open(dir.path());
            assert_eq!(journal.recovery(), &Recovery::Previous);
            assert!(journal.is_quarantined("d2"));
            let aside = fs::read_dir(dir.path())
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("journal.corrupt-"))
                .count();
            assert_eq!(aside, 1);
            journal.set_last_good(&version(1), NOW).unwrap();
            assert!(open(dir.path()).is_quarantined("d2"));
        }
    }

    #[test]
    fn a_missing_newest_journal_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).quarantine(&version(2), "bad", NOW).unwrap();
        fs::remove_file(dir.path().join("journal.json")).unwrap();
        let journal = open(dir.path());
        assert_eq!(journal.recovery(), &Recovery::Previous);
        assert!(journal.is_quarantined("d2"));
    }

    #[test]
    fn when_both_generations_are_unreadable_the_loss_is_visible_and_old_wrecks_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..6 {
            fs::write(dir.path().join("journal.json"), "x").unwrap();
            fs::write(dir.path().join("journal.previous.json"), "y").unwrap();
            assert_eq!(open(dir.path()).recovery(), &Recovery::Lost);
        }
        assert!(fs::read_dir(dir.path()).unwrap().count() <= 4);
    }

    #[test]
    fn an_oversized_journal_is_not_read_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("journal.json")).unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(open(dir.path()).recovery(), &Recovery::Lost);
    }

    #[test]
    fn a_half_written_temporary_file_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("journal.json.tmp"), "{\"quar").unwrap();
        let journal = open(dir.path());
        assert_eq!(journal.recovery(), &Recovery::Fresh);
        journal.quarantine(&version(1), "bad", NOW).unwrap();
        assert!(open(dir.path()).is_quarantined("d1"));
    }

    #[test]
    fn an_intent_that_cannot_be_written_is_not_open_but_a_quarantine_holds() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("gone");
        fs::create_dir(&dir).unwrap();
        let journal = open(&dir);
        fs::remove_dir(&dir).unwrap();
        let error = journal.open_intent(IntentKind::Load, &version(1), NOW).unwrap_err();
        assert!(error.to_string().contains("journal.json"), "{error}");
        assert!(journal.open_intents().is_empty());
        assert!(journal.quarantine(&version(2), "bad", NOW).is_err());
        assert!(journal.is_quarantined("d2"));
    }

    #[test]
    fn the_journal_is_private() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).set_last_good(&version(1), NOW).unwrap();
        let mode = fs::metadata(dir.path().join("journal.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
