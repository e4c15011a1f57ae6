//! What can be wrong with a configuration, and where.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A place in a text file, both numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

/// One thing that is wrong, said so that a person can mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigFault {
    /// The file, or the directory where no file is to blame.
    pub file: PathBuf,
    /// Where in the file.
    #[serde(flatten)]
    pub at: Option<Position>,
    /// Key, such as `batching.max_delay_ms`; empty for the file as a whole.
    pub key: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// What to do about it.
    pub fix: String,
}

/// Every fault of one model's configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigFaults(Vec<ConfigFault>);

/// Something that works otherwise than its author may think.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigWarning {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    #[serde(flatten)]
    pub at: Option<Position>,
    /// Key, such as `optimization.cuda.graphs`.
    pub key: String,
    /// What happens instead.
    pub message: String,
}

impl Position {
    /// The place of byte `offset` in `text`.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(super) fn read_text(file: &Path) -> Result<String, ConfigFaults> {
    fs::read_to_string(file).map_err(|error| {
        ConfigFault::of_file(file, format!("'{error}'"), "a readable UTF-8 text file", "mend or remove the file").into()
    })
}

impl ConfigFault {
    /// A fault of a file as a whole.
    pub fn of_file(
        file: impl Into<PathBuf>,
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            at: None,
            key: String::new(),
            found: found.into(),
            expected: expected.into(),
            fix: fix.into(),
        }
    }
}

impl ConfigFaults {
    /// `Ok` where nothing is wrong.
    ///
    /// # Errors
    /// The faults, in the order of the file.
    pub fn none_of(mut faults: Vec<ConfigFault>) -> Result<(), Self> {
        faults.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// The faults, at least one.
    #[must_use]
    pub fn list(&self) -> &[ConfigFault] {
        &self.0
    }

    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "config"
    }
}

impl From<ConfigFault> for ConfigFaults {
    fn from(fault: ConfigFault) -> Self {
        Self(vec![fault])
    }
}

impl std::error::Error for ConfigFaults {}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [fault] = self.0.as_slice() {
            return fault.fmt(f);
        }
        write!(f, "{} faults", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.file, self.at, &self.key)?;
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.file, self.at, &self.key)?;
        f.write_str(&self.message)
    }
}

fn place(f: &mut fmt::Formatter<'_>, file: &std::path::Path, at: Option<Position>, key: &str) -> fmt::Result {
    write!(f, "{}:", file.display())?;
    if let Some(Position { line, column }) = at {
        write!(f, "{line}:{column}:")?;
    }
    if key.is_empty() { f.write_str(" ") } else { write!(f, " {key}: ") }
}

/// Text of a file as messages quote it: one line, not too long.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST && line.len() == text.trim().len() {
        return line.to_owned();
    }
    line.chars().take(LONGEST).chain("...".chars()).collect()
}

/// The one of `known` that `found` was most likely meant to be.
pub(super) fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKE: f64 = 0.8;
    let close = |name: &&str| strsim::jaro_winkler(found, name);
    known
        .into_iter()
        .map(|name| (close(&name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\nä = 2\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        let second = text.find('2').unwrap();
        assert_eq!(Position::of(text, second), Position { line: 2, column: 5 });
        assert_eq!(Position::of(text, 999).line, 3);
    }

    #[test]
    fn the_closest_name_is_offered_only_if_it_is_close() {
        let known = ["max_batch_size", "instances", "strict"];
        assert_eq!(closest("max_batchsize", known), Some("max_batch_size"));
        assert_eq!(closest("instance", known), Some("instances"));
        assert_eq!(closest("colour", known), None);
    }

    #[test]
    fn quotes_are_one_short_line() {
        assert_eq!(quote(" [1, 2] "), "[1, 2]");
        assert_eq!(quote("[\n1]"), "[...");
        assert_eq!(quote(&"x".repeat(99)).len(), 63);
    }
}
