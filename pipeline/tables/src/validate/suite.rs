//! A suite as a file: TOML, read with everything that is wrong named at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use takt_artifact::Fault;
use takt_artifact::fault::{Listed, closest};

use super::keys::{Keys, shown};
use super::parse::{OWN_RULES, RULES};
use super::rule::{Rule, Severity};

/// Rules that a table is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    pub(super) rules: Vec<Rule>,
}

/// Why a suite cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML.
    #[error("{} is no TOML: {source}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Rules that make no sense; all of them.
    #[error("{}: {}", path.display(), Listed(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// What is wrong; never empty.
        faults: Vec<Fault>,
    },
}

impl SuiteError {
    /// Stable label of the kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Form { .. } => "form",
            Self::Faults { .. } => "faults",
        }
    }
}

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, or all faults of its rules.
    pub fn read(path: &Path) -> Result<Self, SuiteError> {
        let text = fs::read_to_string(path).map_err(|source| SuiteError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Understands the text of a suite; `path` is for messages, and its stem the name where the suite gives none.
    ///
    /// # Errors
    /// It is no TOML, or all faults of its rules.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SuiteError> {
        let mut table: toml::Table =
            text.parse().map_err(|source| SuiteError::Form { path: path.to_owned(), source: Box::new(source) })?;
        let mut faults = Vec::new();
        let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = match table.remove("name") {
            None => stem(),
            Some(toml::Value::String(name)) => name,
            Some(other) => {
                faults.push(Fault::new("name", shown(&other), "a string", "quote it"));
                stem()
            }
        };
        let entries = match table.remove("rule") {
            Some(toml::Value::Array(entries)) if !entries.is_empty() => entries,
            other => {
                let found = other.map_or_else(|| "nothing".to_owned(), |other| shown(&other));
                faults.push(Fault::new("rule", found, "one [[rule]] or more", "add [[rule]] with expect = \"...\""));
                Vec::new()
            }
        };
        for key in table.keys() {
            faults.push(Fault::new(key, "a key that is not known", "name and [[rule]]", "remove it"));
        }
        let mut rules = Vec::with_capacity(entries.len());
        for (number, entry) in (1..).zip(entries) {
            match rule(number, entry) {
                Ok(rule) => rules.push(rule),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() {
            Ok(Self { name, rules })
        } else {
            Err(SuiteError::Faults { path: path.to_owned(), faults })
        }
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rule. Suites that were read have one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Columns that rules name; some more than once.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| rule.expect.columns())
    }

    /// Names of all rules there are.
    pub fn known_rules() -> impl Iterator<Item = &'static str> + Clone {
        RULES.iter().chain(&OWN_RULES).map(|(name, _)| *name)
    }
}

/// One `[[rule]]`.
fn rule(number: usize, entry: toml::Value) -> Result<Rule, Vec<Fault>> {
    let place = format!("rule {number}");
    let mut table = match entry {
        toml::Value::Table(table) => table,
        other => return Err(vec![Fault::new(place, shown(&other), "a table", "write [[rule]]")]),
    };
    let found = match table.remove("expect") {
        Some(toml::Value::String(found)) => found,
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), |other| shown(&other));
            return Err(vec![Fault::new(format!("{place}: expect"), found, "the name of a rule", "add it")]);
        }
    };
    // Whoever copies a rule from Great Expectations copies its whole name.
    let plain = found.strip_prefix("expect_").unwrap_or(&found);
    let Some((name, read)) = RULES.iter().chain(&OWN_RULES).find(|(name, _)| *name == plain) else {
        let fix = match closest(plain, Suite::known_rules()) {
            Some(name) => format!("did you mean '{name}'?"),
            None => format!("take one of {}", Suite::known_rules().collect::<Vec<_>>().join(", ")),
        };
        return Err(vec![Fault::new(format!("{place}: expect"), format!("'{found}'"), "the name of a rule", fix)]);
    };
    let mut keys = Keys::new(format!("{place} ({name})"), table);
    let severity = keys.optional("severity", "error or warning", |value| match value.as_str()? {
        "error" => Some(Severity::Error),
        "warning" => Some(Severity::Warning),
        _ => None,
    });
    let arguments = keys.arguments();
    let expect = read(&mut keys);
    let faults = keys.finish();
    match expect {
        Some(expect) if faults.is_empty() => {
            Ok(Rule { name, expect, severity: severity.unwrap_or_default(), arguments })
        }
        _ => Err(faults),
    }
}
