//! Writing a model file, whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;

use crate::Model;
use crate::load::MAX_FILE;
use crate::onnx::tensor_proto::DataLocation;
use crate::onnx::{ModelProto, StringStringEntryProto};

/// Where the weights go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// Into the model's file if protobuf can hold them, else beside it.
    #[default]
    InsideIfTheyFit,
    /// Into a file beside the model's.
    Beside,
}

/// Why a model was not written. What lay under its name before lies there still.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The path names no file.
    #[error("{}: found no file name to write to", .0.display())]
    NoName(PathBuf),
    /// The file system refused.
    #[error("cannot write {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Without its weights it is too long still.
    #[error("{}: would have {length} bytes without its weights, and protobuf ends at {MAX_FILE}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes.
        length: u64,
    },
    /// Weights that cannot be written.
    #[error("initialiser '{name}': {fault}")]
    Tensor {
        /// The initialiser.
        name: String,
        /// What is wrong with it.
        fault: crate::TensorError,
    },
}

/// Tensors smaller than this stay in the model's file: runtimes read shapes and axes before they map weights.
const SMALL: usize = 1024;

/// Of tensors in a file of weights, so that it can be mapped (onnx, docs/ExternalData.md).
const ALIGNMENT: u64 = 4096;

impl Model {
    /// Writes the model: aside, flushed, then renamed. Who looks at `path` finds the old file or the new one.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaveError> {
        self.save_with(path, Weights::default())
    }

    /// As [`Self::save`], saying where the weights go. Beside the model they lie in `<file>.<number>.data` under a number
    /// that is free, so that an old model keeps its weights until it is replaced.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn save_with(&self, path: impl AsRef<Path>, weights: Weights) -> Result<(), SaveError> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| SaveError::NoName(path.to_owned()))?;
        let mut proto = self.to_proto();
        let mut beside = None;
        if weights == Weights::Beside || proto.encoded_len() as u64 > MAX_FILE {
            let data = (0_u64..)
                .map(|number| format!("{name}.{number}.data"))
                .find(|data| !path.with_file_name(data).exists());
            let data = data.unwrap_or_default();
            write_aside(&path.with_file_name(&data), |file| move_weights(&mut proto, &data, file))?;
            beside = Some(data);
        }
        let length = proto.encoded_len() as u64;
        if length > MAX_FILE {
            return Err(SaveError::TooLong { path: path.to_owned(), length });
        }
        let bytes = proto.encode_to_vec();
        write_aside(path, |file| {
            file.write_all(&bytes).map_err(|cause| SaveError::Io { path: path.to_owned(), cause })
        })?;
        remove_old_weights(path, name, beside.as_deref());
        Ok(())
    }
}

/// Moves the elements of all large initialisers into `file`, one after the other.
fn move_weights(proto: &mut ModelProto, location: &str, file: &mut BufWriter<File>) -> Result<(), SaveError> {
    let io = |cause| SaveError::Io { path: location.into(), cause };
    let mut at = 0_u64;
    for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let name = tensor.name().to_owned();
        let fault = |fault| SaveError::Tensor { name: name.clone(), fault };
        match tensor.expected_bytes().map_err(fault)? {
            Some(length) if length >= SMALL => {}
            _ => continue,
        }
        let data = tensor.data().map_err(fault)?;
        let start = at.next_multiple_of(ALIGNMENT);
        let padding = usize::try_from(start - at).unwrap_or_default();
        file.write_all(&vec![0; padding]).and_then(|()| file.write_all(&data)).map_err(io)?;
        at = start + data.len() as u64;
        tensor.set_data(Vec::new());
        tensor.raw_data = None;
        tensor.data_location = Some(DataLocation::External.into());
        let entries =
            [("location", location.to_owned()), ("offset", start.to_string()), ("length", data.len().to_string())];
        let entries =
            entries.map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) });
        tensor.external_data = entries.to_vec();
    }
    Ok(())
}

/// Writes a file beside `path`, flushes it and renames it. On failure nothing stays.
fn write_aside(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), SaveError>,
) -> Result<(), SaveError> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let io = |cause| SaveError::Io { path: path.to_owned(), cause };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_file_name(format!(".{name}.writing-{}-{unique}", std::process::id()));
    let written = File::create(&aside).map_err(io).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(io)?;
        fs::rename(&aside, path).map_err(io)
    });
    if written.is_err() {
        let _ = fs::remove_file(&aside);
        return written;
    }
    sync_folder(path).map_err(io)
}

/// Without it a rename may not survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Weights that an earlier model of this name had. A failure costs disk space and nothing else.
fn remove_old_weights(path: &Path, name: &str, keep: Option<&str>) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let there = file.file_name();
        let there = there.to_str().unwrap_or_default();
        let number = there.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".data"));
        let ours = number.is_some_and(|number| number.parse::<u64>().is_ok());
        if ours && keep != Some(there) {
            let _ = fs::remove_file(file.path());
        }
    }
}
