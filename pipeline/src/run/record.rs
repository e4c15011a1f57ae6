//! `result.json`: what a result is made of. Written last, so that a result with a record is complete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use takt_artifact::manifest::FileDigest;

use super::key::Key;
use super::walk::{Hidden, WalkError, files};

/// Name of the file.
pub(super) const RECORD: &str = "result.json";
/// What it is called until it is whole.
pub(super) const PART: &str = "result.json.part";
const SCHEMA: u32 = 1;

/// A complete result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// Name of the stage.
    pub stage: String,
    /// What the stage does.
    pub kind: String,
    /// Which result it is.
    pub key: Key,
    /// Settings of the stage.
    pub identity: Value,
    /// Results it was made from.
    pub inputs: Vec<InputRecord>,
    /// What it was made from besides.
    pub sources: Vec<SourceRecord>,
    /// Figures for the summary.
    pub figures: Vec<(String, Value)>,
    /// Why a gate said no, if it did.
    pub refused: Option<String>,
    /// When the run that completed it began, in milliseconds since 1970 in UTC.
    pub started_unix_ms: u64,
    /// How long that run took; the runs that were interrupted before it are not counted.
    pub seconds: f64,
    /// sha256 over names and digests of the files but logs ([`Stage::is_log`](super::Stage::is_log)): equal for results that hold
    /// the same.
    pub digest: String,
    /// Size and sha256 of each file, by its path with '/'.
    pub files: BTreeMap<String, FileDigest>,
}

/// A result that another was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The stage.
    pub stage: String,
    /// Its key.
    pub key: Key,
    /// What it held, see [`Record::digest`].
    pub digest: String,
}

/// A file or folder from outside that a result was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Where it was.
    pub path: PathBuf,
    /// sha256 of the file, or over names and digests of the folder's files.
    pub digest: String,
}

/// A folder that is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no result of a stage: {reason}; run the pipeline that makes it", folder.display())]
pub struct RecordError {
    /// The folder.
    pub folder: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// What lies in a folder of a result.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Whole(Box<Record>),
    /// Something, but no result; why.
    Damaged(String),
}

/// What a stage's run gives before its files are looked at.
pub(super) struct Made {
    pub(super) stage: String,
    pub(super) kind: String,
    pub(super) key: Key,
    pub(super) identity: Value,
    pub(super) inputs: Vec<InputRecord>,
    pub(super) sources: Vec<SourceRecord>,
    pub(super) figures: Vec<(String, Value)>,
    pub(super) refused: Option<String>,
    pub(super) started_unix_ms: u64,
    pub(super) seconds: f64,
}

impl Made {
    /// Adds the digests of the files in `folder`. Those for which `is_log` holds are no part of the result's own digest.
    pub(super) fn seal(self, folder: &Path, is_log: &dyn Fn(&str) -> bool) -> Result<Record, WalkError> {
        let mut digests = BTreeMap::new();
        let mut listing = String::new();
        for file in files(folder, Hidden::Counts)? {
            if file.name == RECORD {
                let source = io::Error::other("the stage wrote a file of this name, which belongs to the runner");
                return Err(WalkError { path: file.path, source });
            }
            let digest = File::open(&file.path).and_then(FileDigest::of_reader).map_err(WalkError::at(&file.path))?;
            if !is_log(&file.name) {
                listing.push_str(&format!("{} {:?}\n", digest.sha256, file.name));
            }
            digests.insert(file.name, digest);
        }
        let Self { stage, kind, key, identity, inputs, sources, figures, refused, started_unix_ms, seconds } = self;
        let digest = FileDigest::of_bytes(listing.as_bytes()).sha256;
        Ok(Record {
            schema: SCHEMA,
            stage,
            kind,
            key,
            identity,
            inputs,
            sources,
            figures,
            refused,
            started_unix_ms,
            seconds,
            digest,
            files: digests,
        })
    }
}

impl Record {
    /// The record of the result in `folder`, as a stage finds it in the folders of its inputs.
    ///
    /// # Errors
    /// There is none, or one that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        Self::parse(folder).map_err(|reason| RecordError { folder: folder.to_owned(), reason })
    }

    fn parse(folder: &Path) -> Result<Self, String> {
        let bytes = fs::read(folder.join(RECORD)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{RECORD} is missing"),
            _ => format!("{RECORD}: {error}"),
        })?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| format!("{RECORD}: {error}"))?;
        if record.schema != SCHEMA {
            return Err(format!("{RECORD} has schema {}, expected {SCHEMA}", record.schema));
        }
        Ok(record)
    }

    /// Looks for the result of `key` in `folder`. Files are compared by size only: reading gigabytes at every run would
    /// cost more than it finds.
    pub(super) fn find(folder: &Path, key: &Key) -> Found {
        if !folder.exists() {
            return Found::Nothing;
        }
        let record = match Self::parse(folder) {
            Ok(record) => record,
            Err(reason) => return Found::Damaged(reason),
        };
        if record.key != *key {
            return Found::Damaged(format!("it belongs to key {}", record.key.short()));
        }
        match record.damage(folder) {
            Some(reason) => Found::Damaged(reason),
            None => Found::Whole(Box::new(record)),
        }
    }

    /// The first file that is not as it was.
    pub(super) fn damage(&self, folder: &Path) -> Option<String> {
        self.files.iter().find_map(|(name, digest)| match fs::metadata(folder.join(name)) {
            Ok(metadata) if metadata.len() == digest.bytes => None,
            Ok(metadata) => Some(format!("'{name}' has {} bytes, expected {}", metadata.len(), digest.bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("'{name}' is missing")),
            Err(error) => Some(format!("'{name}': {error}")),
        })
    }
}
