//! What a check found, for people and for programs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::repository::fault::{ConfigFault, ConfigWarning};
use crate::repository::scan::Ignored;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The repository.
    pub root: PathBuf,
    /// Its models, by name.
    pub models: Vec<ModelReport>,
    /// What in it is no model.
    pub ignored: Vec<Ignored>,
    /// Predicted resident memory of all versions that the policies want, and of the runtime.
    pub resident_bytes: u64,
}

/// What was found of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// What keeps it, or one of its versions, from being served.
    pub faults: Vec<ConfigFault>,
    /// What works otherwise than somebody may think.
    pub warnings: Vec<ConfigWarning>,
    /// Its versions, ascending.
    pub versions: Vec<VersionReport>,
    /// What in its folder is no version.
    pub ignored: Vec<Ignored>,
}

/// What was found of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionReport {
    /// Its number.
    pub number: u64,
    /// Whether the version policy wants it; absent where the configuration cannot be read.
    pub wanted: Option<bool>,
    /// Which version it is.
    pub digest: Option<String>,
    /// The variant that this machine would serve.
    pub variant: Option<String>,
    /// Predicted resident memory; absent where the size of an input is free.
    pub resident_bytes: Option<u64>,
}

impl CheckReport {
    /// Whether every version of every model can be served.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.models.iter().all(|model| model.faults.is_empty())
    }

    /// Number of faults.
    #[must_use]
    pub fn fault_count(&self) -> usize {
        self.models.iter().map(|model| model.faults.len()).sum()
    }
}

impl ModelReport {
    /// Says what holds for several versions once.
    pub(super) fn tidy(&mut self) {
        let mut seen = BTreeSet::new();
        self.faults.retain(|fault| seen.insert(fault.to_string()));
        let mut seen = BTreeSet::new();
        self.warnings.retain(|warning| seen.insert(warning.to_string()));
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.models.iter().try_for_each(|model| model.fmt(f))?;
        for Ignored { path, reason } in &self.ignored {
            writeln!(f, "ignored {}: {reason}", path.display())?;
        }
        let (models, faults) = (self.models.len(), self.fault_count());
        let warnings: usize = self.models.iter().map(|model| model.warnings.len()).sum();
        write!(
            f,
            "{}, {}, {}; about {} resident",
            count(models, "model"),
            count(faults, "fault"),
            count(warnings, "warning"),
            Mebibytes(self.resident_bytes),
        )
    }
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.faults.is_empty() { "ok".to_owned() } else { count(self.faults.len(), "fault") };
        writeln!(f, "{}: {verdict}", self.name)?;
        self.versions.iter().try_for_each(|version| writeln!(f, "  {version}"))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  fault: {fault}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  warning: {warning}"))?;
        for Ignored { path, reason } in &self.ignored {
            writeln!(f, "  ignored {}: {reason}", path.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for VersionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.number)?;
        if let Some(digest) = &self.digest {
            write!(f, ", {}", digest.get(..12).unwrap_or(digest))?;
        }
        if let Some(variant) = &self.variant {
            write!(f, ", variant {variant}")?;
        }
        if let Some(bytes) = self.resident_bytes {
            write!(f, ", about {} resident", Mebibytes(bytes))?;
        }
        if self.wanted == Some(false) { f.write_str(", not wanted by the version policy") } else { Ok(()) }
    }
}

struct Mebibytes(u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0.div_ceil(1 << 20))
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
