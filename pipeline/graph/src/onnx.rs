//! The ONNX format as prost makes it from `proto/onnx.proto`, which is vendored unchanged from onnx 1.23 (Apache-2.0).
//!
//! The types here *are* the representation in memory: what we do not understand is a field we do not touch, so it survives.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; documented in onnx.proto")]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
