//! The work folder: results that are complete, runs that are not, and who may write.
//!
//! A result appears by one rename of a folder that is complete and on the disk. Where it replaces another, a kill between
//! the two renames leaves the new one complete in `running/`; opening the work folder finishes the move.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::error::RunError;
use super::key::{Key, keyed};
use super::plan::Plan;
use super::record::{Found, Made, PART, RECORD, Record};
use super::sources::Memo;
use super::walk::{Hidden, files};
use crate::file;

/// Beginning of names in `running/` that are only waiting to be removed.
const GONE: &str = ".gone-";

/// A work folder.
#[derive(Debug)]
pub(super) struct Store {
    work: PathBuf,
    /// Held as long as this is; `None` for looking only.
    _lock: Option<File>,
}

/// What [`prune_results`] removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Folders, `<stage>-<key>`.
    pub removed: Vec<String>,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Removes every result, and every unfinished run, that none of `plans` would use as they are now. What else lies there stays.
///
/// # Errors
/// A run is going on there, sources cannot be read (their digests are part of what a plan uses), or a folder cannot be
/// removed.
pub fn prune_results(plans: &[&Plan], work: &Path) -> Result<Pruned, RunError> {
    let store = Store::open(work)?;
    let mut memo = store.memo();
    let mut used = BTreeSet::new();
    for plan in plans {
        let steps = keyed(plan, &mut memo)?;
        used.extend(steps.iter().map(super::key::Keyed::folder));
    }
    memo.save();
    let mut pruned = Pruned { removed: Vec::new(), bytes: 0 };
    for place in [store.results(), store.unfinished()] {
        for folder in names(&place)?.into_iter().filter(|name| is_ours(name) && !used.contains(name)) {
            let found = files(&place.join(&folder), Hidden::Counts).unwrap_or_default();
            pruned.bytes += found.iter().map(|file| file.metadata.len()).sum::<u64>();
            store.discard(&place.join(&folder), &folder)?;
            pruned.removed.push(folder);
        }
    }
    Ok(pruned)
}

impl Store {
    /// Opens a work folder for a run, making it if need be, and finishes what a killed run was about to finish.
    pub(super) fn open(work: &Path) -> Result<Self, RunError> {
        let mut store = Self::look(work)?;
        for folder in [store.results(), store.unfinished()] {
            fs::create_dir_all(&folder).map_err(RunError::io("create", &folder))?;
        }
        store._lock = Some(lock(&store.work)?);
        store.recover()?;
        Ok(store)
    }

    /// Opens a work folder for looking only; it need not be there.
    pub(super) fn look(work: &Path) -> Result<Self, RunError> {
        let work = std::path::absolute(work).map_err(RunError::io("find", work))?;
        Ok(Self { work, _lock: None })
    }

    pub(super) fn memo(&self) -> Memo {
        Memo::open(self.work.join("sources.json"))
    }

    fn results(&self) -> PathBuf {
        self.work.join("results")
    }

    fn unfinished(&self) -> PathBuf {
        self.work.join("running")
    }

    /// Where a result is, or will be.
    pub(super) fn result(&self, folder: &str) -> PathBuf {
        self.results().join(folder)
    }

    /// Where a stage works.
    pub(super) fn running(&self, folder: &str) -> PathBuf {
        self.unfinished().join(folder)
    }

    /// Whether an interrupted run left something.
    pub(super) fn resumes(&self, folder: &str) -> bool {
        fs::read_dir(self.running(folder)).is_ok_and(|mut entries| entries.next().is_some())
    }

    pub(super) fn find(&self, folder: &str, key: &Key) -> Found {
        Record::find(&self.result(folder), key)
    }

    /// The result that a stage of this name made last, whatever its key.
    pub(super) fn latest(&self, stage: &str) -> Option<Record> {
        let of_stage = |name: &String| name.rsplit_once('-').is_some_and(|(of, _)| of == stage);
        let folders = names(&self.results()).unwrap_or_default().into_iter().filter(of_stage);
        let records = folders.filter_map(|folder| Record::read(&self.result(&folder)).ok());
        records.max_by_key(|record| record.started_unix_ms)
    }

    /// Where the stage is to work, with what an interrupted run left.
    pub(super) fn begin(&self, folder: &str) -> Result<PathBuf, RunError> {
        let running = self.running(folder);
        fs::create_dir_all(&running).map_err(RunError::io("create", &running))?;
        for own in [RECORD, PART] {
            // One that was whole became a result when the folder was opened.
            remove_if_there(&running.join(own))?;
        }
        Ok(running)
    }

    /// Makes what the stage left in its folder a result.
    pub(super) fn finish(&self, folder: &str, made: Made, is_log: &dyn Fn(&str) -> bool) -> Result<Record, RunError> {
        let running = self.running(folder);
        let record = made.seal(&running, is_log).map_err(|error| RunError::io("keep", &error.path)(error.source))?;
        let (part, whole) = (running.join(PART), running.join(RECORD));
        serde_json::to_vec_pretty(&record)
            .map_err(io::Error::other)
            .and_then(|bytes| fs::write(&part, bytes))
            .map_err(RunError::io("write", &part))?;
        flush(&running, &record).map_err(RunError::io("flush", &running))?;
        fs::rename(&part, &whole).map_err(RunError::io("write", &whole))?;
        flush_folder(&running)?;
        self.promote(folder)?;
        Ok(record)
    }

    /// Moves a complete folder from `running/` to `results/`.
    fn promote(&self, folder: &str) -> Result<(), RunError> {
        let (from, to) = (self.running(folder), self.result(folder));
        let gone = self.unfinished().join(format!("{GONE}{folder}"));
        if to.exists() {
            remove_folder(&gone)?;
            fs::rename(&to, &gone).map_err(RunError::io("replace", &to))?;
        }
        fs::rename(&from, &to).map_err(RunError::io("move the result to", &to))?;
        flush_folder(&self.results())?;
        flush_folder(&self.unfinished())?;
        remove_folder(&gone)
    }

    fn recover(&self) -> Result<(), RunError> {
        for folder in names(&self.unfinished())? {
            let running = self.running(&folder);
            let whole = Record::read(&running)
                .is_ok_and(|record| record.key.folder(&record.stage) == folder && record.damage(&running).is_none());
            if whole {
                tracing::info!(result = folder, "an interrupted run had completed this result");
                self.promote(&folder)?;
            }
        }
        let gone = names(&self.unfinished())?.into_iter().filter(|name| name.starts_with(GONE));
        gone.map(|name| self.running(&name)).try_for_each(|path| remove_folder(&path))
    }

    /// Removes a folder so that a kill leaves no half of it where it was.
    fn discard(&self, path: &Path, folder: &str) -> Result<(), RunError> {
        let gone = self.unfinished().join(format!("{GONE}{folder}"));
        remove_folder(&gone)?;
        fs::rename(path, &gone).map_err(RunError::io("remove", path))?;
        remove_folder(&gone)
    }
}

/// An exclusive advisory lock, held until the file is closed or the process dies, however it dies.
fn lock(work: &Path) -> Result<File, RunError> {
    let path = work.join("lock");
    let mut file = match file::lock(&path).map_err(|(what, error)| RunError::io(what, &path)(error))? {
        file::Lock::Ours(file) => file,
        file::Lock::Theirs(file) => {
            let mut text = String::new();
            let _ = file.take(32).read_to_string(&mut text);
            return Err(RunError::Busy { work: work.to_owned(), pid: text.trim().parse().ok() });
        }
    };
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(RunError::io("write", &path))?;
    Ok(file)
}

/// Names in a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>, RunError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RunError::io("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(RunError::io("read", folder))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a folder's name is one that [`Key::folder`] gives, and not somebody else's.
fn is_ours(name: &str) -> bool {
    let key = name.rsplit_once('-').map(|(_, key)| key);
    key.is_some_and(|key| key.len() == 16 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn remove_if_there(path: &Path) -> Result<(), RunError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RunError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder, or a file that somebody called like one.
fn remove_folder(path: &Path) -> Result<(), RunError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RunError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Puts all files of a result on the disk. Tests cannot cut the power, and wait for disks in vain.
fn flush(folder: &Path, record: &Record) -> io::Result<()> {
    /// Flushes at a time: a journal commits those that wait together at once, and a data set has tens of thousands of
    /// files.
    const TOGETHER: usize = 16;

    if cfg!(test) {
        return Ok(());
    }
    let files: Vec<_> = record.files.keys().map(|name| folder.join(name)).chain([folder.join(PART)]).collect();
    let sync = |paths: &[PathBuf]| paths.iter().try_for_each(|path| File::open(path)?.sync_all());
    let each = files.len().div_ceil(TOGETHER);
    thread::scope(|scope| {
        let threads: Vec<_> = files.chunks(each).map(|paths| scope.spawn(move || sync(paths))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(flushed) => flushed,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let above = files.iter().flat_map(|path| path.ancestors().skip(1).take_while(|above| above.starts_with(folder)));
    let folders: BTreeSet<&Path> = above.collect();
    folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
}

fn flush_folder(folder: &Path) -> Result<(), RunError> {
    if cfg!(test) {
        return Ok(());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RunError::io("flush", folder))
}
