//! How large an image may be; checked from its header, before anything is allocated for its pixels.

use crate::error::ImageError;

/// Upper bounds on one image. A compressed image of a few kilobytes may announce gigabytes of pixels (a
/// decompression bomb); it is refused by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels (width times height) of the encoded image, and of any intermediate image. Decoding takes up to
    /// four bytes per pixel.
    pub max_pixels: u64,
    /// Most bytes of the encoded image.
    pub max_encoded_bytes: usize,
    /// Longest side of the encoded image in pixels.
    pub max_side: u32,
}

impl Default for Limits {
    /// 64 million pixels, 64 MiB encoded, 32,768 pixels a side: above any single-shot area camera, and a line-scan
    /// image of a few thousand columns.
    fn default() -> Self {
        Self { max_pixels: 64_000_000, max_encoded_bytes: 64 << 20, max_side: 32_768 }
    }
}

impl Limits {
    pub(crate) fn check_encoded(&self, bytes: usize) -> Result<(), ImageError> {
        if bytes > self.max_encoded_bytes {
            return Err(ImageError::EncodedTooLarge { found: bytes, limit: self.max_encoded_bytes });
        }
        Ok(())
    }

    pub(crate) fn check_size(&self, width: u32, height: u32) -> Result<(), ImageError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels || width > self.max_side || height > self.max_side {
            return Err(ImageError::TooLarge { width, height, max_pixels: self.max_pixels, max_side: self.max_side });
        }
        Ok(())
    }
}
