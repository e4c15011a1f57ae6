//! The keys of one rule, taken one by one, with everything that is wrong with them.

use serde_json::{Map, Value as Json};
use takt_artifact::Fault;
use takt_artifact::fault::closest;

use super::rule::Limits;
use super::value::Value;

/// What is left of a rule's table. Keys that nobody takes are faults.
pub(super) struct Keys {
    /// Such as `rule 3 (column_to_exist)`.
    place: String,
    table: toml::Table,
    /// Keys that were asked for.
    known: Vec<&'static str>,
    pub(super) faults: Vec<Fault>,
}

impl Keys {
    pub(super) fn new(place: String, table: toml::Table) -> Self {
        Self { place, table, known: Vec::new(), faults: Vec::new() }
    }

    /// What is there now, as JSON.
    pub(super) fn arguments(&self) -> Map<String, Json> {
        self.table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
    }

    pub(super) fn at(&self, key: &str) -> String {
        format!("{}: {key}", self.place)
    }

    pub(super) fn fault(&mut self, key: &str, found: impl Into<String>, expected: &str, fix: &str) {
        self.faults.push(Fault::new(self.at(key), found, expected, fix));
    }

    fn take(&mut self, key: &'static str) -> Option<toml::Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// The key, if it is there and `convert` takes it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl Fn(&toml::Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            self.fault(key, shown(&value), expected, "correct it");
        }
        converted
    }

    /// The key, which must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl Fn(&toml::Value) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            // A key that is misspelt is one fault, not two.
            let meant = self.table.keys().find(|found| closest(found, [key]).is_some()).cloned();
            match meant {
                Some(meant) => {
                    self.table.remove(&meant);
                    self.faults.push(Fault::new(self.at(&meant), "a key that is not known", key, "rename it"));
                }
                None => self.fault(key, "nothing", expected, "add it"),
            }
            return None;
        }
        self.optional(key, expected, convert)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.required(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        self.optional(key, "true or false", toml::Value::as_bool).unwrap_or(false)
    }

    pub(super) fn count(&mut self, key: &'static str) -> Option<usize> {
        self.required(key, "a whole number, 0 or more", |value| usize::try_from(value.as_integer()?).ok())
    }

    /// A list of strings that is not empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.required(key, "a list of strings", |value| {
            let list = value.as_array().filter(|list| !list.is_empty())?;
            list.iter().map(|entry| entry.as_str().map(str::to_owned)).collect()
        })
    }

    /// `min_value`, `max_value`, `strict_min` and `strict_max`; `allowed` says which values may be bounds.
    pub(super) fn limits(&mut self, expected: &str, allowed: fn(&Value) -> bool) -> Option<Limits> {
        let faults = self.faults.len();
        let mut bound = |key| self.optional(key, expected, |value| Value::of(value).filter(allowed));
        let (min, max) = (bound("min_value"), bound("max_value"));
        let (strict_min, strict_max) = (self.flag("strict_min"), self.flag("strict_max"));
        if self.faults.len() > faults {
            return None;
        }
        match (&min, &max) {
            (None, None) => self.fault("min_value", "neither it nor max_value", expected, "add one of them, or both"),
            (Some(low), Some(high)) => match low.exceeds(high) {
                Some(false) => {}
                Some(true) => self.fault("min_value", "more than max_value", "at most max_value", "exchange them"),
                None => self.fault("min_value", "another kind than max_value", "one kind", "correct one of them"),
            },
            _ => {}
        }
        (self.faults.len() == faults).then_some(Limits { min, max, strict_min, strict_max })
    }

    /// Everything that is wrong, keys that are left over too.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for key in std::mem::take(&mut self.table).keys() {
            let fix = match closest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => "remove it".to_owned(),
            };
            let expected = format!("one of {}", self.known.join(", "));
            self.fault(key, "a key that is not known", &expected, &fix);
        }
        self.faults
    }
}

/// A value as a message shows it: its kind and its text, shortened.
pub(super) fn shown(value: &toml::Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("the {} {short}{dots}", value.type_str())
}

fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.iter().map(json).collect(),
        toml::Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}
