//! What a run needs to go on after an interruption.
//!
//! ```text
//! <folder>/state.json              schema, key of the run, epochs done; written last, so that what it names is complete
//! <folder>/epoch-<n>.onnx          weights and running statistics after epoch n
//! <folder>/epoch-<n>.safetensors   the optimiser's momenta
//! <folder>/best-<n>.onnx           the best model so far
//! ```

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use takt_graph::Model;

use super::error::TrainError;
use super::log::EpochRecord;

const SCHEMA: u32 = 1;
const STATE: &str = "state.json";

#[derive(Debug, Serialize, Deserialize)]
struct State {
    schema: u32,
    key: String,
    records: Vec<EpochRecord>,
    best: u32,
}

/// A run as it was after an epoch.
pub(super) struct Progressed {
    pub(super) records: Vec<EpochRecord>,
    /// Epoch of the best model.
    pub(super) best: u32,
    pub(super) last_model: Model,
    pub(super) best_model: Model,
    pub(super) momenta: HashMap<String, Tensor>,
}

/// The folder of one run.
pub(super) struct Checkpoint<'a> {
    pub(super) folder: &'a Path,
    /// Says which run this is.
    pub(super) key: &'a str,
}

impl Checkpoint<'_> {
    /// What is there; `None` for a run that has not begun.
    pub(super) fn read(&self) -> Result<Option<Progressed>, TrainError> {
        let path = self.folder.join(STATE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::file(path)(error)),
        };
        let bad = |reason: String| TrainError::Checkpoint { path: self.folder.to_owned(), reason };
        let state: State = serde_json::from_str(&text).map_err(|error| bad(format!("{STATE}: {error}")))?;
        if state.schema != SCHEMA {
            return Err(bad(format!("schema {}, expected {SCHEMA}", state.schema)));
        }
        if state.key != self.key {
            return Err(TrainError::ForeignCheckpoint(self.folder.to_owned()));
        }
        let epoch = state.records.last().map_or(0, |record| record.epoch);
        let momenta = candle_core::safetensors::load(self.momenta(epoch), &Device::Cpu)
            .map_err(|error| bad(format!("momenta of epoch {epoch}: {error}")))?;
        Ok(Some(Progressed {
            last_model: Model::load(self.model("epoch", epoch))?,
            best_model: Model::load(self.model("best", state.best))?,
            best: state.best,
            records: state.records,
            momenta,
        }))
    }

    /// Keeps an epoch, and forgets the one before.
    pub(super) fn write(&self, now: &Progressed) -> Result<(), TrainError> {
        fs::create_dir_all(self.folder).map_err(TrainError::file(self.folder))?;
        let epoch = now.records.last().map_or(0, |record| record.epoch);
        now.last_model.save(self.model("epoch", epoch))?;
        if !self.model("best", now.best).exists() || now.best == epoch {
            now.best_model.save(self.model("best", now.best))?;
        }
        let path = self.momenta(epoch);
        // Written aside and renamed there.
        let saved = candle_core::safetensors::save(&now.momenta, &path);
        saved.map_err(|source| TrainError::Momenta { path, source: Box::new(source) })?;
        let state = State { schema: SCHEMA, key: self.key.to_owned(), records: now.records.clone(), best: now.best };
        let path = self.folder.join(STATE);
        let text = serde_json::to_string_pretty(&state).unwrap_or_default();
        crate::file::replace(&path, text.as_bytes()).map_err(TrainError::file(path))?;
        self.forget(&[self.model("epoch", epoch), self.momenta(epoch), self.model("best", now.best)]);
        Ok(())
    }

    /// Removes what is no longer named; a file that cannot be removed does no harm.
    fn forget(&self, keep: &[PathBuf]) {
        let Ok(entries) = fs::read_dir(self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if (name.starts_with("epoch-") || name.starts_with("best-")) && !keep.contains(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn model(&self, what: &str, epoch: u32) -> PathBuf {
        self.folder.join(format!("{what}-{epoch}.onnx"))
    }

    fn momenta(&self, epoch: u32) -> PathBuf {
        self.folder.join(format!("epoch-{epoch}.safetensors"))
    }
}
