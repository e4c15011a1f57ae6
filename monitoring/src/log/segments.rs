//! A directory of segments, as its one writer sees it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::frame::{Codec, FRAME_BYTES, HEADER_BYTES, close, header, read_header};
use super::{Limits, LogError};
use crate::disk::{self, DiskError};
use crate::events::UnixMillis;

/// What has been written and lost since the directory was opened, and what lies there now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Records taken.
    pub records: u64,
    /// Records of these, and of those refused, that will never be read: the disk was full or failed, or the record too large.
    pub lost: u64,
    /// Segments sealed.
    pub sealed: u64,
    /// Segments removed by the limits.
    pub removed: u64,
    /// Segments now, the open one included.
    pub segments: u64,
    /// Their bytes now, the part not yet written included.
    pub bytes: u64,
}

/// A directory of segments with one writer.
///
/// A failed write ends its segment: what was buffered is lost, and with it names that later records would refer to. The
/// writer then pauses until the next tick, so that a full disk costs one attempt a tick and not one a record.
#[derive(Debug)]
pub(crate) struct Segments<C> {
    dir: PathBuf,
    limits: Limits,
    /// Oldest first.
    sealed: VecDeque<Sealed>,
    open: Option<Open<C>>,
    next: u64,
    now: UnixMillis,
    paused: bool,
    stats: Stats,
}

#[derive(Debug, Clone, Copy)]
struct Sealed {
    number: u64,
    bytes: u64,
    created: UnixMillis,
}

#[derive(Debug)]
struct Open<C> {
    number: u64,
    created: UnixMillis,
    file: File,
    path: PathBuf,
    /// Bytes of whole frames in the file.
    written: u64,
    buffer: Vec<u8>,
    /// Records in the buffer.
    waiting: u64,
    codec: C,
}

/// Bytes gathered before they are handed to the system.
const BUFFER_BYTES: usize = 32 << 10;
/// 2020-01-01. A segment made before was made by a board that did not know the time yet; its age means nothing.
const PLAUSIBLE: UnixMillis = UnixMillis(1_577_836_800_000);

impl<C: Codec> Segments<C> {
    /// Opens or makes the directory. A segment that a killed process left open is sealed as it is.
    pub(crate) fn open(dir: &Path, limits: Limits, now: UnixMillis) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(DiskError::at("make", dir))?;
        let mut sealed = Vec::new();
        let mut next = 1;
        for (number, path) in list(dir)? {
            next = next.max(number.saturating_add(1));
            let bytes = fs::metadata(&path).map_err(DiskError::at("look at", &path))?.len();
            if bytes <= HEADER_BYTES as u64 {
                disk::remove(&path)?;
                continue;
            }
            let target = sealed_path(dir, number);
            if path != target {
                fs::rename(&path, &target).map_err(DiskError::at("seal", &path))?;
            }
            sealed.push(Sealed { number, bytes, created: created::<C>(&target) });
        }
        let sealed = VecDeque::from(sealed);
        Ok(Self { dir: dir.to_owned(), limits, sealed, open: None, next, now, paused: false, stats: Stats::default() })
    }

    /// Adds a record. In memory until the buffer is full or the next tick.
    pub(crate) fn append(&mut self, record: &C::Record) -> Result<(), LogError> {
        self.stats.records += 1;
        if self.paused {
            self.stats.lost += 1;
            return Err(LogError::Paused);
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => match Open::create(&self.dir, self.next, self.now) {
                Ok(open) => {
                    self.next += 1;
                    self.open.insert(open)
                }
                Err(error) => {
                    self.paused = true;
                    self.stats.lost += 1;
                    return Err(error.into());
                }
            },
        };
        if let Err(error) = open.push(record) {
            self.stats.lost += 1;
            return Err(error);
        }
        if open.bytes() >= self.limits.segment_bytes {
            return self.seal();
        }
        if open.buffer.len() >= BUFFER_BYTES {
            return self.flush();
        }
        Ok(())
    }

    /// Number of the segment that the last record went to, or that the next one will go to.
    pub(crate) fn current(&self) -> u64 {
        self.open.as_ref().map_or(self.next, |open| open.number)
    }

    /// Hands what is buffered to the system.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let Err(source) = open.file.write_all(&open.buffer) else {
            open.written += open.buffer.len() as u64;
            open.buffer.clear();
            open.waiting = 0;
            return Ok(());
        };
        let error = DiskError::at("write", &open.path)(source);
        self.stats.lost += open.waiting;
        self.paused = true;
        // Half a frame at the end would be reported as damage by every reader. Best effort: the disk is in trouble.
        let _ = open.file.set_len(open.written);
        let _ = self.retire();
        Err(error.into())
    }

    /// Makes the open segment complete and durable.
    pub(crate) fn seal(&mut self) -> Result<(), LogError> {
        self.flush()?;
        let Some(open) = &self.open else {
            return Ok(());
        };
        let synced = open.file.sync_all().map_err(DiskError::at("sync", &open.path));
        self.retire()?;
        synced?;
        Ok(disk::sync_dir(&self.dir)?)
    }

    /// What a regular tick does: hand over what is buffered, seal what is old enough, and write again after a failure.
    pub(crate) fn tick(&mut self, now: UnixMillis) -> Result<(), LogError> {
        self.now = now;
        self.paused = false;
        match &self.open {
            Some(open) if now.since(open.created) >= self.limits.segment_age() => self.seal(),
            _ => self.flush(),
        }
    }

    /// The oldest sealed segment, if the limits ask for its removal.
    pub(crate) fn excess(&self, now: UnixMillis) -> Option<u64> {
        let oldest = self.sealed.front()?;
        // A segment ends when the next one begins.
        let after = self.sealed.get(1).map(|next| next.created).or(self.open.as_ref().map(|open| open.created));
        let end = after.unwrap_or(now);
        let outlived = oldest.created >= PLAUSIBLE && now.since(end) > self.limits.max_age();
        (outlived || self.bytes() > self.limits.total_bytes).then_some(oldest.number)
    }

    /// Numbers of the sealed segments, oldest first.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = u64> {
        self.sealed.iter().map(|segment| segment.number)
    }

    /// Removes the oldest sealed segment.
    pub(crate) fn remove_oldest(&mut self) -> Result<(), LogError> {
        let Some(oldest) = self.sealed.front() else {
            return Ok(());
        };
        let path = sealed_path(&self.dir, oldest.number);
        disk::remove(&path)?;
        self.sealed.pop_front();
        self.stats.removed += 1;
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + self.open.as_ref().map_or(0, Open::bytes)
    }

    pub(crate) fn stats(&self) -> Stats {
        let segments = self.sealed.len() + usize::from(self.open.is_some());
        Stats { segments: segments as u64, bytes: self.bytes(), ..self.stats }
    }

    /// Ends the open segment under its final name; one without records goes.
    fn retire(&mut self) -> Result<(), DiskError> {
        let Some(Open { number, created, path, written: bytes, .. }) = self.open.take() else {
            return Ok(());
        };
        if bytes <= HEADER_BYTES as u64 {
            return disk::remove(&path);
        }
        fs::rename(&path, sealed_path(&self.dir, number)).map_err(DiskError::at("seal", &path))?;
        self.sealed.push_back(Sealed { number, bytes, created });
        self.stats.sealed += 1;
        Ok(())
    }
}

impl<C> Drop for Segments<C> {
    /// What is buffered is handed to the system; the next process seals the segment.
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            let _ = open.file.write_all(&open.buffer);
        }
    }
}

impl<C: Codec> Open<C> {
    fn create(dir: &Path, number: u64, created: UnixMillis) -> Result<Self, DiskError> {
        let path = dir.join(format!("{number:010}.{OPEN}"));
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = made.map_err(DiskError::at("make", &path))?;
        if let Err(source) = file.write_all(&header::<C>(created)) {
            let _ = fs::remove_file(&path);
            return Err(DiskError::at("write", &path)(source));
        }
        let written = HEADER_BYTES as u64;
        Ok(Self { number, created, file, path, written, buffer: Vec::new(), waiting: 0, codec: C::default() })
    }

    fn push(&mut self, record: &C::Record) -> Result<(), LogError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; FRAME_BYTES]);
        if let Err(error) = self.codec.encode(record, &mut self.buffer) {
            self.buffer.truncate(start);
            return Err(error);
        }
        close(&mut self.buffer, start);
        self.waiting += 1;
        Ok(())
    }
}

impl<C> Open<C> {
    fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }
}

const SEALED: &str = "seg";
const OPEN: &str = "open";

pub(crate) fn sealed_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{SEALED}"))
}

/// Segments in `dir` by number, whoever else lives there.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(DiskError::at("list", dir))? {
        let path = entry.map_err(DiskError::at("list", dir))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let ours = path.extension().is_some_and(|ending| ending == SEALED || ending == OPEN);
        match stem.parse() {
            Ok(number) if ours && stem.len() >= 10 && stem.bytes().all(|byte| byte.is_ascii_digit()) => {
                found.push((number, path));
            }
            _ => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// When a segment was made. One whose header cannot be read is as old as can be, and goes by size.
fn created<C: Codec>(path: &Path) -> UnixMillis {
    let mut bytes = [0; HEADER_BYTES];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.ok().and_then(|()| read_header::<C>(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
impl<C> Segments<C> {
    /// What follows is written to `file`.
    pub(crate) fn break_file(&mut self, file: File) {
        self.open.as_mut().unwrap().file = file;
    }
}
