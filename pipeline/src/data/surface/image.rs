//! A finished picture and its JPEG.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

/// A square picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Width and height in pixels.
    pub size: u16,
    /// Red, green and blue bytes per pixel, row by row.
    pub pixels: Vec<u8>,
}

/// A picture could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode as JPEG")]
pub struct EncodeError(#[from] EncodingError);

impl Image {
    /// The picture as baseline JPEG with 4:2:0 chroma, as cameras write it; `quality` is 1 to 100.
    ///
    /// # Errors
    /// A size of 0, or `pixels` of another length than the size asks for.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(self.pixels.len() / 4);
        let mut encoder = Encoder::new(&mut bytes, quality);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.encode(&self.pixels, self.size, self.size, ColorType::Rgb)?;
        Ok(bytes)
    }
}
