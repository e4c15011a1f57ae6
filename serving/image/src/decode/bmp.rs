//! Uncompressed BMP (Windows BITMAPINFOHEADER and its successors, OS/2 BITMAPCOREHEADER).
//!
//! Own code because there is no decoding to speak of: a header, a palette, and rows padded to four bytes, bottom up.

use super::{Decoded, Request, luma};
use crate::error::ImageError;
use crate::format::Format;

const FORMAT: Format = Format::Bmp;
const BI_RGB: u32 = 0;
const BI_BITFIELDS: u32 = 3;
const BI_ALPHABITFIELDS: u32 = 6;

/// The headers, read and checked.
#[derive(Debug)]
struct Header<'a> {
    width: u32,
    height: u32,
    top_down: bool,
    pixels: Pixels<'a>,
    bits: u16,
    data_offset: usize,
}

#[derive(Debug)]
enum Pixels<'a> {
    /// Indices of 1, 2, 4 or 8 bits into blue, green, red and, but for the oldest headers, one unused byte.
    Palette { table: &'a [u8], entry: usize },
    /// Blue, green, red; at 32 bits an unused byte follows.
    Bgr,
    /// Channels at any place in a 16 or 32 bit word.
    Masks([Mask; 3]),
}

#[derive(Debug, Clone, Copy, Default)]
struct Mask {
    shift: u32,
    max: u32,
}

pub(super) fn decode(bytes: &[u8], request: Request<'_>, out: &mut Vec<u8>) -> Result<Decoded, ImageError> {
    let header = Header::parse(bytes)?;
    let (width, height) = (header.width as usize, header.height as usize);
    request.limits.check_size(header.width, header.height)?;
    let stride = (width * usize::from(header.bits)).div_ceil(32) * 4;
    // The last row's padding is missing in some files.
    let needed = stride * (height - 1) + (width * usize::from(header.bits)).div_ceil(8);
    let data = bytes.get(header.data_offset..).filter(|d| d.len() >= needed).ok_or_else(|| {
        let reason = format!("its pixels need {needed} bytes from byte {} on", header.data_offset);
        ImageError::truncated(FORMAT, bytes.len(), reason)
    })?;
    let channels = if request.grey { 1 } else { 3 };
    out.resize(width * height * channels, 0);
    for (y, to) in out.chunks_exact_mut(width * channels).enumerate() {
        let row = if header.top_down { y } else { height - 1 - y };
        let from = &data[row * stride..];
        for (x, to) in to.chunks_exact_mut(channels).enumerate() {
            let rgb = header.pixel(from, x);
            if request.grey {
                to[0] = luma(rgb);
            } else {
                to.copy_from_slice(&rgb);
            }
        }
    }
    Ok(Decoded::full(FORMAT, header.width, header.height))
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let short = || ImageError::truncated(FORMAT, bytes.len(), "the header is not complete");
        let u16_at =
            |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u16::from_le_bytes(*b)).ok_or_else(short);
        let u32_at =
            |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b)).ok_or_else(short);

        let data_offset = u32_at(10)? as usize;
        let header_size = u32_at(14)?;
        let os2 = header_size == 12;
        let (width, height, bits) = if os2 {
            (i32::from(u16_at(18)?), i32::from(u16_at(20)?), u16_at(24)?)
        } else if matches!(header_size, 40..=256) {
            (u32_at(18)? as i32, u32_at(22)? as i32, u16_at(28)?)
        } else {
            let reason = format!("an info header of {header_size} bytes; 12, or 40 to 256 are read");
            return Err(ImageError::unsupported(FORMAT, reason));
        };
        if width <= 0 || height == 0 {
            return Err(ImageError::corrupt(FORMAT, format!("a size of {width}x{height} pixels")));
        }
        let (compression, colours) = if os2 { (BI_RGB, 0) } else { (u32_at(30)?, u32_at(46)?) };
        let after_header = 14 + header_size as usize;
        let pixels = match (bits, compression) {
            (1 | 2 | 4 | 8, BI_RGB) => {
                let entry = if os2 { 3 } else { 4 };
                let most = 1 << bits;
                let count = if colours == 0 { most } else { colours.min(most) } as usize;
                let table = bytes.get(after_header..after_header + count * entry).ok_or_else(short)?;
                Pixels::Palette { table, entry }
            }
            (24 | 32, BI_RGB) => Pixels::Bgr,
            (16, BI_RGB) => Pixels::Masks([0x7C00, 0x03E0, 0x001F].map(Mask::new)),
            (16 | 32, BI_BITFIELDS | BI_ALPHABITFIELDS) => {
                // Behind a 40-byte header, or within the longer ones: the same place.
                Pixels::Masks([Mask::new(u32_at(54)?), Mask::new(u32_at(58)?), Mask::new(u32_at(62)?)])
            }
            _ => {
                let reason = format!(
                    "{bits} bits per pixel with compression {compression}; uncompressed files of 1 to 32 bits are read"
                );
                return Err(ImageError::unsupported(FORMAT, reason));
            }
        };
        Ok(Self { width: width as u32, height: height.unsigned_abs(), top_down: height < 0, pixels, bits, data_offset })
    }

    /// Red, green, blue of column `x`.
    #[inline(always)]
    fn pixel(&self, row: &[u8], x: usize) -> [u8; 3] {
        match &self.pixels {
            Pixels::Bgr => {
                let at = x * usize::from(self.bits / 8);
                [row[at + 2], row[at + 1], row[at]]
            }
            Pixels::Palette { table, entry } => {
                let bit = x * usize::from(self.bits);
                let shift = 8 - usize::from(self.bits) - bit % 8;
                let index = usize::from(row[bit / 8] >> shift) & ((1 << self.bits) - 1);
                // An index beyond the palette is black, as in other readers.
                match table.get(index * entry..index * entry + 3) {
                    Some(&[b, g, r]) => [r, g, b],
                    _ => [0; 3],
                }
            }
            Pixels::Masks(masks) => {
                let at = x * usize::from(self.bits / 8);
                let low = u32::from(row[at]) | u32::from(row[at + 1]) << 8;
                let word = if self.bits == 32 {
                    low | u32::from(row[at + 2]) << 16 | u32::from(row[at + 3]) << 24
                } else {
                    low
                };
                masks.map(|m| m.sample(word))
            }
        }
    }
}

impl Mask {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        Self { shift, max: mask >> shift }
    }

    /// Scaled to 0-255.
    #[inline(always)]
    fn sample(self, word: u32) -> u8 {
        match self.max {
            0 => 0,
            max => (u64::from(word >> self.shift & max) * 255 / u64::from(max)) as u8,
        }
    }
}
