//! Reads tables key by key, so that every fault of a file is found at once, each with its place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use serde::de::{DeserializeOwned, IntoDeserializer as _};

use takt_backend::provider::{ProviderFault, Scalar};

use crate::repository::fault::{ConfigFault, Position, closest, quote};

/// A file that is being read.
pub(super) struct Document<'d> {
    file: &'d Path,
    text: &'d str,
    faults: RefCell<Vec<ConfigFault>>,
    positions: RefCell<BTreeMap<String, Position>>,
}

/// One table of it. Keys are taken out; those left at the end are unknown.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    /// Keys from the top of the file, such as `batching`; empty at the top.
    path: String,
    entries: BTreeMap<String, (Range<usize>, Spanned<DeValue<'d>>)>,
    known: Vec<&'static str>,
}

/// One value, with the key that holds it.
pub(super) struct Entry<'d> {
    document: &'d Document<'d>,
    pub key: String,
    value: Spanned<DeValue<'d>>,
}

impl<'d> Document<'d> {
    pub(super) fn new(file: &'d Path, text: &'d str) -> Self {
        Self {
            file,
            text,
            faults: RefCell::default(),
            positions: RefCell::default(),
        }
    }

    /// The table at the top; `None` where the syntax is broken, as what follows a broken line means little.
    pub(super) fn top(&'d self) -> Option<Section<'d>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let found = format!("a fault of syntax ({})", one_line(error.message()));
            self.push(
                error.span(),
                "",
                found,
                "TOML (toml.io)",
                "correct the line",
            );
        }
        errors
            .is_empty()
            .then(|| Section::new(self, String::new(), table.into_inner()))
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
                .map(|(key, value)| {
                    (
                        format!("{path}.{key}", key = key.get_ref()),
                        key.span(),
                        value,
                    )
                })
                .collect::<Vec<_>>(),
            DeValue::Array(array) => array
                .iter()
                .enumerate()
                .map(|(i, value)| (format!("{path}[{i}]"), value.span(), value))
                .collect(),
            _ => return,
        };
        for (path, span, value) in within {
            self.note_positions(&path, value.get_ref());
            self.positions
                .borrow_mut()
                .insert(path, Position::of(self.text, span.start));
        }
    }

    fn push(
        &self,
        at: Option<Range<usize>>,
        key: &str,
        found: String,
        expected: &str,
        fix: impl Into<String>,
    ) {
        self.faults.borrow_mut().push(ConfigFault {
            at: at.map(|span| Position::of(self.text, span.start)),
            key: key.to_owned(),
            ..ConfigFault::of_file(self.file, found, expected, fix)
        });
    }
}

impl<'d> Section<'d> {
    fn new(document: &'d Document<'d>, path: String, table: DeTable<'d>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let span = key.span();
            (key.into_inner().into_owned(), (span, value))
        });
        Self {
            document,
            path,
            entries: entries.collect(),
            known: Vec::new(),
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.known.push(key);
        let (span, value) = self.entries.remove(key)?;
        let path = self.join(key);
        self.document.note(path.clone(), span.start);
        Some(Entry {
            document: self.document,
            key: path,
            value,
        })
    }

    /// The table of a key; an empty one if it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'d> {
        let table = self.take(key).and_then(Entry::table);
        table.unwrap_or_else(|| Section::new(self.document, self.join(key), DeTable::default()))
    }

    /// The tables of a key whose value is a list of tables.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'d>> {
        let items = self.take(key).and_then(Entry::items).unwrap_or_default();
        items.into_iter().filter_map(Entry::table).collect()
    }

    /// Whatever keys are left, in the order of the alphabet.
    pub(super) fn rest(&mut self) -> Vec<Entry<'d>> {
        let entries = std::mem::take(&mut self.entries);
        let entry = |(key, (span, value)): (String, (Range<usize>, _))| {
            let path = self.join(&key);
            self.document.note(path.clone(), span.start);
            Entry {
                document: self.document,
                key: path,
                value,
            }
        };
        entries.into_iter().map(entry).collect()
    }

    /// A fault of what the whole table lacks or says.
    pub(super) fn fault(&self, key: &str, found: &str, expected: &str, fix: &str) {
        let path = self.join(key);
        let positions = self.document.positions.borrow();
        let at = positions
            .get(&path)
            .or_else(|| positions.get(&self.path))
            .copied();
        self.document.faults.borrow_mut().push(ConfigFault {
            at,
            key: path,
            ..ConfigFault::of_file(self.document.file, found, expected, fix)
        });
    }

    /// Notes every key that nothing asked for.
    pub(super) fn finish(self) {
        let place = if self.path.is_empty() {
            "at the top".to_owned()
        } else {
            format!("in [{}]", self.path)
        };
        for (key, (span, _)) in &self.entries {
            let fix = match closest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => "remove it, or move it to the table it belongs to".to_owned(),
            };
            let expected = format!("{place} one of {}", self.known.join(", "));
            let found = format!("the unknown key '{key}'");
            self.document
                .push(Some(span.clone()), &self.join(key), found, &expected, fix);
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

impl<'d> Entry<'d> {
    /// Notes that the value is not what was expected.
    pub(super) fn refuse(&self, expected: &str, fix: &str) {
        let span = self.value.span();
        let found = quote(self.document.text.get(span.clone()).unwrap_or_default());
        let found = match self.value.get_ref() {
            DeValue::Table(_) => "a table".to_owned(),
            _ if found.is_empty() => format!("an empty {}", self.value.get_ref().type_str()),
            _ => found,
        };
        self.refuse_as(found, expected, fix);
    }

    /// Notes what is wrong with what the value stands for.
    pub(super) fn refuse_as(&self, found: String, expected: &str, fix: &str) {
        self.document
            .push(Some(self.value.span()), &self.key, found, expected, fix);
    }

    /// The value, if it is what `read` takes; else a fault.
    fn read<T>(
        self,
        expected: &str,
        fix: &str,
        read: impl FnOnce(&DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.value.get_ref());
        if value.is_none() {
            self.refuse(expected, fix);
        }
        value
    }

    pub(super) fn is_text(&self) -> bool {
        self.peek_text().is_some()
    }

    /// The text, if it is text.
    pub(super) fn peek_text(&self) -> Option<&str> {
        self.value.get_ref().as_str()
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.peek_text() == Some(text)
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub(super) fn text(self, expected: &str) -> Option<String> {
        self.read(expected, "", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn boolean(self) -> Option<bool> {
        self.read("true or false", "", DeValue::as_bool)
    }

    pub(super) fn integer(self, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(&expected, "", |value| {
            integer(value)
                .and_then(|n| u64::try_from(n).ok())
                .filter(|n| range.contains(n))
        })
    }

    pub(super) fn size(self, range: RangeInclusive<usize>) -> Option<usize> {
        let (start, end) = (*range.start() as u64, *range.end() as u64);
        self.integer(start..=end)
            .and_then(|size| usize::try_from(size).ok())
    }

    /// A number, whole or not, of milliseconds up to `most`.
    pub(super) fn milliseconds(self, most: Duration) -> Option<Duration> {
        let expected = format!(
            "a number of milliseconds from 0 to {}, without a unit",
            most.as_millis()
        );
        self.read(
            &expected,
            "write 2 or 0.5 for 2 ms or 500 microseconds",
            |value| {
                let milliseconds = number(value)?;
                Duration::try_from_secs_f64(milliseconds / 1e3)
                    .ok()
                    .filter(|duration| *duration <= most)
            },
        )
    }

    /// The items of a list.
    pub(super) fn items(self) -> Option<Vec<Entry<'d>>> {
        let Self {
            document,
            key,
            value,
        } = self;
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) => {
                let item = |(i, value)| Entry {
                    document,
                    key: format!("{key}[{i}]"),
                    value,
                };
                Some(array.into_iter().enumerate().map(item).collect())
            }
            other => {
                let value = Spanned::new(span, other);
                Entry {
                    document,
                    key,
                    value,
                }
                .refuse("a list", "write it in [brackets]");
                None
            }
        }
    }

    pub(super) fn table(self) -> Option<Section<'d>> {
        let Self {
            document,
            key,
            value,
        } = self;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let position = Position::of(document.text, span.start);
                document
                    .positions
                    .borrow_mut()
                    .entry(key.clone())
                    .or_insert(position);
                Some(Section::new(document, key, table))
            }
            other => {
                let value = Spanned::new(span, other);
                Entry {
                    document,
                    key,
                    value,
                }
                .refuse("a table", "write it as [table] or { key = value }");
                None
            }
        }
    }

    /// A value with a schema of its own, whose keys are those of the manifest.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Option<T> {
        let Self {
            document,
            key,
            value,
        } = self;
        let span = value.span();
        document.note_positions(&key, value.get_ref());
        T::deserialize(value.into_deserializer())
            .map_err(|error| {
                let at = error.span().unwrap_or(span);
                let expected = format!("the {key} of a manifest");
                document.push(Some(at), &key, one_line(error.message()), &expected, "");
            })
            .ok()
    }
}

/// Any integer that TOML can hold.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value.as_float() {
        Some(float) => float.as_str().parse().ok(),
        #[expect(
            clippy::cast_precision_loss,
            reason = "bounds far below 2^52 are applied to the result"
        )]
        None => integer(value).map(|n| n as f64),
    }
}

/// What a parser says, without its line breaks.
fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

impl<'d> Entry<'d> {
    /// A whole number of either sign.
    pub(super) fn signed(self, expected: &str) -> Option<i64> {
        self.read(expected, "", integer)
    }

    /// A plain value, as options of providers take it.
    pub(super) fn scalar(self) -> Option<Scalar> {
        self.read("text, a number, true or false", "", |value| match value {
            DeValue::String(text) => Some(Scalar::Text(text.to_string())),
            DeValue::Boolean(yes) => Some(Scalar::Bool(*yes)),
            DeValue::Float(_) => number(value).map(Scalar::Float),
            DeValue::Integer(_) => integer(value).map(Scalar::Integer),
            _ => None,
        })
    }

    /// The last part of its key.
    pub(super) fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }

    /// Where it stands, for faults that show after it was read.
    pub(super) fn place(&self) -> Place<'d> {
        Place {
            document: self.document,
            key: self.key.clone(),
            span: self.value.span(),
        }
    }
}

/// Where a value stood.
pub(super) struct Place<'d> {
    document: &'d Document<'d>,
    key: String,
    span: Range<usize>,
}

impl Place<'_> {
    /// Notes what is wrong with a provider; the message has found and expected in it.
    pub(super) fn provider_fault(&self, fault: &ProviderFault) {
        let key = fault.option.as_ref().map_or_else(|| self.key.clone(), |option| format!("{}.{option}", self.key));
        let at = self.document.positions.borrow().get(&key).copied();
        self.document.faults.borrow_mut().push(ConfigFault {
            at: at.or(Some(Position::of(self.document.text, self.span.start))),
            key,
            ..ConfigFault::of_file(
                self.document.file,
                format!("{} ({})", fault.provider, fault.problem),
                "a provider of ONNX Runtime with options it has",
                "",
            )
        });
    }
}
