//! Which result it is: one digest over everything that decides it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use takt_artifact::manifest::FileDigest;

use super::error::RunError;
use super::plan::{Named, Plan};
use super::record::SourceRecord;
use super::sources::Memo;
use super::stage::Stage;

/// Raised when keys come to be made otherwise, so that no old result is taken for a new one.
const SCHEME: &str = "takt pipeline key 1";

/// The sha256 that names a result, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Key {
    /// `<stage>-<first 16 digits>`: enough for names of folders; whole keys are compared.
    #[must_use]
    pub fn folder(&self, stage: &str) -> String {
        format!("{stage}-{}", self.short())
    }

    /// The first 16 digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }

    fn new(kind: &str, identity: &Value, inputs: &[(&str, Key)], sources: &[SourceRecord]) -> Self {
        let mut text = format!("{SCHEME}\nkind {kind:?}\nidentity ");
        canonical(identity, &mut text);
        for (_, key) in inputs {
            let _ = write!(text, "\ninput {key}");
        }
        for source in sources {
            let _ = write!(text, "\nsource {}", source.digest);
        }
        Self(FileDigest::of_bytes(text.as_bytes()).sha256)
    }
}

/// A stage of a plan with its key.
pub(super) struct Keyed<'a> {
    pub(super) name: &'a str,
    pub(super) stage: &'a dyn Stage,
    pub(super) key: Key,
    pub(super) identity: Value,
    pub(super) inputs: Vec<(&'a str, Key)>,
    pub(super) sources: Vec<SourceRecord>,
}

impl Keyed<'_> {
    /// Its folder in `results/` and in `running/`.
    pub(super) fn folder(&self) -> String {
        self.key.folder(self.name)
    }
}

/// Keys of all stages, in the order of the plan.
pub(super) fn keyed<'a>(plan: &'a Plan, memo: &mut Memo) -> Result<Vec<Keyed<'a>>, RunError> {
    let mut keys: BTreeMap<&str, Key> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut faults = Vec::new();
    for Named { name, stage } in plan.stages() {
        let stage: &dyn Stage = stage.as_ref();
        let sources = sources(name, stage, memo, &mut faults);
        let inputs: Vec<(&str, Key)> = stage
            .inputs()
            .iter()
            .filter_map(|input| keys.get(input.as_str()).map(|key| (input.as_str(), key.clone())))
            .collect();
        let identity = stage.identity();
        let key = Key::new(stage.kind(), &identity, &inputs, &sources);
        keys.insert(name, key.clone());
        steps.push(Keyed { name, stage, key, identity, inputs, sources });
    }
    if faults.is_empty() { Ok(steps) } else { Err(RunError::Sources(faults)) }
}

/// Digests of a stage's sources, now.
pub(super) fn sources(name: &str, stage: &dyn Stage, memo: &mut Memo, faults: &mut Vec<String>) -> Vec<SourceRecord> {
    let mut records = Vec::new();
    for path in stage.sources() {
        match memo.digest(&path) {
            Ok(digest) => records.push(SourceRecord { path, digest }),
            Err(error) => faults.push(format!("stage '{name}': source {error}")),
        }
    }
    records
}

/// JSON with the keys of objects sorted: whether `serde_json` keeps them in order is decided by features of strangers.
fn canonical(value: &Value, to: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            to.push('{');
            for (name, value) in sorted {
                let _ = write!(to, "{name:?}:");
                canonical(value, to);
                to.push(',');
            }
            to.push('}');
        }
        Value::Array(items) => {
            to.push('[');
            for item in items {
                canonical(item, to);
                to.push(',');
            }
            to.push(']');
        }
        leaf => {
            let _ = write!(to, "{leaf}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_decides_a_result_is_in_its_key() {
        let key = |kind, identity, inputs: &[(&str, Key)], sources: &[SourceRecord]| {
            Key::new(kind, &identity, inputs, sources)
        };
        let source = |digest: &str| [SourceRecord { path: "images".into(), digest: digest.to_owned() }];
        let (a, b) = (("a", Key("1".into())), ("b", Key("2".into())));
        let all = [
            key("train", json!({"epochs": 3}), &[], &[]),
            key("prune", json!({"epochs": 3}), &[], &[]),
            key("train", json!({"epochs": 4}), &[], &[]),
            key("train", json!({"epochs": "3"}), &[], &[]),
            key("train", json!({"epochs": [3]}), &[], &[]),
            key("train", json!({"epochs": 3}), &[a.clone(), b.clone()], &[]),
            key("train", json!({"epochs": 3}), &[b, a], &[]),
            key("train", json!({"epochs": 3}), &[], &source("x")),
            key("train", json!({"epochs": 3}), &[], &source("y")),
        ];
        for (at, key) in all.iter().enumerate() {
            assert!(!all[..at].contains(key), "{at}");
        }
    }

    #[test]
    fn the_order_of_settings_does_not_matter() {
        let (mut a, mut b) = (String::new(), String::new());
        canonical(&serde_json::from_str(r#"{"a": {"x": 1, "y": [2.5]}, "b": null}"#).unwrap(), &mut a);
        canonical(&serde_json::from_str(r#"{"b": null, "a": {"y": [2.5], "x": 1}}"#).unwrap(), &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn where_a_source_lies_does_not_matter() {
        let at = |path: &str| [SourceRecord { path: path.into(), digest: "x".to_owned() }];
        let key = |path| Key::new("train", &json!({}), &[], &at(path));
        assert_eq!(key("here"), key("there"));
    }
}
