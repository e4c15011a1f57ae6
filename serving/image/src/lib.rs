//! From an encoded camera image to the model's input tensor: sniff, check limits, decode, resize, normalise.
//!
//! A [`Preprocessor`] is built once per model version from its [`Preprocess`](takt_artifact::Preprocess) and
//! shared by all threads; each decoding thread owns one [`Scratch`], whose buffers are reused from image to image.
//!
//! # What is read
//! JPEG (baseline, progressive; grey, YCbCr, RGB, CMYK and YCCK), PNG (all colour types and depths) and BMP
//! (uncompressed, 1 to 32 bits), told apart by their first bytes, never by a name. As Pillow's `Image.open` and
//! `convert("RGB")` do: EXIF orientation and colour profiles are ignored, alpha is dropped without compositing, 16-bit
//! samples keep their high byte. Bytes after the end of the image are ignored.
//!
//! Stricter than Pillow in one point: damaged entropy-coded data is an error and not a warning, because a verdict on
//! half a picture is worse than none.
//!
//! # Order of the steps
//! Grey comes before the resize (a third of the work); BGR is a matter of which plane a sample is written to, so it
//! costs nothing. Luma and resampling are both linear; the order changes a result only by rounding, at most one level
//! of 255.
//!
//! # Where JPEG is decoded
//! The module `jpeg` decodes sequential files at 1/2, 1/4 or 1/8 in safe Rust; `zune-jpeg` does everything else at full size.
//! See its documentation for the measurements that led there.

mod decode;
mod error;
mod format;
mod geometry;
mod jpeg;
mod limits;
mod normalise;
mod preprocessor;
mod spec;
mod statistics;

pub use decode::{DecodeScale, ImageInfo};
pub use error::ImageError;
pub use format::{Format, sniff};
pub use limits::Limits;
pub use normalise::Sample;
pub use preprocessor::{Pixels, Preprocessor, Scratch};
pub use spec::{Fault, SpecError};
pub use statistics::ImageStatistics;
