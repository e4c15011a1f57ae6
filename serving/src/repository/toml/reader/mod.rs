//! Reads tables key by key, so that every fault of a file is found at once, each with its place.

mod entry;
mod section;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use ::toml::de::{DeTable, DeValue};

pub(super) use self::entry::Entry;
pub(super) use self::section::Section;
use crate::repository::fault::{ConfigFault, Position};

/// A file that is being read.
pub(super) struct Document<'d> {
    file: &'d Path,
    text: &'d str,
    faults: RefCell<Vec<ConfigFault>>,
    positions: RefCell<BTreeMap<String, Position>>,
}

impl<'d> Document<'d> {
    pub(super) fn new(file: &'d Path, text: &'d str) -> Self {
        Self { file, text, faults: RefCell::default(), positions: RefCell::default() }
    }

    /// The table at the top; `None` where the syntax is broken, as what follows a broken line means little.
    pub(super) fn top(&'d self) -> Option<Section<'d>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let found = format!("a fault of syntax ({})", one_line(error.message()));
            self.push(error.span(), "", found, "TOML (toml.io)", "correct the line");
        }
        errors.is_empty().then(|| Section::new(self, String::new(), table.into_inner()))
    }

    pub(super) fn into_parts(self) -> (Vec<ConfigFault>, BTreeMap<String, Position>) {
        (self.faults.into_inner(), self.positions.into_inner())
    }

    /// Notes where a key stands.
    fn note(&self, path: String, start: usize) {
        self.positions.borrow_mut().insert(path, Position::of(self.text, start));
    }

    /// Notes where the keys within a value stand.
    fn note_positions(&self, path: &str, value: &DeValue<'_>) {
        let within = match value {
            DeValue::Table(table) => table
                .iter()
                .map(|(key, value)| (format!("{path}.{key}", key = key.get_ref()), key.span(), value))
                .collect::<Vec<_>>(),
            DeValue::Array(array) => {
                array.iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value.span(), value)).collect()
            }
            _ => return,
        };
        for (path, span, value) in within {
            self.note_positions(&path, value.get_ref());
            self.positions.borrow_mut().insert(path, Position::of(self.text, span.start));
        }
    }

    fn push(&self, at: Option<Range<usize>>, key: &str, found: String, expected: &str, fix: impl Into<String>) {
        self.faults.borrow_mut().push(ConfigFault {
            at: at.map(|span| Position::of(self.text, span.start)),
            key: key.to_owned(),
            ..ConfigFault::of_file(self.file, found, expected, fix)
        });
    }
}

/// What a parser says, without its line breaks.
fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}
