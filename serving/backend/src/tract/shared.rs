//! Sessions of one model file share its plans, and with them the weights.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use super::plan::Plans;
use crate::LoadError;

/// What is loaded now. Holds nothing alive: plans go with their last session.
#[derive(Debug, Default)]
pub struct Loaded(Mutex<Vec<(Identity, Weak<Plans>)>>);

/// A file as it was at a moment: one replaced under the same name is another model.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Loaded {
    /// The plans of the file, made by `load` unless some session still has them.
    ///
    /// # Errors
    /// Those of `load`, and a file that is not there.
    pub fn get_or_load(
        &self,
        path: &Path,
        load: impl FnOnce() -> Result<Plans, LoadError>,
    ) -> Result<Arc<Plans>, LoadError> {
        let identity = identity(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        // Loads are rare and heavy: holding the lock makes instances started together load the file once.
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(_, plans)| plans.strong_count() > 0);
        if let Some(plans) = loaded.iter().find(|(of, _)| *of == identity).and_then(|(_, plans)| plans.upgrade()) {
            return Ok(plans);
        }
        let plans = Arc::new(load()?);
        loaded.push((identity, Arc::downgrade(&plans)));
        Ok(plans)
    }
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    let path = path.canonicalize()?;
    let metadata = path.metadata()?;
    Ok(Identity { path, bytes: metadata.len(), modified: metadata.modified().ok() })
}
