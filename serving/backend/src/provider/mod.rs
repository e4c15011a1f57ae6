//! Execution providers: what ONNX Runtime may run a model on, with their options as types.
//!
//! Configuration arrives as a [`RawProvider`] (from `model.toml`, or from Triton's `execution_accelerators`) and becomes a
//! [`Provider`] or a list of all its faults; a provider goes to ONNX Runtime as the exact key-value strings of
//! [`Provider::to_key_values`].
//!
//! TensorRT and CUDA have never run on the hardware with this code: the strings are tested, and what happens where the
//! provider is missing.

mod cuda;
mod raw;
mod reader;
mod tensorrt;

use std::collections::BTreeMap;
use std::path::Path;

pub use cuda::{ArenaExtend, ConvAlgorithmSearch, Cuda};
pub use raw::{RawProvider, Scalar};
pub use reader::ProviderFault;
pub use tensorrt::{Cache, Int8, Profile, TensorRt};

/// An execution provider with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// NVIDIA TensorRT.
    TensorRt(TensorRt),
    /// NVIDIA CUDA.
    Cuda(Cuda),
    /// The processor.
    Cpu(Cpu),
    /// One whose options ONNX Runtime checks itself.
    Other(Other),
}

/// Options of the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Keep freed memory for the next run, rather than give it back each time: faster, and holds the peak.
    pub arena: bool,
    /// On x86 processors without VNNI, multiply INT8 so that it cannot overflow, which is slower. Without it, weights of full
    /// range overflow, in silence, and give wrong answers; weights that are known to keep to 7 bits
    /// ([`LoadRequest::weight_bits`](crate::LoadRequest::weight_bits)) are exact either way and take the fast one.
    pub exact_int8: bool,
}

/// A provider that is passed on by name, with options that ONNX Runtime checks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Which one.
    pub kind: OtherKind,
    /// Options as ONNX Runtime's documentation names them.
    pub options: BTreeMap<String, String>,
}

/// The providers that are passed on by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKind {
    /// Intel OpenVINO.
    OpenVino,
    /// XNNPACK, for Arm and x86 processors.
    Xnnpack,
    /// Arm Compute Library; its one option is `fast_math`.
    Acl,
    /// Apple Core ML.
    CoreMl,
}

impl Default for Cpu {
    fn default() -> Self {
        Self { arena: true, exact_int8: true }
    }
}

impl OtherKind {
    const ALL: [Self; 4] = [Self::OpenVino, Self::Xnnpack, Self::Acl, Self::CoreMl];

    const fn name(self) -> &'static str {
        match self {
            Self::OpenVino => "openvino",
            Self::Xnnpack => "xnnpack",
            Self::Acl => "acl",
            Self::CoreMl => "coreml",
        }
    }
}

impl Provider {
    /// The processor, with its defaults.
    #[must_use]
    pub fn cpu() -> Self {
        Self::Cpu(Cpu::default())
    }

    /// Name in configuration, placement and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TensorRt(_) => "tensorrt",
            Self::Cuda(_) => "cuda",
            Self::Cpu(_) => "cpu",
            Self::Other(other) => other.kind.name(),
        }
    }

    /// What ONNX Runtime calls it.
    #[must_use]
    pub const fn onnxruntime_name(&self) -> &'static str {
        match self {
            Self::TensorRt(_) => "TensorrtExecutionProvider",
            Self::Cuda(_) => "CUDAExecutionProvider",
            Self::Cpu(_) => "CPUExecutionProvider",
            Self::Other(other) => match other.kind {
                OtherKind::OpenVino => "OpenVINOExecutionProvider",
                OtherKind::Xnnpack => "XnnpackExecutionProvider",
                OtherKind::Acl => "ACLExecutionProvider",
                OtherKind::CoreMl => "CoreMLExecutionProvider",
            },
        }
    }

    /// The options as ONNX Runtime takes them, in a fixed order. `cache_dir` is where engines go when the configuration
    /// names no place.
    #[must_use]
    pub fn to_key_values(&self, cache_dir: Option<&Path>) -> Vec<(String, String)> {
        match self {
            Self::TensorRt(tensorrt) => tensorrt.to_key_values(cache_dir),
            Self::Cuda(cuda) => cuda.to_key_values(),
            Self::Cpu(_) => Vec::new(),
            Self::Other(other) => other.options.clone().into_iter().collect(),
        }
    }
}

impl TryFrom<&RawProvider> for Provider {
    type Error = Vec<ProviderFault>;

    fn try_from(raw: &RawProvider) -> Result<Self, Self::Error> {
        let mut options = reader::Reader::new(raw);
        let provider = match raw.name.to_ascii_lowercase().as_str() {
            "tensorrt" => Self::TensorRt(TensorRt::read(&mut options)),
            "cuda" => Self::Cuda(Cuda::read(&mut options)),
            "cpu" => Self::Cpu(Cpu {
                arena: options.flag(&["arena"]).unwrap_or(true),
                exact_int8: options.flag(&["exact_int8"]).unwrap_or(true),
            }),
            name => match OtherKind::ALL.into_iter().find(|kind| kind.name() == name) {
                Some(kind @ OtherKind::Acl) => {
                    let fast_math = options.flag(&["fast_math"]).map(|on| ("fast_math".to_owned(), flag(on)));
                    Self::Other(Other { kind, options: fast_math.into_iter().collect() })
                }
                Some(kind) => Self::Other(Other { kind, options: options.rest() }),
                None => return Err(vec![ProviderFault::unknown_provider(&raw.name)]),
            },
        };
        options.finish()?;
        Ok(provider)
    }
}

/// Names that configuration may use.
pub(crate) const NAMES: [&str; 7] = ["tensorrt", "cuda", "cpu", "openvino", "xnnpack", "acl", "coreml"];

fn flag(on: bool) -> String {
    (if on { "1" } else { "0" }).to_owned()
}

#[cfg(test)]
mod tests;
