//! What a run says of its epochs while it goes on: lines of JSON for programs, and TensorBoard's files for people.

mod record;
mod tensorboard;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

pub use record::EpochRecord;

use super::error::TrainError;

/// Name of the lines of JSON, one per epoch.
pub const METRICS: &str = "metrics.jsonl";

/// Name of TensorBoard's file.
pub use tensorboard::FILE as EVENTS;

/// The files of a run under way.
#[derive(Debug)]
pub(super) struct Log {
    lines: File,
    events: File,
}

impl Log {
    /// Begins the files in `folder` anew with the epochs that are done: a run that was resumed has each epoch once.
    pub(super) fn begin(folder: &Path, done: &[EpochRecord]) -> Result<Self, TrainError> {
        let create = |name: &str| File::create(folder.join(name)).map_err(TrainError::file(folder.join(name)));
        let mut log = Self { lines: create(METRICS)?, events: create(tensorboard::FILE)? };
        tensorboard::begin(&mut log.events).map_err(TrainError::file(folder.join(tensorboard::FILE)))?;
        done.iter().try_for_each(|record| log.epoch(record)).map_err(TrainError::file(folder))?;
        Ok(log)
    }

    /// One epoch more.
    pub(super) fn epoch(&mut self, record: &EpochRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.lines.write_all(&line)?;
        tensorboard::epoch(&mut self.events, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u32) -> EpochRecord {
        EpochRecord {
            epoch,
            loss: 1.0 / f64::from(epoch),
            learning_rate: 0.05,
            accuracy: 0.5,
            balanced_accuracy: 0.25,
            images_per_second: 100.0,
            seconds: 7.0 * f64::from(epoch),
        }
    }

    #[test]
    fn a_run_that_goes_on_has_every_epoch_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::begin(folder.path(), &[]).unwrap();
        log.epoch(&record(1)).unwrap();
        log.epoch(&record(2)).unwrap();
        drop(log);
        let whole = std::fs::read(folder.path().join(tensorboard::FILE)).unwrap();
        let mut log = Log::begin(folder.path(), &[record(1)]).unwrap();
        log.epoch(&record(2)).unwrap();
        let text = std::fs::read_to_string(folder.path().join(METRICS)).unwrap();
        let read: Vec<EpochRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [record(1), record(2)]);
        assert_eq!(std::fs::read(folder.path().join(tensorboard::FILE)).unwrap().len(), whole.len());
    }
}
