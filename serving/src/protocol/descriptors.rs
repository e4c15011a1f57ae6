//! Descriptors of the protocol's messages, for reading them as text and showing them as JSON.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use crate::error::{ErrorKind, InferError};

/// `None` cannot be: the descriptors are made by the build and tested.
static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(takt_proto::DESCRIPTOR_SET).ok());

/// The descriptor of the message of that full name.
#[must_use]
pub fn descriptor(name: &str) -> Option<MessageDescriptor> {
    POOL.as_ref()?.get_message_by_name(name)
}

/// A message as Triton shows it over HTTP: field names as in the `.proto`, fields at zero written out, messages that
/// are not set left out, 64-bit integers as numbers.
///
/// # Errors
/// `name` is not the full name of that message.
pub fn to_json(message: &impl prost::Message, name: &str) -> Result<Vec<u8>, InferError> {
    let failed = |error: &dyn std::fmt::Display| {
        InferError::new(ErrorKind::Internal, format!("{name} can't be written as JSON: {error}; report this as a bug"))
    };
    let descriptor = descriptor(name).ok_or_else(|| failed(&"no descriptor of that name"))?;
    let dynamic =
        DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(|error| failed(&error))?;
    let options =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);
    let mut json = Vec::new();
    dynamic
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)
        .map_err(|error| failed(&error))?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use takt_proto::inference::{InferStatistics, ModelStatistics, StatisticDuration};

    use super::*;

    #[test]
    fn zeros_are_written_and_unset_messages_are_not() {
        let stats = InferStatistics { success: Some(StatisticDuration::default()), ..InferStatistics::default() };
        let message =
            ModelStatistics { inference_count: u64::MAX, inference_stats: Some(stats), ..ModelStatistics::default() };
        let json: serde_json::Value =
            serde_json::from_slice(&to_json(&message, "inference.ModelStatistics").unwrap()).unwrap();
        assert_eq!(json["inference_count"], u64::MAX);
        assert_eq!(json["execution_count"], 0);
        assert_eq!(json["inference_stats"]["success"], serde_json::json!({"count": 0, "ns": 0}));
        assert!(json["inference_stats"].get("fail").is_none());
        assert_eq!(json["batch_stats"], serde_json::json!([]));
    }
}
