//! Types and services of the Open Inference Protocol v2 with its Triton extensions, and of our own admin and
//! feedback services, made from `proto/`.
//!
//! They stop at the border of the server and of the client: nothing inside speaks protobuf but the reading and writing of
//! Triton's configuration, which is itself such a message.

/// Package `inference`: the service `GRPCInferenceService` and its messages.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    clippy::uninlined_format_args,
    reason = "generated; names are the wire format's, comments are in the .proto files"
)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// Package `takt.admin.v1`: what operators ask beyond the protocol.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; comments are in the .proto files"
)]
pub mod admin {
    tonic::include_proto!("takt.admin.v1");
}

/// Package `takt.feedback.v1`: what parts really were, told after the fact.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; comments are in the .proto files"
)]
pub mod feedback {
    tonic::include_proto!("takt.feedback.v1");
}

/// An encoded `google.protobuf.FileDescriptorSet` of everything here, for server reflection and for reading the text
/// format of `config.pbtxt`.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
