//! What a packaged model version is on disk, and the vocabulary every crate shares when it speaks of one.
//!
//! A version is a directory `<model>/<n>/` with `model.onnx`, optional variants and, when it was packaged, a
//! `manifest.json`. This crate holds the schemas of those files and nothing that runs them.

pub mod calendar;
mod check;
pub mod choose;
pub mod damage;
pub mod datatype;
pub mod decision;
pub mod digest;
pub mod fault;
pub mod golden;
pub mod judge;
pub mod manifest;
pub mod names;
pub mod preprocess;
pub mod profile;
pub mod publish;
#[cfg(test)]
mod sample;
pub mod signature;
pub mod tolerance;
pub mod version;
pub mod write;

pub use choose::{Choice, ChooseError, Machine, choose};
pub use damage::{Damage, VersionError};
pub use datatype::DataType;
pub use decision::Decision;
pub use digest::VersionDigest;
pub use fault::Fault;
pub use golden::Golden;
pub use judge::Judge;
pub use manifest::{Manifest, ManifestErrors, Variant};
pub use preprocess::Preprocess;
pub use profile::Profile;
pub use signature::{Signature, TensorSpec};
pub use tolerance::{Tolerance, Tolerances};
pub use version::{Verified, VersionDir};
pub use write::{VersionWriter, WriteError};
