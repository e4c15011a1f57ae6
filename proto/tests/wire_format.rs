//! Our messages and RPCs against those of the `tritonclient` Python package, which
//! `tests/reference/proto/dump.py` wrote down.

use std::collections::BTreeSet;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

const TRITONCLIENT: &str = include_str!("../../tests/reference/proto/tritonclient.txt");

/// What `tritonclient` speaks and we deliberately do not, and the other way round.
const DIFFERENCES: [&str; 0] = [];

#[test]
fn every_name_number_and_type_is_that_of_tritonclient() {
    let pool = DescriptorPool::decode(takt_proto::DESCRIPTOR_SET).expect("descriptors decode");
    let ours: BTreeSet<String> = lines(&pool).collect();
    let theirs: BTreeSet<String> =
        TRITONCLIENT.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();

    let differences: Vec<&String> = ours.symmetric_difference(&theirs).collect();
    assert_eq!(differences, DIFFERENCES, "lines that only one side has");
    assert!(ours.len() > 400, "the comparison covers the protocol, not {} lines", ours.len());
}

#[test]
fn field_6_of_model_metadata_response_is_unused() {
    let pool = DescriptorPool::decode(takt_proto::DESCRIPTOR_SET).expect("descriptors decode");
    let message = pool.get_message_by_name("inference.ModelMetadataResponse").expect("the message exists");
    assert!(message.get_field(6).is_none());
}

/// Package `inference` only; `takt.admin.v1` is ours.
fn lines(pool: &DescriptorPool) -> impl Iterator<Item = String> {
    let theirs = |file: FileDescriptor| file.package_name() == "inference";
    let messages = pool.all_messages().filter(move |message| !message.is_map_entry() && theirs(message.parent_file()));
    let services = pool.services().filter(move |service| theirs(service.parent_file()));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    messages
        .flat_map(|message| message_lines(&message))
        .chain(
            pool.all_enums()
                .filter(move |found| theirs(found.parent_file()))
                .flat_map(|descriptor| enum_lines(&descriptor)),
        )
        .chain(methods.map(|method| rpc_line(&method)))
}

fn message_lines(message: &MessageDescriptor) -> Vec<String> {
    let name = message.full_name();
    std::iter::once(format!("message {name}"))
        .chain(message.fields().map(|field| {
            let (number, field_name) = (field.number(), field.name());
            format!("field {name} {number} {field_name}: {}", field_type(&field))
        }))
        .collect()
}

fn enum_lines(descriptor: &EnumDescriptor) -> Vec<String> {
    let name = descriptor.full_name();
    descriptor.values().map(|value| format!("enum {name} {} {}", value.number(), value.name())).collect()
}

fn rpc_line(method: &MethodDescriptor) -> String {
    let stream = |yes| if yes { "stream " } else { "" };
    format!(
        "rpc {}({}{}) returns ({}{})",
        method.full_name(),
        stream(method.is_client_streaming()),
        method.input().full_name(),
        stream(method.is_server_streaming()),
        method.output().full_name(),
    )
}

fn field_type(field: &FieldDescriptor) -> String {
    if let Kind::Message(entry) = field.kind()
        && entry.is_map_entry()
    {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map<{}, {}>", kind_name(&key.kind()), kind_name(&value.kind()));
    }
    let repeated = if field.is_list() { "repeated " } else { "" };
    let oneof = field.containing_oneof().map_or_else(String::new, |oneof| format!(" oneof {}", oneof.name()));
    format!("{repeated}{}{oneof}", kind_name(&field.kind()))
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(descriptor) => descriptor.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}
