//! A version's preprocessing, ready to run.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use takt_artifact::DataType;
use takt_artifact::preprocess::{Color, Filter, Preprocess};

use crate::decode::{Decoded, ImageInfo, Request, decode};
use crate::error::ImageError;
use crate::geometry::{Placement, Size, place, scaled_size};
use crate::jpeg::ScanScratch;
use crate::limits::Limits;
use crate::normalise::{Normalise, Sample};
use crate::spec::{self, SpecError};
use crate::statistics::ImageStatistics;

/// Executes one version's `Preprocess`. Cheap to share; it has no mutable state.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    spec: Preprocess,
    limits: Limits,
    normalise: Normalise,
}

/// Buffers of one decoding thread. They grow to the largest image seen and stay; [`Scratch::trim`] gives memory back.
#[derive(Debug, Default)]
pub struct Scratch {
    scan: ScanScratch,
    decoded: Vec<u8>,
    scaled: Vec<u8>,
    canvas: Vec<u8>,
    luma: Vec<u8>,
    resizer: Resizer,
}

/// An image at the tensor's size, before normalisation: 8-bit samples, rows from the top, no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 3 (red, green, blue, whatever the tensor's order) or 1 (grey).
    pub channels: usize,
    /// `height * width * channels` samples.
    pub data: &'a [u8],
}

impl Preprocessor {
    /// Checks `spec` and prepares it.
    ///
    /// # Errors
    /// All faults of `spec`, with key, what was found and what was expected.
    pub fn new(spec: &Preprocess, limits: Limits) -> Result<Self, SpecError> {
        spec::check(spec)?;
        Ok(Self { spec: spec.clone(), limits, normalise: Normalise::new(spec) })
    }

    /// Checks that the tensor of type `datatype` can hold the images: FP32, or UINT8 and INT8 with a `scale` that keeps
    /// their samples apart.
    ///
    /// # Errors
    /// The fault, as [`Preprocessor::new`] reports it.
    pub fn check_datatype(&self, datatype: DataType) -> Result<(), SpecError> {
        spec::check_datatype(&self.spec, datatype)
    }

    /// Elements of one image's tensor.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.spec.elements()
    }

    /// What is executed.
    #[must_use]
    pub fn spec(&self) -> &Preprocess {
        &self.spec
    }

    /// Decodes, resizes and normalises one image into `out`, which has [`Preprocessor::elements`] elements. `out` is
    /// untouched on error. [`Scratch::pixels`] has the resized pixels afterwards.
    ///
    /// # Errors
    /// What is wrong with the image; see [`ImageError`].
    pub fn preprocess<T: Sample>(
        &self,
        bytes: &[u8],
        out: &mut [T],
        scratch: &mut Scratch,
    ) -> Result<ImageInfo, ImageError> {
        if out.len() != self.elements() {
            return Err(ImageError::OutputLength { found: out.len(), expected: self.elements() });
        }
        let (info, pixels) = self.decode(bytes, scratch)?;
        self.normalise.write(pixels.data, out);
        Ok(info)
    }

    /// Normalises pixels that [`Preprocessor::decode`] gave, now or earlier, into `out`, which has
    /// [`Preprocessor::elements`] elements: so that training may keep and change pixels and still give the model what
    /// serving would.
    ///
    /// # Errors
    /// Pixels or an output of another length.
    pub fn normalise<T: Sample>(&self, pixels: &[u8], out: &mut [T]) -> Result<(), ImageError> {
        let expected = self.elements();
        if let Some(found) = [pixels.len(), out.len()].into_iter().find(|found| *found != expected) {
            return Err(ImageError::OutputLength { found, expected });
        }
        self.normalise.write(pixels, out);
        Ok(())
    }

    /// Decodes and resizes one image, without normalisation.
    ///
    /// # Errors
    /// What is wrong with the image; see [`ImageError`].
    pub fn decode<'s>(&self, bytes: &[u8], scratch: &'s mut Scratch) -> Result<(ImageInfo, Pixels<'s>), ImageError> {
        scratch.canvas.clear();
        let (width, height) = (self.spec.width, self.spec.height);
        let channels = self.spec.color.channels();
        let request = Request { limits: &self.limits, grey: self.spec.color == Color::Gray, spec: &self.spec };
        let decoded = decode(bytes, request, &mut scratch.scan, &mut scratch.decoded)?;
        let scaled = self.scaled(decoded.info)?;
        let placement = place(&self.spec, scaled);
        let direct = scaled == Size { width, height };
        let to = if direct { &mut scratch.canvas } else { &mut scratch.scaled };
        resize(&mut scratch.resizer, &decoded, &scratch.decoded, self.spec.filter, channels, scaled, to)?;
        if !direct {
            compose(placement, &scratch.scaled, Size { width, height }, channels, &mut scratch.canvas);
        }
        Ok((decoded.info, Pixels { width, height, channels, data: &scratch.canvas }))
    }

    /// Figures of pixels that [`Preprocessor::decode`] gave, now or earlier. `luma` is a buffer to reuse.
    #[must_use]
    pub fn statistics(&self, pixels: &[u8], luma: &mut Vec<u8>) -> Option<ImageStatistics> {
        let Preprocess { width, height, color, .. } = self.spec;
        ImageStatistics::of(&Pixels { width, height, channels: color.channels(), data: pixels }, luma)
    }

    fn scaled(&self, info: ImageInfo) -> Result<Size, ImageError> {
        let (width, height) = scaled_size(&self.spec, info.width, info.height);
        let absurd = || ImageError::AspectRatio {
            width: info.width,
            height: info.height,
            scaled_width: width,
            scaled_height: height,
            max_pixels: self.limits.max_pixels,
        };
        if width.saturating_mul(height) > self.limits.max_pixels {
            return Err(absurd());
        }
        let side = |n: u64| u32::try_from(n).map_err(|_| absurd());
        Ok(Size { width: side(width)?, height: side(height)? })
    }
}

impl Scratch {
    /// Empty buffers; nothing is allocated before the first image.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The resized samples of the last image that succeeded, interleaved; empty before the first.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.canvas
    }

    /// Figures of the last image that `preprocessor` decoded with these buffers; none before the first.
    #[must_use]
    pub fn statistics(&mut self, preprocessor: &Preprocessor) -> Option<ImageStatistics> {
        preprocessor.statistics(&self.canvas, &mut self.luma)
    }

    /// Bytes held for pixels.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.decoded.capacity() + self.scaled.capacity() + self.canvas.capacity() + self.luma.capacity()
    }

    /// Gives buffers back if together they hold more than `keep` bytes, for after an unusually large image.
    pub fn trim(&mut self, keep: usize) {
        if self.capacity() > keep {
            *self = Self::default();
        }
    }
}

/// Resizes the decoded picture to `scaled`.
fn resize(
    resizer: &mut Resizer,
    decoded: &Decoded,
    pixels: &[u8],
    filter: Filter,
    channels: usize,
    scaled: Size,
    out: &mut Vec<u8>,
) -> Result<(), ImageError> {
    let failed = |reason: String| ImageError::Resize { reason };
    let pixel_type = if channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    out.resize(scaled.width as usize * scaled.height as usize * channels, 0);
    let source = ImageRef::new(decoded.size.width, decoded.size.height, pixels, pixel_type)
        .map_err(|e| failed(e.to_string()))?;
    let mut target =
        Image::from_slice_u8(scaled.width, scaled.height, out, pixel_type).map_err(|e| failed(e.to_string()))?;
    let algorithm = match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
    };
    // A picture decoded at 1/s is rounded up to whole pixels; the last column and row stand for less than one.
    let denominator = f64::from(decoded.info.decoded_at.denominator());
    let (width, height) = (f64::from(decoded.info.width) / denominator, f64::from(decoded.info.height) / denominator);
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false).crop(0.0, 0.0, width, height);
    resizer.resize(&source, &mut target, &options).map_err(|e| failed(e.to_string()))
}

/// Puts the scaled picture where it belongs on the canvas.
fn compose(placement: Placement, scaled: &[u8], canvas_size: Size, channels: usize, canvas: &mut Vec<u8>) {
    let Placement { scaled: size, from, to, fill } = placement;
    canvas.resize(canvas_size.width as usize * canvas_size.height as usize * channels, fill);
    let columns = (size.width - from.0).min(canvas_size.width - to.0) as usize * channels;
    let rows = (size.height - from.1).min(canvas_size.height - to.1) as usize;
    let source = scaled.chunks_exact(size.width as usize * channels).skip(from.1 as usize);
    let target = canvas.chunks_exact_mut(canvas_size.width as usize * channels).skip(to.1 as usize);
    for (source, target) in source.zip(target).take(rows) {
        let (from, to) = (from.0 as usize * channels, to.0 as usize * channels);
        target[to..to + columns].copy_from_slice(&source[from..from + columns]);
    }
}
