//! One value of the file.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::DeValue;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use takt_backend::provider::{ProviderFault, Scalar};

use super::{Document, Section, one_line};
use crate::repository::fault::{ConfigFault, Position, quote};

/// One value, with the key that holds it.
pub(in crate::repository::toml) struct Entry<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) key: String,
    pub(super) value: Spanned<DeValue<'d>>,
}

/// Where a value stood.
pub(in crate::repository::toml) struct Place<'d> {
    document: &'d Document<'d>,
    key: String,
    span: Range<usize>,
}

impl<'d> Entry<'d> {
    /// Notes that the value is not what was expected.
    pub(in crate::repository::toml) fn refuse(&self, expected: &str, fix: &str) {
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
    pub(in crate::repository::toml) fn refuse_as(&self, found: String, expected: &str, fix: &str) {
        self.document.push(Some(self.value.span()), &self.key, found, expected, fix);
    }

    /// The value, if it is what `read` takes; else a fault.
    fn read<T>(self, expected: &str, fix: &str, read: impl FnOnce(&DeValue<'d>) -> Option<T>) -> Option<T> {
        let value = read(self.value.get_ref());
        if value.is_none() {
            self.refuse(expected, fix);
        }
        value
    }

    pub(in crate::repository::toml) fn is_text(&self) -> bool {
        self.peek_text().is_some()
    }

    /// The text, if it is text.
    pub(in crate::repository::toml) fn peek_text(&self) -> Option<&str> {
        self.value.get_ref().as_str()
    }

    /// Whether it is this text.
    pub(in crate::repository::toml) fn is(&self, text: &str) -> bool {
        self.peek_text() == Some(text)
    }

    pub(in crate::repository::toml) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(in crate::repository::toml) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub(in crate::repository::toml) fn text(self, expected: &str) -> Option<String> {
        self.read(expected, "", |value| value.as_str().map(str::to_owned))
    }

    pub(in crate::repository::toml) fn boolean(self) -> Option<bool> {
        self.read("true or false", "", DeValue::as_bool)
    }

    pub(in crate::repository::toml) fn integer(self, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(&expected, "", |value| {
            integer(value).and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n))
        })
    }

    pub(in crate::repository::toml) fn size(self, range: RangeInclusive<usize>) -> Option<usize> {
        let (start, end) = (*range.start() as u64, *range.end() as u64);
        self.integer(start..=end).and_then(|size| usize::try_from(size).ok())
    }

    /// A number, whole or not, of milliseconds up to `most`.
    pub(in crate::repository::toml) fn milliseconds(self, most: Duration) -> Option<Duration> {
        let expected = format!("a number of milliseconds from 0 to {}, without a unit", most.as_millis());
        self.read(&expected, "write 2 or 0.5 for 2 ms or 500 microseconds", |value| {
            let milliseconds = number(value)?;
            Duration::try_from_secs_f64(milliseconds / 1e3).ok().filter(|duration| *duration <= most)
        })
    }

    /// The items of a list.
    pub(in crate::repository::toml) fn items(self) -> Option<Vec<Entry<'d>>> {
        let Self { document, key, value } = self;
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) => {
                let item = |(i, value)| Entry { document, key: format!("{key}[{i}]"), value };
                Some(array.into_iter().enumerate().map(item).collect())
            }
            other => {
                let value = Spanned::new(span, other);
                Entry { document, key, value }.refuse("a list", "write it in [brackets]");
                None
            }
        }
    }

    pub(in crate::repository::toml) fn table(self) -> Option<Section<'d>> {
        let Self { document, key, value } = self;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let position = Position::of(document.text, span.start);
                document.positions.borrow_mut().entry(key.clone()).or_insert(position);
                Some(Section::new(document, key, table))
            }
            other => {
                let value = Spanned::new(span, other);
                Entry { document, key, value }.refuse("a table", "write it as [table] or { key = value }");
                None
            }
        }
    }

    /// A value with a schema of its own, whose keys are those of the manifest.
    pub(in crate::repository::toml) fn parse<T: DeserializeOwned>(self) -> Option<T> {
        let expected = format!("the {} of a manifest", self.key);
        self.parse_as(&expected)
    }

    /// What a serde type reads, whatever that is called.
    pub(in crate::repository::toml) fn parse_as<T: DeserializeOwned>(self, expected: &str) -> Option<T> {
        let Self { document, key, value } = self;
        let span = value.span();
        document.note_positions(&key, value.get_ref());
        T::deserialize(value.into_deserializer())
            .map_err(|error| {
                let at = error.span().unwrap_or(span);
                document.push(Some(at), &key, one_line(error.message()), expected, "");
            })
            .ok()
    }

    /// A whole number of either sign.
    pub(in crate::repository::toml) fn signed(self, expected: &str) -> Option<i64> {
        self.read(expected, "", integer)
    }

    /// A plain value, as options of providers take it.
    pub(in crate::repository::toml) fn scalar(self) -> Option<Scalar> {
        self.read("text, a number, true or false", "", |value| match value {
            DeValue::String(text) => Some(Scalar::Text(text.to_string())),
            DeValue::Boolean(yes) => Some(Scalar::Bool(*yes)),
            DeValue::Float(_) => number(value).map(Scalar::Float),
            DeValue::Integer(_) => integer(value).map(Scalar::Integer),
            _ => None,
        })
    }

    /// The last part of its key.
    pub(in crate::repository::toml) fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }

    /// Where it stands, for faults that show after it was read.
    pub(in crate::repository::toml) fn place(&self) -> Place<'d> {
        Place { document: self.document, key: self.key.clone(), span: self.value.span() }
    }
}

impl Place<'_> {
    /// Notes what is wrong with a provider; the message has found and expected in it.
    pub(in crate::repository::toml) fn provider_fault(&self, fault: &ProviderFault) {
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

/// Any integer that TOML can hold.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value.as_float() {
        Some(float) => float.as_str().parse().ok(),
        #[expect(clippy::cast_precision_loss, reason = "bounds far below 2^52 are applied to the result")]
        None => integer(value).map(|n| n as f64),
    }
}
