//! What a packaged model version is on disk, and the vocabulary every crate shares when it speaks of one.
//!
//! A version is a directory `<model>/<n>/` with `model.onnx`, optional variants and, when it was packaged, a
//! `manifest.json`. This crate holds the schemas of those files and nothing that runs them.

pub mod datatype;
pub mod decision;
pub mod manifest;
pub mod preprocess;
pub mod signature;

pub use datatype::DataType;
pub use decision::Decision;
pub use manifest::Manifest;
pub use preprocess::Preprocess;
pub use signature::{Signature, TensorSpec};
