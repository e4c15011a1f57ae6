//! Weights outside the model's file (onnx, docs/ExternalData.md). Each tensor is read by itself, so that nothing larger than
//! the largest is ever held twice; nothing outside the model's folder is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::onnx::tensor_proto::DataLocation;
use crate::onnx::{GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use crate::tensor::TensorError;

/// Why weights could not be read from another file.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// No file is named.
    #[error("tensor '{tensor}' lies in another file, but no 'location' says in which")]
    NoLocation {
        /// The tensor.
        tensor: String,
    },
    /// The file would be outside the model's folder.
    #[error(
        "tensor '{tensor}' lies in '{location}', which leads out of the model's folder; expected a relative path without '..' or links out"
    )]
    Outside {
        /// The tensor.
        tensor: String,
        /// What was found.
        location: String,
    },
    /// A number cannot be read.
    #[error("tensor '{tensor}': found '{found}' as {key}, expected a whole number")]
    Number {
        /// The tensor.
        tensor: String,
        /// `offset` or `length`.
        key: &'static str,
        /// What was found.
        found: String,
    },
    /// The length is not that of the elements.
    #[error("tensor '{tensor}': found a length of {found} bytes, expected {expected} by type and dimensions")]
    Length {
        /// The tensor.
        tensor: String,
        /// What the model says.
        found: u64,
        /// What type and dimensions need.
        expected: u64,
    },
    /// The file ends before the elements do.
    #[error("tensor '{tensor}': needs bytes {from} to {to} of '{location}', which has {length}; is the file whole?")]
    Short {
        /// The tensor.
        tensor: String,
        /// The file.
        location: String,
        /// First byte.
        from: u64,
        /// Behind the last byte.
        to: u64,
        /// Length of the file.
        length: u64,
    },
    /// Type or dimensions.
    #[error("tensor '{tensor}': {fault}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        fault: TensorError,
    },
    /// The file system refused.
    #[error("tensor '{tensor}': cannot read {}: {cause}", path.display())]
    Io {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Reads all tensors of `model` that lie outside `path` into it.
pub(crate) fn load(model: &mut ModelProto, path: &Path) -> Result<(), ExternalError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut files = Files { folder, open: HashMap::new() };
    let graphs =
        model.training_info.iter_mut().flat_map(|info| info.initialization.iter_mut().chain(&mut info.algorithm));
    for graph in model.graph.iter_mut().chain(graphs) {
        for_each_tensor(graph, &mut |tensor| files.fill(tensor))?;
    }
    let functions = model.functions.iter_mut();
    functions
        .flat_map(|function| &mut function.node)
        .try_for_each(|node| of_node(node, &mut |tensor| files.fill(tensor)))
}

type Visit<'a> = &'a mut dyn FnMut(&mut TensorProto) -> Result<(), ExternalError>;

/// Visits every tensor of a graph: initialisers, attributes, and the bodies among these.
fn for_each_tensor(graph: &mut GraphProto, visit: Visit<'_>) -> Result<(), ExternalError> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().chain(&mut sparse.indices).try_for_each(&mut *visit)?;
    }
    graph.node.iter_mut().try_for_each(|node| of_node(node, visit))
}

fn of_node(node: &mut NodeProto, visit: Visit<'_>) -> Result<(), ExternalError> {
    for attribute in &mut node.attribute {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *visit)?;
        attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|graph| for_each_tensor(graph, visit))?;
    }
    Ok(())
}

struct Files<'a> {
    folder: &'a Path,
    /// By location, with their lengths.
    open: HashMap<String, (File, u64)>,
}

impl Files<'_> {
    fn fill(&mut self, tensor: &mut TensorProto) -> Result<(), ExternalError> {
        if tensor.data_location() != DataLocation::External {
            return Ok(());
        }
        let name = || tensor.name().to_owned();
        let fault = |fault| ExternalError::Tensor { tensor: name(), fault };
        let strings = TensorError::Expected { found: "STRING", expected: "numbers" };
        let expected = tensor.expected_bytes().map_err(fault)?.ok_or(strings).map_err(fault)?;
        let location =
            entry(tensor, "location").ok_or_else(|| ExternalError::NoLocation { tensor: name() })?.to_owned();
        let offset = number(tensor, "offset")?.unwrap_or(0);
        let length = number(tensor, "length")?.unwrap_or(expected as u64);
        if length != expected as u64 {
            return Err(ExternalError::Length { tensor: name(), found: length, expected: expected as u64 });
        }
        let io = |cause| ExternalError::Io { tensor: name(), path: self.folder.join(&location), cause };
        let (file, there) = match self.open.entry(location.clone()) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let path = inside(self.folder, &location)
                    .map_err(io)?
                    .ok_or_else(|| ExternalError::Outside { tensor: name(), location: location.clone() })?;
                let file = File::open(path).map_err(io)?;
                let length = file.metadata().map_err(io)?.len();
                vacant.insert((file, length))
            }
        };
        let to = offset.saturating_add(length);
        if to > *there {
            return Err(ExternalError::Short { tensor: name(), location, from: offset, to, length: *there });
        }
        let mut data = vec![0; expected];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut data)).map_err(io)?;
        tensor.set_data(data);
        Ok(())
    }
}

/// The file at `location`, or `None` if that leads out of `folder`, by itself or through a link.
fn inside(folder: &Path, location: &str) -> std::io::Result<Option<PathBuf>> {
    let relative = Path::new(location);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain || location.contains('\\') {
        return Ok(None);
    }
    let folder = folder.canonicalize()?;
    let path = folder.join(relative).canonicalize()?;
    Ok(path.starts_with(&folder).then_some(path))
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
}

fn number(tensor: &TensorProto, key: &'static str) -> Result<Option<u64>, ExternalError> {
    let Some(found) = entry(tensor, key) else { return Ok(None) };
    let fault = || ExternalError::Number { tensor: tensor.name().to_owned(), key, found: found.to_owned() };
    found.parse().map(Some).map_err(|_| fault())
}
