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

/// The elements behind `data`, not copied.
///
/// # Errors
/// `data` is misaligned or not a whole number of elements: a fault of the caller, see [`InputView::data`].
#[cfg_attr(not(any(feature = "tract", feature = "ort")), expect(dead_code, reason = "no runtime is built in"))]
pub(crate) fn elements<T: bytemuck::AnyBitPattern>(data: &[u8]) -> Result<&[T], crate::RunError> {
    if data.is_empty() {
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(data).map_err(|fault| {
        crate::RunError::Input(format!("{} bytes of input data cannot be read in place: {fault}", data.len()))
    })
}

/// Like [`elements`], for BOOL, where a byte must be 0 or 1.
///
/// # Errors
/// Some byte is neither 0 nor 1.
#[cfg_attr(not(any(feature = "tract", feature = "ort")), expect(dead_code, reason = "no runtime is built in"))]
pub(crate) fn booleans(data: &[u8]) -> Result<&[bool], crate::RunError> {
    bytemuck::checked::try_cast_slice(data)
        .map_err(|_| crate::RunError::Input("a BOOL input has a byte that is neither 0 nor 1".to_owned()))
}
