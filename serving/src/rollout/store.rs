//! Rollouts on disk: one file per model, replaced whole and fsynced, and an audit log of every transition.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use takt_rollout::{Plan, State};

use crate::state::{StateError, UnixMillis, replace};

const SCHEMA: u32 = 1;
const AUDIT: &str = "audit.jsonl";
const AUDIT_BEFORE: &str = "audit.previous.jsonl";
/// Above it the audit log begins anew, and the one before it is kept.
const AUDIT_BYTES: u64 = 1 << 20;
/// A rollout never gets near this; a larger file is something else.
const MAX_BYTES: u64 = 4 << 20;

/// Where rollouts are kept.
#[derive(Debug, Clone)]
pub struct RolloutStore {
    dir: PathBuf,
}

/// A model's rollout, with what its state does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    schema: u32,
    /// Number of the version to go back to.
    pub(super) stable: u64,
    /// Number of the version that is tried.
    pub(super) candidate: u64,
    /// What is followed.
    pub(super) plan: Plan,
    /// Where it stands.
    pub(super) state: State,
}

/// Rollouts that were found, by model.
#[derive(Debug, Default)]
pub struct Found(pub(super) BTreeMap<String, Stored>);

/// A line of the audit log.
#[derive(Debug, Serialize)]
pub(super) struct Audited<'a> {
    pub(super) at: UnixMillis,
    pub(super) model: &'a str,
    pub(super) rollout: &'a str,
    pub(super) revision: u64,
    pub(super) stable: u64,
    pub(super) candidate: u64,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) weight: f64,
    /// What people asked for, and why, where they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<&'a str>,
    pub(super) why: &'a str,
}

impl Stored {
    pub(super) fn new(stable: u64, candidate: u64, plan: Plan, state: State) -> Self {
        Self { schema: SCHEMA, stable, candidate, plan, state }
    }
}

impl RolloutStore {
    /// In that folder, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(dir: PathBuf) -> Result<Self, StateError> {
        fs::create_dir_all(&dir).map_err(StateError::io("create", &dir))?;
        Ok(Self { dir })
    }

    /// Every rollout. One that cannot be read is set aside and logged: its model goes on with what it serves, and its
    /// candidate waits for a person.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn load(&self) -> Result<Found, StateError> {
        let mut found = Found::default();
        for entry in fs::read_dir(&self.dir).map_err(StateError::io("read", &self.dir))? {
            let path = entry.map_err(StateError::io("read", &self.dir))?.path();
            let Some(model) = model_of(&path) else { continue };
            match read(&path) {
                Ok(stored) => {
                    found.0.insert(model, stored);
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a rollout can't be read; it is set aside");
                    let _ = fs::rename(&path, path.with_extension("json.corrupt"));
                }
            }
        }
        Ok(found)
    }

    /// Writes a model's rollout; on disk when this returns.
    pub(super) fn save(&self, model: &str, stored: &Stored) -> Result<(), StateError> {
        let name = format!("{model}.json");
        let bytes = serde_json::to_vec(stored)
            .map_err(|error| StateError::io("encode", &self.dir.join(&name))(io::Error::other(error)))?;
        replace(&self.dir, &name, &bytes)
    }

    /// Adds a line to the audit log. Lost lines are logged: nobody is to wait for a log.
    pub(super) fn audit(&self, line: &Audited<'_>) {
        let path = self.dir.join(AUDIT);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > AUDIT_BYTES) {
            let _ = fs::rename(&path, self.dir.join(AUDIT_BEFORE));
        }
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut bytes| {
            bytes.push(b'\n');
            OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?.write_all(&bytes)
        });
        if let Err(error) = written {
            tracing::error!(path = %path.display(), %error, "the audit log can't be written");
        }
    }
}

fn model_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned())
}

fn read(path: &Path) -> io::Result<Stored> {
    let length = fs::metadata(path)?.len();
    if length > MAX_BYTES {
        return Err(io::Error::other(format!("found {length} bytes, expected at most {MAX_BYTES}")));
    }
    let stored: Stored = serde_json::from_slice(&fs::read(path)?)?;
    if stored.schema != SCHEMA {
        let found = stored.schema;
        return Err(io::Error::other(format!(
            "found schema {found}, this build reads {SCHEMA}: run the newer build again"
        )));
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, RolloutStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = RolloutStore::open(dir.path().join("rollouts")).unwrap();
        (dir, store)
    }

    #[test]
    fn what_was_saved_is_found_and_what_is_broken_is_set_aside() {
        let (_dir, store) = store();
        let stored = Stored::new(1, 2, Plan::default(), State::new());
        store.save("m", &stored).unwrap();
        fs::write(store.dir.join("torn.json"), b"{\"schema\":1,").unwrap();
        let newer = serde_json::to_string(&stored).unwrap().replacen("\"schema\":1", "\"schema\":9", 1);
        fs::write(store.dir.join("newer.json"), newer).unwrap();
        let found = store.load().unwrap();
        assert_eq!(found.0, BTreeMap::from([("m".to_owned(), stored)]));
        assert!(store.dir.join("torn.json.corrupt").exists() && store.dir.join("newer.json.corrupt").exists());
    }

    #[test]
    fn the_audit_log_is_bounded() {
        let (_dir, store) = store();
        let why = "x".repeat(2000);
        let line = Audited {
            at: UnixMillis(1),
            model: "m",
            rollout: "r",
            revision: 1,
            stable: 1,
            candidate: 2,
            from: "stepping",
            to: "aborting",
            weight: 0.05,
            asked: None,
            why: &why,
        };
        (0..1200).for_each(|_| store.audit(&line));
        let length = |name: &str| fs::metadata(store.dir.join(name)).unwrap().len();
        assert!(length(AUDIT) + length(AUDIT_BEFORE) < 2 * AUDIT_BYTES + 10_000);
        let text = fs::read_to_string(store.dir.join(AUDIT)).unwrap();
        assert!(text.lines().all(|line| line.starts_with("{\"at\":1,\"model\":\"m\"")), "whole lines");
    }
}
