//! `manifest.json`: what a packaged version says of itself. The version digest is the sha256 of its exact bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::{self, Document, DocumentError, Fault};
use crate::{Decision, Preprocess, Signature};

/// Schema number that this code reads and writes.
pub const SCHEMA: u32 = 1;

/// The parsed manifest of a packaged version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Model name.
    pub name: String,
    /// Semantic version of the model, for people.
    pub semver: String,
    /// When it was packaged, RFC 3339 UTC.
    pub created: String,
    /// Where it came from.
    #[serde(default)]
    pub lineage: Lineage,
    /// Inputs and outputs.
    pub signature: Signature,
    /// From an encoded image to the input tensor; absent where the model takes tensors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// Class names, by index of the decision's output.
    #[serde(default)]
    pub labels: Vec<String>,
    /// From outputs to a verdict; absent for models that do not classify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Artefacts to choose from, best first; the first whose requirements are met is served.
    pub variants: Vec<Variant>,
    /// Evaluation figures, as the pipeline wrote them.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub evaluation: serde_json::Map<String, serde_json::Value>,
    /// Every other file of the version, by its name.
    pub files: BTreeMap<String, FileDigest>,
}

/// Digests (sha256, lower-case hex) of what the version was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named by what they are digests of")]
pub struct Lineage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

/// Numeric precision of an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Precision {
    Fp32,
    Fp16,
    Int8,
}

/// One artefact of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name a person can pin, such as `cpu-int8`; `default` for `model.onnx`.
    pub name: String,
    /// File in the version directory.
    pub file: String,
    /// Numeric precision.
    pub precision: Precision,
    /// Bits of the widest INT8 weights, 2 to 8, where somebody saw to it. Up to 7, kernels that add two products in 16 bits
    /// are exact, so that the runtime may use them on processors without VNNI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    /// What it needs of the machine.
    #[serde(default)]
    pub requires: Requires,
}

/// What a variant needs; an absent entry asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Runtimes that may run it: `tract`, `onnxruntime`, `cuda`, `tensorrt`; empty means any.
    #[serde(default)]
    pub runtime: Vec<String>,
    /// Processor architectures as in `std::env::consts::ARCH`; empty means any.
    #[serde(default)]
    pub arch: Vec<String>,
    /// Processor features, all needed, as Rust's feature detection names them (`avx2`, `avx512vnni`, `dotprod`).
    #[serde(default)]
    pub cpu_features: Vec<String>,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// sha256, lower-case hex.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Why a manifest was not accepted; its faults of meaning come all at once.
pub type ManifestErrors = DocumentError;

impl Manifest {
    /// File name in the version directory.
    pub const FILE: &'static str = "manifest.json";

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// A newer or missing schema, then the first fault of form, then all faults of meaning together.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestErrors> {
        fault::read(bytes)
    }

    /// Everything about it that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        crate::check::manifest(self)
    }

    /// As `manifest.json`: pretty JSON in the order of the fields, with a newline at the end. The same manifest gives
    /// the same bytes, hence the same version digest.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestErrors> {
        fault::write(self)
    }
}

impl Document for Manifest {
    const NAME: &'static str = Self::FILE;
    const SCHEMA: u32 = SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        self.faults()
    }
}
