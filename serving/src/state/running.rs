//! Which versions execute at this moment, readable after the process has died.
//!
//! A file of fixed slots, one per instance thread. Beginning and ending a run is one small `pwrite` each into the page
//! cache, which outlives the process; nothing is synced. A slot never crosses a page, so a kill in the middle of a write
//! does not tear it. The file lives in `/dev/shm` where there is one: rewritten for every batch on flash it would cost a
//! page write each few seconds, for ever.
//!
//! ```text
//! header   0  magic (8)   8  boot id length (1)   9  boot id
//! slot     0  state (1)   1  model length (1)   2  digest length (1)   8  version (u64)   16  since, ms (u64)
//!         24  model, digest                        integers little-endian
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

use super::{StateError, UnixMillis, VersionId, boot};

const SLOT: usize = 512;
const MAGIC: &[u8; 8] = b"TAKTRUN1";
const NAMES: usize = 24;
/// A model name is a file name (at most 255 bytes), a digest 64 characters: both fit with room to spare.
const MAX_NAME: usize = 255;
const MAX_DIGEST: usize = 200;
const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const HUNG: u8 = 2;

/// A version that was executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Which.
    pub version: VersionId,
    /// When that run began.
    pub since: UnixMillis,
    /// The watchdog found that this run exceeded its limit.
    pub hung: bool,
}

/// The table of the serving process. Clones share it; when the last one goes, in an orderly end, so does the file.
#[derive(Debug, Clone)]
pub struct RunningTable {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: PathBuf,
    /// Slots in use, by index.
    taken: Mutex<Vec<bool>>,
    /// A failed write is logged once: the run goes on without its mark.
    failed: AtomicBool,
}

/// One instance thread's line in the table; given back when dropped.
#[derive(Debug)]
pub struct RunningSlot {
    shared: Arc<Shared>,
    index: usize,
    line: [u8; SLOT],
}

impl RunningTable {
    /// Starts an empty table, replacing what was there.
    ///
    /// # Errors
    /// The file cannot be created, or belongs to another user.
    pub fn create(path: &Path) -> Result<Self, StateError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(StateError::io("create", path))?;
        owned_by_us(&file, path)?;
        let boot = boot::id().as_bytes();
        let boot = &boot[..boot.len().min(MAX_NAME)];
        let mut header = [0; SLOT];
        header[..8].copy_from_slice(MAGIC);
        header[8] = length(boot);
        header[9..9 + boot.len()].copy_from_slice(boot);
        file.set_len(0).and_then(|()| file.write_all_at(&header, 0)).map_err(StateError::io("write", path))?;
        let shared = Shared { file, path: path.to_owned(), taken: Mutex::default(), failed: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A slot for one instance thread.
    ///
    /// # Errors
    /// The file cannot grow.
    pub fn claim(&self) -> Result<RunningSlot, StateError> {
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let index = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
        let line = [0; SLOT];
        // Reserves the space now, so that no run finds the disk full.
        self.shared.file.write_all_at(&line, offset(index)).map_err(StateError::io("write", &self.shared.path))?;
        match taken.get_mut(index) {
            Some(free) => *free = true,
            None => taken.push(true),
        }
        Ok(RunningSlot { shared: Arc::clone(&self.shared), index, line })
    }

    /// Marks every run of a version as hung: the watchdog's last word before it ends the process.
    pub fn mark_hung(&self, model: &str, version: u64) {
        let slots = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner).len();
        for index in 0..slots {
            let mut line = [0; SLOT];
            if self.shared.file.read_exact_at(&mut line, offset(index)).is_ok()
                && decode(&line).is_some_and(|run| run.version.model == model && run.version.version == version)
            {
                self.shared.write(index, &[HUNG]);
            }
        }
    }

    /// What was executing when the process that wrote `path` died. Empty where there is no such file, and where the
    /// machine was restarted since.
    ///
    /// # Errors
    /// The file exists but cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Running>, StateError> {
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StateError::io("open", path)(source)),
        };
        owned_by_us(&file, path)?;
        let mut line = [0; SLOT];
        if file.read_exact_at(&mut line, 0).is_err() || !of_this_boot(&line) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut index = 0;
        while file.read_exact_at(&mut line, offset(index)).is_ok() {
            found.extend(decode(&line));
            index += 1;
        }
        Ok(found)
    }
}

impl RunningSlot {
    /// A run of this version begins. One system call, no allocation.
    pub fn begin(&mut self, version: &VersionId) {
        let model = prefix(&version.model, MAX_NAME);
        let digest = prefix(&version.digest, MAX_DIGEST);
        let end = NAMES + model.len() + digest.len();
        self.line[0] = RUNNING;
        self.line[1] = length(model);
        self.line[2] = length(digest);
        self.line[8..16].copy_from_slice(&version.version.to_le_bytes());
        self.line[16..NAMES].copy_from_slice(&UnixMillis::from(std::time::SystemTime::now()).0.to_le_bytes());
        self.line[NAMES..NAMES + model.len()].copy_from_slice(model);
        self.line[NAMES + model.len()..end].copy_from_slice(digest);
        self.shared.write(self.index, &self.line[..end]);
    }

    /// The run ended, well or badly. One system call, no allocation.
    pub fn end(&mut self) {
        self.shared.write(self.index, &[IDLE]);
    }
}

impl Drop for RunningSlot {
    fn drop(&mut self) {
        self.end();
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.get_mut(self.index) {
            *taken = false;
        }
    }
}

impl Shared {
    fn write(&self, index: usize, bytes: &[u8]) {
        if let Err(error) = self.file.write_all_at(bytes, offset(index))
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                file = %self.path.display(), %error,
                "runs cannot be marked: after a crash the version that caused it may not be found"
            );
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the table of a state directory lives: the places to try, best first.
pub(super) fn locations(state_dir: &Path) -> [PathBuf; 2] {
    let mut hash = DefaultHasher::new();
    fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned()).hash(&mut hash);
    let in_memory = Path::new("/dev/shm").join(format!("takt-running-{:016x}", hash.finish()));
    [in_memory, state_dir.join("running")]
}

/// In a directory that everybody may write to, a file of that name may be somebody else's.
fn owned_by_us(file: &File, path: &Path) -> Result<(), StateError> {
    let owner = file.metadata().map_err(StateError::io("inspect", path))?.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or(OsStr::new("it")).to_string_lossy();
    let reason = format!("{name} belongs to user {owner}");
    Err(StateError::io("use", path)(io::Error::new(io::ErrorKind::PermissionDenied, reason)))
}

fn of_this_boot(header: &[u8; SLOT]) -> bool {
    let boot = boot::id().as_bytes();
    header.starts_with(MAGIC) && usize::from(header[8]) == boot.len() && header[9..].starts_with(boot)
}

fn decode(line: &[u8; SLOT]) -> Option<Running> {
    if line[0] != RUNNING && line[0] != HUNG {
        return None;
    }
    let model_end = NAMES + usize::from(line[1]);
    let digest_end = model_end + usize::from(line[2]);
    let version = VersionId {
        model: std::str::from_utf8(line.get(NAMES..model_end)?).ok()?.to_owned(),
        version: u64::from_le_bytes(line[8..16].try_into().ok()?),
        digest: std::str::from_utf8(line.get(model_end..digest_end)?).ok()?.to_owned(),
    };
    let since = UnixMillis(u64::from_le_bytes(line[16..NAMES].try_into().ok()?));
    Some(Running { version, since, hung: line[0] == HUNG })
}

fn offset(index: usize) -> u64 {
    (index as u64 + 1) * SLOT as u64
}

fn prefix(text: &str, limit: usize) -> &[u8] {
    &text.as_bytes()[..text.len().min(limit)]
}

/// Of a slice that was cut to a limit below 256.
fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(n: u64) -> VersionId {
        VersionId { model: format!("model-{n}"), version: n, digest: "ab".repeat(32) }
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        (dir, path)
    }

    #[test]
    fn only_runs_between_begin_and_end_are_found() {
        let (_dir, path) = scratch();
        let table = RunningTable::create(&path).unwrap();
        let (mut one, mut two) = (table.claim().unwrap(), table.claim().unwrap());
        one.begin(&version(1));
        two.begin(&version(2));
        assert_eq!(RunningTable::read(&path).unwrap().len(), 2);
        one.end();
        let left = RunningTable::read(&path).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].version, version(2));
        assert!(!left[0].hung && left[0].since.0 > 0);
    }

    #[test]
    fn a_shorter_name_leaves_nothing_of_a_longer_one() {
        let (_dir, path) = scratch();
        let table = RunningTable::create(&path).unwrap();
        let mut slot = table.claim().unwrap();
        slot.begin(&VersionId { model: "x".repeat(255), version: u64::MAX, digest: "f".repeat(64) });
        slot.begin(&version(3));
        assert_eq!(RunningTable::read(&path).unwrap()[0].version, version(3));
    }

    #[test]
    fn dropping_a_slot_ends_its_run_and_frees_its_place() {
        let (_dir, path) = scratch();
        let table = RunningTable::create(&path).unwrap();
        let mut first = table.claim().unwrap();
        let _second = table.claim().unwrap();
        first.begin(&version(1));
        drop(first);
        assert!(RunningTable::read(&path).unwrap().is_empty());
        for _ in 0..100 {
            table.claim().unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 3 * SLOT as u64);
    }

    #[test]
    fn the_hung_version_is_told_from_the_others() {
        let (_dir, path) = scratch();
        let table = RunningTable::create(&path).unwrap();
        let (mut one, mut two) = (table.claim().unwrap(), table.claim().unwrap());
        one.begin(&version(1));
        two.begin(&version(2));
        table.mark_hung("model-2", 2);
        let hung: Vec<_> =
            RunningTable::read(&path).unwrap().into_iter().map(|run| (run.version.version, run.hung)).collect();
        assert_eq!(hung, [(1, false), (2, true)]);
    }

    #[test]
    fn a_new_table_forgets_the_old_one_and_an_orderly_end_leaves_no_file() {
        let (_dir, path) = scratch();
        let old = RunningTable::create(&path).unwrap();
        let mut slot = old.claim().unwrap();
        slot.begin(&version(1));
        std::mem::forget((old, slot));
        assert_eq!(RunningTable::read(&path).unwrap().len(), 1);
        let new = RunningTable::create(&path).unwrap();
        assert!(RunningTable::read(&path).unwrap().is_empty());
        drop(new);
        assert!(!path.exists());
        assert!(RunningTable::read(&path).unwrap().is_empty());
    }

    #[test]
    fn a_table_from_before_a_restart_of_the_machine_says_nothing() {
        let (_dir, path) = scratch();
        let table = RunningTable::create(&path).unwrap();
        let mut slot = table.claim().unwrap();
        slot.begin(&version(1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(RunningTable::read(&path).unwrap().is_empty());
    }

    #[test]
    fn a_symbolic_link_in_its_place_is_refused() {
        let (dir, path) = scratch();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert_eq!(RunningTable::create(&path).unwrap_err().kind(), "io");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    proptest! {
        #[test]
        fn every_name_that_a_directory_can_have_comes_back(model in "[^/\0]{1,63}", n: u64, digest in "[0-9a-f]{0,64}") {
            let (_dir, path) = scratch();
            let table = RunningTable::create(&path).unwrap();
            let mut slot = table.claim().unwrap();
            let version = VersionId { model, version: n, digest };
            slot.begin(&version);
            prop_assert_eq!(&RunningTable::read(&path).unwrap()[0].version, &version);
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 2 * SLOT..2 * SLOT + 200)) {
            let (_dir, path) = scratch();
            drop(RunningTable::create(&path).unwrap());
            let table = RunningTable::create(&path).unwrap();
            bytes[..SLOT].copy_from_slice(&fs::read(&path).unwrap()[..SLOT]);
            fs::write(&path, &bytes).unwrap();
            let _ = RunningTable::read(&path).unwrap();
            drop(table);
        }
    }
}
