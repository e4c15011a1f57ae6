//! Tensors as bytes with a type and a shape, at the border to a runtime.

use bytes::Bytes;
use takt_artifact::DataType;

/// One input of a run: bytes in native order that somebody else owns.
#[derive(Debug, Clone, Copy)]
pub struct InputView<'a> {
    /// Element type; never [`DataType::Bytes`] unless the model takes strings.
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: &'a [usize],
    /// `shape` x element size bytes, aligned to at least 8.
    pub data: &'a [u8],
}

/// One output of a run. `data` may be a view of memory that the runtime owns, so slicing it copies nothing.
#[derive(Debug, Clone)]
pub struct OutputTensor {
    /// Element type.
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: Vec<usize>,
    /// Elements in native order.
    pub data: Bytes,
}
