//! The protocol over HTTP/1.1: routes, JSON and binary tensors to the core and back. The JSON shapes are those of the
//! Open Inference Protocol v2 with Triton's extensions.

pub mod body;
pub mod control;
pub mod decode;
pub mod encode;
mod feedback;
mod infer;
pub mod listen;
mod raw;
pub mod router;
pub mod status;
pub mod tensor;

#[cfg(test)]
mod tests;
