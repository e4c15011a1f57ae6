//! Names every field that is set and not acted on.

use std::path::Path;

use prost_reflect::{DynamicMessage, Value};

use super::places::Places;
use crate::repository::fault::ConfigWarning;

/// Fields that are acted on, or that need no action (a group's name, the samples of a warm-up). A message is looked
/// into where a longer name stands here, and taken as a whole where its own does.
const ACTED_ON: &[&str] = &[
    "name",
    "platform",
    "backend",
    "version_policy",
    "max_batch_size",
    "input.name",
    "input.data_type",
    "input.dims",
    "input.reshape",
    "output.name",
    "output.data_type",
    "output.dims",
    "output.reshape",
    "output.label_filename",
    "optimization.execution_accelerators",
    "dynamic_batching.preferred_batch_size",
    "dynamic_batching.max_queue_delay_microseconds",
    "dynamic_batching.preserve_ordering",
    "dynamic_batching.priority_levels",
    "dynamic_batching.default_priority_level",
    "dynamic_batching.default_queue_policy",
    "sequence_batching",
    "ensemble_scheduling",
    "instance_group.name",
    "instance_group.kind",
    "instance_group.count",
    "instance_group.gpus",
    "default_model_filename",
    "parameters",
    "model_warmup.name",
    "model_warmup.batch_size",
    "model_warmup.count",
    "model_warmup.inputs.data_type",
    "model_warmup.inputs.dims",
    "model_warmup.inputs.zero_data",
    "model_warmup.inputs.random_data",
];

/// What to say of a field, where more can be said than that nothing happens.
const NOTES: &[(&str, &str)] = &[
    ("input.format", "not needed: the ONNX graph says how its input lies in memory"),
    ("input.optional", "ignored: every input of the ONNX graph must be given"),
    ("input.allow_ragged_batch", "ignored: requests are joined only where their shapes are equal"),
    ("dynamic_batching.priority_queue_policy", "ignored: default_queue_policy holds for every priority"),
    ("instance_group.secondary_devices", "ignored: name the accelerator core in model.toml, as dla_core of tensorrt"),
    ("model_warmup.inputs.input_data_file", "ignored: the warm-up runs with zeros"),
    ("model_operations", "ignored: libraries of custom operators are not loaded, and a model that needs one fails"),
    ("response_cache", "ignored: every request is computed"),
    ("model_transaction_policy", "ignored: every request has exactly one response"),
    ("metric_tags", "ignored: metrics carry model and version only"),
    ("optimization.graph", "ignored: ONNX Runtime optimises at its default level"),
    ("optimization.cuda.graphs", "ignored: for TensorRT, set cuda_graph in model.toml"),
];

/// A warning for every such field, in the order of field numbers.
pub(super) fn warnings(file: &Path, message: &DynamicMessage, places: &Places) -> Vec<ConfigWarning> {
    let mut walk = Walk { file, places, warnings: Vec::new() };
    walk.message(message, "", "");
    walk.warnings
}

struct Walk<'w> {
    file: &'w Path,
    places: &'w Places,
    warnings: Vec<ConfigWarning>,
}

impl Walk<'_> {
    /// `name` is the path as the lists above have it, `path` the one with indices.
    fn message(&mut self, message: &DynamicMessage, name: &str, path: &str) {
        for (field, value) in message.fields() {
            let name = join(name, field.name());
            let path = join(path, field.name());
            if ACTED_ON.contains(&name.as_str()) {
                continue;
            }
            let prefix = format!("{name}.");
            if !ACTED_ON.iter().any(|known| known.starts_with(&prefix)) && !is_whole_of_noted(&prefix) {
                self.warn(&name, path);
                continue;
            }
            match value {
                Value::Message(inner) => self.message(inner, &name, &path),
                Value::List(items) => {
                    for (i, item) in items.iter().enumerate() {
                        self.item(item, &name, &format!("{path}[{i}]"));
                    }
                }
                Value::Map(items) => {
                    // The text's order is lost in a map; its first entry stands for all.
                    for item in items.values() {
                        self.item(item, &name, &format!("{path}[0].value"));
                    }
                }
                _ => self.warn(&name, path),
            }
        }
    }

    fn item(&mut self, item: &Value, name: &str, path: &str) {
        if let Value::Message(inner) = item {
            self.message(inner, name, path);
        }
    }

    fn warn(&mut self, name: &str, path: String) {
        let note = NOTES.iter().find(|(noted, _)| *noted == name);
        let at = self.places.get(&path).or_else(|| self.places.get(&format!("{path}[0]")));
        self.warnings.push(ConfigWarning {
            file: self.file.to_owned(),
            at: at.copied(),
            key: path,
            message: note.map_or("ignored: Takt does not act on this field", |(_, note)| note).to_owned(),
        });
    }
}

/// Whether fields within a message are noted one by one, so that the message itself is not the thing to name.
fn is_whole_of_noted(prefix: &str) -> bool {
    NOTES.iter().any(|(noted, _)| noted.starts_with(prefix))
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{Kind, MessageDescriptor};

    use super::*;

    fn exists(descriptor: &MessageDescriptor, name: &str) -> bool {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let Some(field) = descriptor.get_field_by_name(first) else {
            return false;
        };
        match (field.kind(), rest) {
            (_, None) => true,
            (Kind::Message(entry), Some(rest)) if entry.is_map_entry() => match entry.map_entry_value_field().kind() {
                Kind::Message(value) => exists(&value, rest),
                _ => false,
            },
            (Kind::Message(inner), Some(rest)) => exists(&inner, rest),
            _ => false,
        }
    }

    #[test]
    fn every_listed_field_exists() {
        let descriptor = crate::protocol::descriptors::descriptor(super::super::MESSAGE).unwrap();
        for name in ACTED_ON.iter().chain(NOTES.iter().map(|(name, _)| name)) {
            assert!(exists(&descriptor, name), "{name}");
        }
    }
}
