//! The file of measured times.
//!
//! ```json
//! { "schema": 1, "microseconds": { "<machine>": { "<shape of layer>": { "64x128": 118.4 } } } }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::LatencyError;
use super::layer::Kind;
use crate::file;

const SCHEMA: u32 = 1;

/// Times by the channels of a layer, written as `inputs x outputs`.
type ByPoint = BTreeMap<String, f64>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    microseconds: BTreeMap<String, BTreeMap<String, ByPoint>>,
}

/// Times of one machine, beside those of others in the same file.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    machine: String,
    file: File,
}

/// A folder for models to be measured, gone when dropped.
pub(super) struct Scratch(PathBuf);

impl Table {
    pub(super) fn open(path: &Path, machine: String) -> Result<Self, LatencyError> {
        let file = match fs::read_to_string(path) {
            Ok(text) => read(&text).map_err(|reason| LatencyError::Table { path: path.to_owned(), reason })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                File { schema: SCHEMA, microseconds: BTreeMap::new() }
            }
            Err(error) => return Err(LatencyError::file(path)(error)),
        };
        Ok(Self { path: path.to_owned(), machine, file })
    }

    pub(super) fn get(&self, kind: &Kind, point: [usize; 2]) -> Option<f64> {
        self.file.microseconds.get(&self.machine)?.get(&kind.to_string())?.get(&name(point)).copied()
    }

    pub(super) fn put(&mut self, kind: &Kind, point: [usize; 2], microseconds: f64) {
        let of_machine = self.file.microseconds.entry(self.machine.clone()).or_default();
        // A thousandth is far below what can be measured, and is read by people.
        let rounded = (microseconds * 1e3).round() / 1e3;
        of_machine.entry(kind.to_string()).or_default().insert(name(point), rounded);
    }

    pub(super) fn write(&self) -> Result<(), LatencyError> {
        let text = serde_json::to_string_pretty(&self.file).unwrap_or_default() + "\n";
        file::replace(&self.path, text.as_bytes()).map_err(LatencyError::file(&self.path))
    }

    /// A folder beside the file.
    pub(super) fn scratch(&self) -> Result<Scratch, LatencyError> {
        let folder = self.path.with_extension("probes");
        fs::create_dir_all(&folder).map_err(LatencyError::file(&folder))?;
        Ok(Scratch(folder))
    }
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // One that stays does no harm: the next run takes the same.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name([inputs, outputs]: [usize; 2]) -> String {
    format!("{inputs}x{outputs}")
}

fn read(text: &str) -> Result<File, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.schema != SCHEMA {
        return Err(format!("schema {}, expected {SCHEMA}", file.schema));
    }
    let mut times = file.microseconds.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
    match times.find(|time| !(time.is_finite() && **time >= 0.0)) {
        Some(time) => Err(format!("found a time of {time} microseconds, expected 0 or more")),
        None => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_by_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.json");
        let kind = Kind::Product { rows: 1 };
        let mut table = Table::open(&path, "one".into()).unwrap();
        table.put(&kind, [8, 16], 1.23456);
        table.write().unwrap();
        assert_eq!(Table::open(&path, "one".into()).unwrap().get(&kind, [8, 16]), Some(1.235));
        let mut other = Table::open(&path, "other".into()).unwrap();
        assert_eq!(other.get(&kind, [8, 16]), None);
        other.put(&kind, [8, 16], 2.0);
        other.write().unwrap();
        assert_eq!(Table::open(&path, "one".into()).unwrap().get(&kind, [8, 16]), Some(1.235), "still there");
    }

    #[test]
    fn a_file_of_something_else_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.json");
        for text in [
            "{}",
            r#"{ "schema": 9, "microseconds": {} }"#,
            r#"{ "schema": 1, "microseconds": {"a":{"b":{"1x1":-1}}} }"#,
        ] {
            fs::write(&path, text).unwrap();
            let error = Table::open(&path, "one".into()).unwrap_err().to_string();
            assert!(error.contains("latency.json") && error.contains("remove it"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
