//! JPEG: limits from the header, then the decoder that fits the file.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Decoded, ImageInfo, Request, grey_to_rgb, rgb_to_grey};
use crate::error::ImageError;
use crate::format::Format;
use crate::geometry::{Size, decode_scale};
use crate::jpeg::header::{Header, has_end};
use crate::jpeg::{JpegError, Scaled, ScanScratch};

const FORMAT: Format = Format::Jpeg;

/// Scans of a progressive file; real encoders write about ten. Each costs a pass over the whole picture, so a small
/// file with thousands would take minutes.
const MAX_SCANS: usize = 64;

pub(super) fn decode(
    bytes: &[u8],
    request: Request<'_>,
    scan: &mut ScanScratch,
    out: &mut Vec<u8>,
) -> Result<Decoded, ImageError> {
    let ours = |error: JpegError| match error {
        JpegError::Corrupt(reason) => ImageError::corrupt(FORMAT, reason),
        JpegError::Truncated(reason) => ImageError::truncated(FORMAT, bytes.len(), reason),
        JpegError::Unsupported(reason) => ImageError::unsupported(FORMAT, reason),
    };
    let header = Header::parse(bytes).map_err(ours)?;
    let (width, height) = (header.width, header.height);
    request.limits.check_size(width, height)?;

    let scale = decode_scale(request.spec, width, height);
    if let Some(scaled) = Scaled::plan(&header, bytes, scale) {
        let (decoded_width, decoded_height) = scaled.decode(request.grey, scan, out).map_err(ours)?;
        return Ok(Decoded {
            info: ImageInfo { format: FORMAT, width, height, decoded_at: scale },
            size: Size { width: decoded_width, height: decoded_height },
        });
    }
    // The library fills what is missing with grey.
    if !bytes.get(header.scan_start..).is_some_and(has_end) {
        return Err(ImageError::truncated(FORMAT, bytes.len(), "there is no end marker"));
    }
    full_size(bytes, &header, request.grey, out)?;
    Ok(Decoded::full(FORMAT, width, height))
}

/// Decodes with `zune-jpeg`.
fn full_size(bytes: &[u8], header: &Header<'_>, grey: bool, out: &mut Vec<u8>) -> Result<(), ImageError> {
    let theirs = |error: DecodeErrors| match error {
        DecodeErrors::Unsupported(_) => ImageError::unsupported(
            FORMAT,
            "only Huffman-coded baseline, extended and progressive files of 8 bits per sample are read",
        ),
        error => ImageError::corrupt(FORMAT, error.to_string()),
    };
    if header.precision != 8 {
        let reason = format!("{} bits per sample, only 8 are read", header.precision);
        return Err(ImageError::unsupported(FORMAT, reason));
    }
    // The library turns only grey and YCbCr into grey.
    let one = header.components().len() == 1;
    let colorspace = if one { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::new_fast()
        .jpeg_set_out_colorspace(colorspace)
        .jpeg_set_max_scans(MAX_SCANS)
        .set_max_width(header.width as usize)
        .set_max_height(header.height as usize)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(theirs)?;
    let size = decoder.output_buffer_size().ok_or_else(|| ImageError::corrupt(FORMAT, "there is no frame header"))?;
    let expected = header.width as usize * header.height as usize * if one { 1 } else { 3 };
    if size != expected {
        let reason = format!("its {} colour components are not of a known kind", header.components().len());
        return Err(ImageError::unsupported(FORMAT, reason));
    }
    out.resize(size, 0);
    decoder.decode_into(out).map_err(theirs)?;
    match (one, grey) {
        (true, false) => grey_to_rgb(out),
        (false, true) => rgb_to_grey(out),
        _ => {}
    }
    Ok(())
}
