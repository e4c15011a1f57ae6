//! From encoded bytes to interleaved 8-bit RGB or grey, within limits.

mod bmp;
mod jpeg;
mod png;

use std::panic::{AssertUnwindSafe, catch_unwind};

use takt_artifact::Preprocess;

use crate::error::ImageError;
use crate::format::{Format, sniff};
use crate::geometry::Size;
use crate::jpeg::ScanScratch;
use crate::limits::Limits;

/// What an image was before it became a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its format.
    pub format: Format,
    /// Encoded width in pixels.
    pub width: u32,
    /// Encoded height in pixels.
    pub height: u32,
    /// The size it was decoded at.
    pub decoded_at: DecodeScale,
}

/// The part of its size that a JPEG was decoded at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeScale {
    /// All of it; always so for PNG and BMP.
    Full,
    /// 1/2
    Half,
    /// 1/4
    Quarter,
    /// 1/8
    Eighth,
}

impl DecodeScale {
    /// 1, 2, 4 or 8.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// Size of the decoded picture in pixels, rounded up.
    pub(crate) fn scaled(self, width: u32, height: u32) -> (u32, u32) {
        (width.div_ceil(self.denominator()), height.div_ceil(self.denominator()))
    }
}

/// What the decoder should produce.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub limits: &'a Limits,
    /// Grey instead of red, green, blue.
    pub grey: bool,
    /// Says how far a JPEG may be reduced.
    pub spec: &'a Preprocess,
}

/// What came out: pixels are interleaved in the buffer that was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoded {
    pub info: ImageInfo,
    /// Size of the decoded picture in pixels.
    pub size: Size,
}

impl Decoded {
    fn full(format: Format, width: u32, height: u32) -> Self {
        let info = ImageInfo { format, width, height, decoded_at: DecodeScale::Full };
        Self { info, size: Size { width, height } }
    }
}

/// Decodes `bytes` into `out`, whose old contents are of no interest.
pub(crate) fn decode(
    bytes: &[u8],
    request: Request<'_>,
    scan: &mut ScanScratch,
    out: &mut Vec<u8>,
) -> Result<Decoded, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    request.limits.check_encoded(bytes.len())?;
    let format = sniff(bytes).ok_or_else(|| ImageError::unknown_format(bytes))?;
    // The decoders return errors; should one panic on some hostile file all the same, it is this request's failure only.
    // The buffers it may leave half written are overwritten by the next image.
    catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, request, scan, out),
        Format::Png => png::decode(bytes, request, out),
        Format::Bmp => bmp::decode(bytes, request, out),
    }))
    .unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked");
        Err(ImageError::Decoder { format, reason: reason.to_owned() })
    })
}

/// Luma of one pixel in 0-255, as Pillow's `convert("L")`: ITU-R BT.601 in 16-bit fixed point.
#[inline(always)]
pub(crate) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// Turns interleaved RGB into grey in place.
pub(crate) fn rgb_to_grey(pixels: &mut Vec<u8>) {
    let count = pixels.len() / 3;
    for i in 0..count {
        pixels[i] = luma([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]]);
    }
    pixels.truncate(count);
}

/// Turns grey into interleaved RGB in place.
pub(crate) fn grey_to_rgb(pixels: &mut Vec<u8>) {
    let count = pixels.len();
    pixels.resize(count * 3, 0);
    for i in (0..count).rev() {
        let value = pixels[i];
        pixels[3 * i..3 * i + 3].fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_back_is_the_identity_on_grey() {
        let mut pixels: Vec<u8> = (0..=255).collect();
        grey_to_rgb(&mut pixels);
        assert_eq!(pixels.len(), 768);
        rgb_to_grey(&mut pixels);
        assert_eq!(pixels, (0..=255).collect::<Vec<u8>>());
    }
}
