//! One table of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::{Document, Entry};
use crate::repository::fault::{ConfigFault, closest};

/// One table of it. Keys are taken out; those left at the end are unknown.
pub(in crate::repository::toml) struct Section<'d> {
    document: &'d Document<'d>,
    /// Keys from the top of the file, such as `batching`; empty at the top.
    path: String,
    entries: BTreeMap<String, (Range<usize>, Spanned<DeValue<'d>>)>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(super) fn new(document: &'d Document<'d>, path: String, table: DeTable<'d>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let span = key.span();
            (key.into_inner().into_owned(), (span, value))
        });
        Self { document, path, entries: entries.collect(), known: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(in crate::repository::toml) fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.known.push(key);
        let (span, value) = self.entries.remove(key)?;
        let path = self.join(key);
        self.document.note(path.clone(), span.start);
        Some(Entry { document: self.document, key: path, value })
    }

    /// The table of a key; an empty one if it is not there.
    pub(in crate::repository::toml) fn section(&mut self, key: &'static str) -> Section<'d> {
        let table = self.take(key).and_then(Entry::table);
        table.unwrap_or_else(|| Section::new(self.document, self.join(key), DeTable::default()))
    }

    /// The tables of a key whose value is a list of tables.
    pub(in crate::repository::toml) fn sections(&mut self, key: &'static str) -> Vec<Section<'d>> {
        let items = self.take(key).and_then(Entry::items).unwrap_or_default();
        items.into_iter().filter_map(Entry::table).collect()
    }

    /// Whatever keys are left, in the order of the alphabet.
    pub(in crate::repository::toml) fn rest(&mut self) -> Vec<Entry<'d>> {
        let entries = std::mem::take(&mut self.entries);
        let entry = |(key, (span, value)): (String, (Range<usize>, _))| {
            let path = self.join(&key);
            self.document.note(path.clone(), span.start);
            Entry { document: self.document, key: path, value }
        };
        entries.into_iter().map(entry).collect()
    }

    /// A fault of what the whole table lacks or says.
    pub(in crate::repository::toml) fn fault(&self, key: &str, found: &str, expected: &str, fix: &str) {
        let path = self.join(key);
        let positions = self.document.positions.borrow();
        let at = positions.get(&path).or_else(|| positions.get(&self.path)).copied();
        self.document.faults.borrow_mut().push(ConfigFault {
            at,
            key: path,
            ..ConfigFault::of_file(self.document.file, found, expected, fix)
        });
    }

    /// Notes every key that nothing asked for.
    pub(in crate::repository::toml) fn finish(self) {
        let place = if self.path.is_empty() { "at the top".to_owned() } else { format!("in [{}]", self.path) };
        for (key, (span, _)) in &self.entries {
            let fix = match closest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => "remove it, or move it to the table it belongs to".to_owned(),
            };
            let expected = format!("{place} one of {}", self.known.join(", "));
            let found = format!("the unknown key '{key}'");
            self.document.push(Some(span.clone()), &self.join(key), found, &expected, fix);
        }
    }

    fn join(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}
