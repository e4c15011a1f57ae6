//! Why a model could not be loaded or run. `kind()` gives the label for metrics; the text is for people.

use std::path::PathBuf;

use takt_artifact::DataType;

/// Why a session could not be built.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there or cannot be read.
    #[error("cannot read the model '{}': {source}", path.display())]
    Read {
        /// The ONNX file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no ONNX model, or has something in it that the runtime does not do.
    #[error("{runtime} cannot load '{}': {reason}", path.display())]
    Model {
        /// The ONNX file.
        path: PathBuf,
        /// Which runtime refused.
        runtime: &'static str,
        /// What it said.
        reason: String,
    },
    /// An input or output is of a type that is not served.
    #[error("{runtime} cannot serve '{}': {tensor} is of type {found}, expected one of {}", path.display(), served(runtime))]
    ElementType {
        /// The ONNX file.
        path: PathBuf,
        /// Which runtime refused.
        runtime: &'static str,
        /// `input 'x'` or `output 'y'`.
        tensor: String,
        /// The type as the runtime or ONNX names it.
        found: String,
    },
    /// A provider that the configuration demands did not come up.
    #[error(
        "provider '{provider}' is demanded (strict = true) but did not come up: {reason}; {remedy}, or set strict = false to run on the next provider"
    )]
    Provider {
        /// As configured.
        provider: String,
        /// What the runtime said.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// The runtime itself is missing or broken.
    #[error("{0}")]
    Runtime(String),
    /// A fault asked for by `TAKT_FAULT`.
    #[error("injected fault: {0}")]
    Injected(String),
}

/// Why a run failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The inputs do not fit the model; the session is as good as before.
    #[error("{0}")]
    Input(String),
    /// The runtime failed; the session should be rebuilt.
    #[error("{0}")]
    Runtime(String),
    /// A fault asked for by `TAKT_FAULT`.
    #[error("injected fault: {0}")]
    Injected(String),
}

impl LoadError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Model { .. } => "model",
            Self::ElementType { .. } => "element_type",
            Self::Provider { .. } => "provider",
            Self::Runtime(_) => "runtime",
            Self::Injected(_) => "injected",
        }
    }
}

impl RunError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Runtime(_) => "runtime",
            Self::Injected(_) => "injected",
        }
    }

    /// Whether the session must be rebuilt before it is used again.
    #[must_use]
    pub const fn breaks_session(&self) -> bool {
        !matches!(self, Self::Input(_))
    }
}

fn served(runtime: &str) -> String {
    let refused = if runtime == "tract" { &[DataType::Bytes, DataType::Bf16][..] } else { &[DataType::Bytes][..] };
    let names = DataType::ALL.into_iter().filter(|datatype| !refused.contains(datatype)).map(DataType::name);
    names.collect::<Vec<_>>().join(", ")
}
