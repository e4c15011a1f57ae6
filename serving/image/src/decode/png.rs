//! PNG through the `png` crate, with its checksums checked.

use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::{Decoded, Request, grey_to_rgb, rgb_to_grey};
use crate::error::ImageError;
use crate::format::Format;

const FORMAT: Format = Format::Png;

/// Bytes that chunks other than the picture may take.
const MAX_METADATA_BYTES: usize = 8 << 20;

pub(super) fn decode(bytes: &[u8], request: Request<'_>, out: &mut Vec<u8>) -> Result<Decoded, ImageError> {
    let ours = |error: DecodingError| match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(FORMAT, bytes.len(), "the picture data is not complete")
        }
        DecodingError::LimitsExceeded => ImageError::corrupt(FORMAT, "a chunk beside the picture is absurdly large"),
        error => ImageError::corrupt(FORMAT, error.to_string()),
    };
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(ours)?;
    let (width, height) = (header.width, header.height);
    request.limits.check_size(width, height)?;
    // The library counts its row buffers against this, at most 8 bytes per pixel of a row.
    decoder.set_limits(Limits { bytes: MAX_METADATA_BYTES.saturating_add(width as usize * 64) });
    // Palettes become RGB, 1 to 4 bits become 8, 16 bits keep the high byte.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(ours)?;
    let size = reader.output_buffer_size().ok_or_else(|| ImageError::corrupt(FORMAT, "its size overflows"))?;
    out.resize(size, 0);
    let frame = reader.next_frame(out).map_err(ours)?;
    if (frame.width, frame.height) != (width, height) {
        return Err(ImageError::unsupported(FORMAT, "an animation whose first frame is not the whole picture"));
    }
    out.truncate(frame.buffer_size());
    match (frame.color_type, request.grey) {
        (ColorType::Grayscale, true) | (ColorType::Rgb, false) => {}
        (ColorType::Grayscale, false) => grey_to_rgb(out),
        (ColorType::GrayscaleAlpha, grey) => {
            keep_first::<2, 1>(out);
            if !grey {
                grey_to_rgb(out);
            }
        }
        (ColorType::Rgb, true) => rgb_to_grey(out),
        (ColorType::Rgba, grey) => {
            keep_first::<4, 3>(out);
            if grey {
                rgb_to_grey(out);
            }
        }
        (ColorType::Indexed, _) => {
            return Err(ImageError::corrupt(FORMAT, "its palette is missing"));
        }
    }
    Ok(Decoded::full(FORMAT, width, height))
}

/// Of every `FROM` samples keeps the first `KEEP`, in place.
fn keep_first<const FROM: usize, const KEEP: usize>(pixels: &mut Vec<u8>) {
    let count = pixels.len() / FROM;
    for i in 0..count {
        pixels.copy_within(i * FROM..i * FROM + KEEP, i * KEEP);
    }
    pixels.truncate(count * KEEP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_dropped_in_place() {
        let mut pixels = vec![1, 2, 3, 99, 4, 5, 6, 99];
        keep_first::<4, 3>(&mut pixels);
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
    }
}
