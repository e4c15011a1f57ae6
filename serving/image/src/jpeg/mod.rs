//! Scaled decoding of sequential JPEG (ITU-T T.81) at 1/2, 1/4 or 1/8 of its size.
//!
//! # Why this exists
//! A camera frame is many times larger than a network's input, and decoding it at full size to throw most pixels away
//! is the largest cost of a request. libjpeg-turbo can reconstruct a smaller picture directly; no maintained decoder in
//! safe Rust was found that does so at its speed. Measured on one 1920x1080 4:2:0 frame of quality 90, decoding to
//! 480x270 or, where that is not possible, at full size: Pillow's libjpeg-turbo with SIMD 4.8 ms, the `mozjpeg` crate
//! built with only a C compiler 6.0 ms, `jpeg-decoder` 7.0 ms, `zune-jpeg` (full size) 8.3 ms. With the resize to
//! 224x224, Pillow takes 6.6 ms and this crate 5.2 ms, measured in turn by `benches/decode.rs`.
//!
//! The C decoder would have put untrusted bytes into memory-unsafe code, without being faster where there is no
//! assembler. So the one loop that matters is here, and nothing else: whatever [`Scaled::plan`] does not take
//! (progressive, CMYK, several scans, rare sampling factors) goes to `zune-jpeg`.
//!
//! # How it works
//! The picture at 1/s is the box average of the full one over s by s pixels. The inverse DCT and the average are both
//! linear, so a block's few output samples are a sum of one small constant picture per coefficient ([`basis`]). That sum
//! is taken while the coefficients are read; there is no coefficient block, no zeroing, no transform pass, and at 1/8
//! the AC coefficients are only skipped. Chroma that is subsampled is reconstructed at a finer scale instead of being
//! upsampled: all components of an MCU come out at the same size.
//!
//! The modules follow a file's way: [`header`], [`bits`] and [`huffman`], [`basis`], [`scan`], [`colour`].

pub(crate) mod basis;
pub(crate) mod bits;
pub(crate) mod colour;
pub(crate) mod header;
pub(crate) mod huffman;
pub(crate) mod scan;

pub(crate) use scan::{Scaled, ScanScratch};

/// What a sequential decoder can find wrong in entropy-coded data or headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JpegError {
    #[error("{0}")]
    Corrupt(&'static str),
    #[error("{0}")]
    Truncated(&'static str),
    #[error("{0}")]
    Unsupported(&'static str),
}
