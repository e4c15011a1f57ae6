//! Messages on the disk until they are delivered, in the order in which they came.
//!
//! ```text
//! <dir>/00000000000000000017.json    one message
//! ```
//!
//! Files appear whole and without waiting for the disk: a killed process loses none, a power cut at most the newest.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError, TEMPORARY};

/// Messages that wait. Belongs to one thread.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    most: usize,
    waiting: VecDeque<u64>,
    next: u64,
}

/// How many messages made room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped(pub usize);

impl Queue {
    /// Opens or makes the queue of at most `most` messages, at least one. What a kill left half is removed.
    ///
    /// # Errors
    /// The folder cannot be made, listed or cleaned.
    pub fn open(dir: &Path, most: usize) -> Result<(Self, Dropped), DiskError> {
        fs::create_dir_all(dir).map_err(DiskError::at("make", dir))?;
        let mut waiting = Vec::new();
        for entry in fs::read_dir(dir).map_err(DiskError::at("list", dir))? {
            let path = entry.map_err(DiskError::at("list", dir))?.path();
            let Some((name, ending)) = path.file_name().and_then(|name| name.to_str()?.split_once('.')) else {
                continue;
            };
            match (name.parse(), ending) {
                (Ok(number), "json") => waiting.push(number),
                (Ok(_), ending) if ending.ends_with(TEMPORARY) => disk::remove(&path)?,
                _ => {}
            }
        }
        waiting.sort_unstable();
        let next = waiting.last().map_or(0, |last: &u64| last.saturating_add(1));
        let mut queue = Self { dir: dir.to_owned(), most: most.max(1), waiting: waiting.into(), next };
        let dropped = queue.make_room(0)?;
        Ok((queue, dropped))
    }

    /// Adds a message; the oldest make room.
    ///
    /// # Errors
    /// The disk refuses; the message is not kept.
    pub fn push(&mut self, message: &[u8]) -> Result<Dropped, DiskError> {
        let dropped = self.make_room(1)?;
        disk::place(&self.dir, &name(self.next), message)?;
        self.waiting.push_back(self.next);
        self.next = self.next.saturating_add(1);
        Ok(dropped)
    }

    /// The oldest message.
    ///
    /// # Errors
    /// The disk refuses. One that somebody took away is passed over.
    pub fn first(&mut self) -> Result<Option<Vec<u8>>, DiskError> {
        while let Some(number) = self.waiting.front() {
            let path = self.dir.join(name(*number));
            match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => self.waiting.pop_front(),
                read => return read.map(Some).map_err(DiskError::at("read", &path)),
            };
        }
        Ok(None)
    }

    /// Removes the oldest message, which was delivered or never will be.
    ///
    /// # Errors
    /// The disk refuses; it is delivered again after a restart.
    pub fn pop(&mut self) -> Result<(), DiskError> {
        self.waiting.pop_front().map_or(Ok(()), |number| disk::remove(&self.dir.join(name(number))))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn make_room(&mut self, coming: usize) -> Result<Dropped, DiskError> {
        let mut dropped = Dropped::default();
        while self.waiting.len() + coming > self.most {
            self.pop()?;
            dropped.0 += 1;
        }
        Ok(dropped)
    }
}

fn name(number: u64) -> String {
    format!("{number:020}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &mut Queue) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(message) = queue.first().unwrap() {
            messages.push(String::from_utf8(message).unwrap());
            queue.pop().unwrap();
        }
        messages
    }

    #[test]
    fn what_waits_outlives_the_process_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let (mut queue, _) = Queue::open(dir.path(), 10).unwrap();
        for message in ["a", "b"] {
            queue.push(message.as_bytes()).unwrap();
        }
        // As a killed process leaves it.
        fs::write(dir.path().join("00000000000000000002.json.tmp"), "half").unwrap();
        fs::write(dir.path().join("readme.txt"), "of somebody else").unwrap();
        let (mut queue, dropped) = Queue::open(dir.path(), 10).unwrap();
        queue.push(b"c").unwrap();
        assert_eq!((queue.len(), dropped), (3, Dropped(0)));
        assert_eq!(drained(&mut queue), ["a", "b", "c"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let (mut queue, _) = Queue::open(dir.path(), 2).unwrap();
        let dropped: usize = ["a", "b", "c", "d"].map(|message| queue.push(message.as_bytes()).unwrap().0).iter().sum();
        assert_eq!((dropped, queue.len()), (2, 2));
        let (mut queue, dropped) = Queue::open(dir.path(), 1).unwrap();
        assert_eq!((dropped, drained(&mut queue)), (Dropped(1), vec!["d".to_owned()]));
    }

    #[test]
    fn what_somebody_took_away_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (mut queue, _) = Queue::open(dir.path(), 10).unwrap();
        for message in ["a", "b"] {
            queue.push(message.as_bytes()).unwrap();
        }
        fs::remove_file(dir.path().join(name(0))).unwrap();
        assert_eq!(drained(&mut queue), ["b"]);
    }
}
