//! Reading a model file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use crate::Model;
use crate::check::CheckErrors;
use crate::external::{self, ExternalError};
use crate::onnx::ModelProto;

/// Where protobuf ends: lengths are signed 32-bit numbers.
pub(crate) const MAX_FILE: u64 = i32::MAX as u64;

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file system refused.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is longer than protobuf allows.
    #[error("{}: found {length} bytes, expected at most {MAX_FILE}; save the model with external data", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// The bytes are not a model.
    #[error("{}: is cut off or no ONNX model: {cause}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: prost::DecodeError,
    },
    /// Weights in other files.
    #[error("{}: {cause}", path.display())]
    External {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: ExternalError,
    },
    /// The model breaks the rules.
    #[error("{}: {faults}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All faults.
        faults: CheckErrors,
    },
}

impl Model {
    /// Reads a model, with weights that lie in other files of its folder.
    ///
    /// # Errors
    /// The file cannot be read, is no model, or breaks the rules of the format; nothing outside its folder is read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let at = || path.to_owned();
        let bytes = read(path)?;
        let mut proto = ModelProto::decode(bytes).map_err(|cause| LoadError::Decode { path: at(), cause })?;
        external::load(&mut proto, path).map_err(|cause| LoadError::External { path: at(), cause })?;
        Self::from_proto(proto).map_err(|faults| LoadError::Invalid { path: at(), faults })
    }
}

fn read(path: &Path) -> Result<Bytes, LoadError> {
    let io = |cause| LoadError::Io { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > MAX_FILE {
        return Err(LoadError::TooLong { path: path.to_owned(), length });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // A file may grow meanwhile; what is beyond the limit would not be read as a model anyway.
    Read::by_ref(&mut file).take(MAX_FILE).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes.into())
}
