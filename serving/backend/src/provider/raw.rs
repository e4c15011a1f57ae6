//! Providers as configuration files write them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A provider before its options are checked: `name` and, beside it, the options.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RawProvider {
    /// `tensorrt`, `cuda`, `cpu`, `openvino`, `xnnpack`, `acl` or `coreml`.
    pub name: String,
    /// Options by our names or by ONNX Runtime's (`fp16` or `trt_fp16_enable`).
    #[serde(flatten)]
    pub options: BTreeMap<String, Scalar>,
}

/// A value of an option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the variants are the scalar types of TOML")]
pub enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl RawProvider {
    /// From an entry of `execution_accelerators` in Triton's `config.pbtxt`, where all values are text.
    #[must_use]
    pub fn from_triton(name: &str, parameters: impl IntoIterator<Item = (String, String)>) -> Self {
        let options = parameters.into_iter().map(|(key, value)| (key, Scalar::Text(value)));
        Self { name: name.to_owned(), options: options.collect() }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
