//! What can be wrong with a document of ours, said so that a person can mend it, and the one way such a document is
//! read: schema number first, then its form, then its meaning.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Path to the key, such as `variants[1].file`.
    pub path: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// What to do about it.
    pub fix: String,
}

impl Fault {
    /// A fault at `path`.
    pub fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), found: found.into(), expected: expected.into(), fix: fix.into() }
    }

    /// The same fault, for a part of a document that itself lies at `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.path = format!("{parent}.{}", self.path);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, found, expected, fix } = self;
        write!(f, "{path}: found {found}, expected {expected}; {fix}")
    }
}

/// Why a document was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Its schema is newer than this code.
    #[error(
        "{document}: written by a newer Takt: schema {found}, this reads up to {known}; update Takt on this machine"
    )]
    Newer {
        /// File name or kind of the document.
        document: &'static str,
        /// Its schema number.
        found: u64,
        /// The newest schema this code reads.
        known: u32,
    },
    /// It does not say which schema it follows.
    #[error(
        "{document}: schema: found {found}, expected a whole number from 1 to {known}; write it with `takt package` or add \"schema\": {known}"
    )]
    NoSchema {
        /// File name or kind of the document.
        document: &'static str,
        /// What stands in place of the number.
        found: String,
        /// The newest schema this code reads.
        known: u32,
    },
    /// It is not JSON, or a key is missing, unknown or of another type.
    #[error("{document}: {path}: {message}")]
    Form {
        /// File name or kind of the document.
        document: &'static str,
        /// Path to the key; `.` for the document itself.
        path: String,
        /// What was found and expected, with line and column.
        message: String,
    },
    /// It has the right form and does not make sense.
    #[error("{document}: {}", Listed(faults))]
    Faults {
        /// File name or kind of the document.
        document: &'static str,
        /// Everything that is wrong; never empty.
        faults: Vec<Fault>,
    },
}

impl DocumentError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "newer_schema",
            Self::NoSchema { .. } => "no_schema",
            Self::Form { .. } => "form",
            Self::Faults { .. } => "faults",
        }
    }

    /// What is wrong with the document's meaning; empty where it was not understood at all.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Faults { faults, .. } => faults,
            _ => &[],
        }
    }
}

/// A document whose meaning can be checked.
pub trait Document: DeserializeOwned {
    /// How messages call it, such as `manifest.json`.
    const NAME: &'static str;
    /// The newest schema this code reads.
    const SCHEMA: u32;

    /// Everything about it that does not make sense.
    fn faults(&self) -> Vec<Fault>;
}

/// Reads a JSON document.
///
/// # Errors
/// A newer or missing schema, then the first fault of form, then all faults of meaning together.
pub fn read<T: Document>(bytes: &[u8]) -> Result<T, DocumentError> {
    check_schema::<T>(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let document: T = serde_path_to_error::deserialize(&mut json).map_err(|error| DocumentError::Form {
        document: T::NAME,
        path: error.path().to_string(),
        message: error.inner().to_string(),
    })?;
    json.end().map_err(|error| form::<T>(&error))?;
    sound(&document)?;
    Ok(document)
}

/// Writes a document as pretty JSON in the order of its fields, with a newline at the end.
///
/// # Errors
/// Its faults: what is written can be read.
pub fn write<T: Document + Serialize>(document: &T) -> Result<Vec<u8>, DocumentError> {
    write_with(document, serde_json::to_vec_pretty)
}

/// The same on one line, for JSON lines and for documents that are mostly numbers.
///
/// # Errors
/// Its faults: what is written can be read.
pub fn write_line<T: Document + Serialize>(document: &T) -> Result<Vec<u8>, DocumentError> {
    write_with(document, serde_json::to_vec)
}

fn write_with<T: Document>(
    document: &T,
    to_vec: fn(&T) -> serde_json::Result<Vec<u8>>,
) -> Result<Vec<u8>, DocumentError> {
    sound(document)?;
    let mut bytes = to_vec(document).map_err(|error| form::<T>(&error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn sound<T: Document>(document: &T) -> Result<(), DocumentError> {
    match document.faults() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(DocumentError::Faults { document: T::NAME, faults }),
    }
}

/// The schema is looked at before anything else, so that a newer document is called newer, not malformed.
fn check_schema<T: Document>(bytes: &[u8]) -> Result<(), DocumentError> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(default)]
        schema: serde_json::Value,
    }
    let Header { schema } = serde_json::from_slice(bytes).map_err(|error| form::<T>(&error))?;
    match schema.as_u64() {
        Some(found) if found > u64::from(T::SCHEMA) => {
            Err(DocumentError::Newer { document: T::NAME, found, known: T::SCHEMA })
        }
        Some(found) if found >= 1 => Ok(()),
        _ => Err(DocumentError::NoSchema {
            document: T::NAME,
            found: if schema.is_null() { "nothing".to_owned() } else { schema.to_string() },
            known: T::SCHEMA,
        }),
    }
}

fn form<T: Document>(error: &serde_json::Error) -> DocumentError {
    DocumentError::Form { document: T::NAME, path: ".".to_owned(), message: error.to_string() }
}

/// Text for a list of choices: `'a', 'b'`; `nothing` when there are none.
pub(crate) fn choices<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("'{name}'")).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        1..=12 => names.join(", "),
        n => format!("{}, ... ({n} in all)", names[..12].join(", ")),
    }
}

/// The one of `known` that `found` was most likely meant to be; nothing where none is like it.
pub fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity below which two names have nothing to do with each other.
    const LIKE: f64 = 0.8;
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(found, name), name));
    scored.filter(|(score, _)| *score >= LIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// Faults as a message shows them: one on its line, more below their number.
#[derive(Debug)]
pub struct Listed<'a>(pub &'a [Fault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [fault] = self.0 {
            return fault.fmt(f);
        }
        write!(f, "{} faults", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_offered_only_if_it_is_close() {
        assert_eq!(closest("trian", ["train", "data"]), Some("train"));
        assert_eq!(closest("package", ["train", "data"]), None);
    }
}
