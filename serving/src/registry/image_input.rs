//! A version's `preprocess` as what decodes its queued images.

use std::cell::RefCell;

use takt_artifact::DataType;
use takt_image::{ImageError, ImageStatistics, Preprocessor, Scratch};

use crate::batch::images::ImageDecoder;
use crate::error::{ErrorKind, InferError};

/// Buffers kept per thread after an image; a larger one gives its memory back.
const SCRATCH_KEPT: usize = 16 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Decodes images for one version.
pub struct ImageRows {
    preprocessor: Preprocessor,
    datatype: DataType,
    /// Model and input, for messages.
    label: String,
}

impl ImageRows {
    /// A decoder for an input of that type, which the preprocessor was checked against.
    #[must_use]
    pub fn new(preprocessor: Preprocessor, datatype: DataType, label: String) -> Self {
        Self { preprocessor, datatype, label }
    }

    fn write(&self, encoded: &[u8], row: &mut [u8], scratch: &mut Scratch) -> Result<(), ImageError> {
        match self.datatype {
            DataType::Uint8 => self.preprocessor.preprocess::<u8>(encoded, row, scratch).map(|_| ()),
            DataType::Int8 => {
                self.preprocessor.preprocess::<i8>(encoded, bytemuck::cast_slice_mut(row), scratch).map(|_| ())
            }
            _ => self.preprocessor.preprocess::<f32>(encoded, bytemuck::cast_slice_mut(row), scratch).map(|_| ()),
        }
    }
}

impl ImageDecoder for ImageRows {
    fn row_bytes(&self) -> usize {
        self.preprocessor.elements() * self.datatype.size().unwrap_or(1)
    }

    fn decode(&self, encoded: &[u8], row: &mut [u8], measure: bool) -> Result<Option<ImageStatistics>, InferError> {
        let result = SCRATCH.with_borrow_mut(|scratch| {
            let result = self.write(encoded, row, scratch);
            let result = result.map(|()| measure.then(|| scratch.statistics(&self.preprocessor)).flatten());
            scratch.trim(SCRATCH_KEPT);
            result
        });
        result.map_err(|error| {
            let kind = if error.is_bad_input() { ErrorKind::BadImage } else { ErrorKind::Internal };
            InferError::new(kind, format!("{}: {error}", self.label))
        })
    }
}
