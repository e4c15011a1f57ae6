//! How the state directory names a version and a moment.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of a model. The digest alone decides whether two are the same; model and number are for people and for
/// finding the model's other versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionId {
    /// Model name, as its directory is called.
    pub model: String,
    /// Version number, as its directory is called.
    pub version: u64,
    /// Digest of the version, lower-case hex.
    pub digest: String,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.digest.get(..12).unwrap_or(&self.digest);
        write!(f, "{}/{} ({short})", self.model, self.version)
    }
}
