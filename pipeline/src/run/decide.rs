//! Whether a stage has to run, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::key::Keyed;
use super::record::{Found, Record};
use super::store::Store;

/// Longest value that is shown in full.
const LONGEST: usize = 40;

/// Why a stage runs: the first reason that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Why {
    /// It was asked for.
    Forced,
    /// Its result is there, but not whole.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// It has no result.
    NeverRun,
    /// Its settings are not those of its last result.
    Settings {
        /// The first difference.
        change: String,
    },
    /// An input is another than for its last result.
    Input {
        /// The stage it reads.
        stage: String,
    },
    /// An input has the same key and other contents: it was made again.
    Remade {
        /// The stage it reads.
        stage: String,
    },
    /// An input will be made again; the stage runs unless that gives the same bytes. Only before a run.
    Pending {
        /// The stage it reads.
        stage: String,
    },
    /// Something from outside the pipeline changed.
    Source {
        /// The file or folder.
        path: PathBuf,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forced => f.write_str("asked for"),
            Self::Damaged { reason } => write!(f, "result damaged: {reason}"),
            Self::NeverRun => f.write_str("never run"),
            Self::Settings { change } => write!(f, "settings changed: {change}"),
            Self::Input { stage } => write!(f, "input '{stage}' changed"),
            Self::Remade { stage } => write!(f, "input '{stage}' was made again and differs"),
            Self::Pending { stage } => write!(f, "input '{stage}' is made again, and may differ"),
            Self::Source { path } => write!(f, "source {} changed", path.display()),
        }
    }
}

/// What is to be done about a stage.
pub(super) enum Decision {
    /// Nothing: this is its result.
    Cached(Box<Record>),
    Run(Why),
}

/// Contents of results by stage, see [`Record::digest`]; `None` for a stage that is still to run.
pub(super) type Contents<'a> = BTreeMap<&'a str, Option<String>>;

/// Decides about a stage whose inputs are decided.
pub(super) fn decide(step: &Keyed<'_>, store: &Store, forced: bool, contents: &Contents<'_>) -> Decision {
    if forced {
        return Decision::Run(Why::Forced);
    }
    match store.find(&step.folder(), &step.key) {
        Found::Damaged(reason) => Decision::Run(Why::Damaged { reason }),
        Found::Nothing => {
            Decision::Run(store.latest(step.name).and_then(|last| difference(step, &last)).unwrap_or(Why::NeverRun))
        }
        Found::Whole(record) => match stale(step, &record, contents) {
            Some(why) => Decision::Run(why),
            None => Decision::Cached(record),
        },
    }
}

/// The first input that does not hold what the result was made from.
fn stale(step: &Keyed<'_>, record: &Record, contents: &Contents<'_>) -> Option<Why> {
    // By position: names of inputs are no part of the key.
    step.inputs.iter().zip(&record.inputs).find_map(|((stage, _), had)| {
        match contents.get(stage).and_then(Option::as_ref) {
            Some(digest) if *digest == had.digest => None,
            Some(_) => Some(Why::Remade { stage: (*stage).to_owned() }),
            None => Some(Why::Pending { stage: (*stage).to_owned() }),
        }
    })
}

/// Why the key of `step` is not that of the last result.
fn difference(step: &Keyed<'_>, last: &Record) -> Option<Why> {
    if step.stage.kind() != last.kind {
        let change = format!("kind was {}, is {}", last.kind, step.stage.kind());
        return Some(Why::Settings { change });
    }
    if let Some(change) = change("", &last.identity, &step.identity) {
        return Some(Why::Settings { change });
    }
    let had: Vec<_> = last.inputs.iter().map(|input| &input.key).collect();
    let changed = step.inputs.iter().enumerate().find(|(at, (_, key))| had.get(*at) != Some(&key));
    if let Some((_, (stage, _))) = changed {
        return Some(Why::Input { stage: (*stage).to_owned() });
    }
    if let Some(gone) = last.inputs.get(step.inputs.len()) {
        return Some(Why::Input { stage: gone.stage.clone() });
    }
    let had: Vec<_> = last.sources.iter().map(|source| &source.digest).collect();
    let changed = step.sources.iter().enumerate().find(|(at, source)| had.get(*at) != Some(&&source.digest));
    let gone = || last.sources.get(step.sources.len());
    changed.map(|(_, source)| source).or_else(gone).map(|source| Why::Source { path: source.path.clone() })
}

/// The first setting in which two identities differ.
fn change(name: &str, was: &Value, is: &Value) -> Option<String> {
    if let (Some(had), Some(has)) = (was.as_object(), is.as_object()) {
        let below = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
        let mut fields: Vec<&String> = had.keys().chain(has.keys()).collect();
        fields.sort_unstable();
        let get = |side: &Value, field: &str| side.get(field).cloned().unwrap_or(Value::Null);
        return fields.into_iter().find_map(|field| change(&below(field), &get(was, field), &get(is, field)));
    }
    let name = if name.is_empty() { "it" } else { name };
    (was != is).then(|| format!("{name} was {}, is {}", brief(was), brief(is)))
}

fn brief(value: &Value) -> String {
    let text = if value.is_null() { "not set".to_owned() } else { value.to_string() };
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_setting_that_changed_is_named_with_its_values() {
        let told = |was, is| change("", &was, &is);
        assert_eq!(told(json!({"a": {"b": 1}}), json!({"a": {"b": 2}})).unwrap(), "a.b was 1, is 2");
        assert_eq!(told(json!({"a": 1}), json!({"a": 1, "b": "x"})).unwrap(), "b was not set, is \"x\"");
        assert_eq!(told(json!({"a": [1]}), json!({"a": [1]})), None);
        let long = told(json!({"a": "x".repeat(99)}), json!({})).unwrap();
        assert!(long.len() < 80, "{long}");
    }
}
