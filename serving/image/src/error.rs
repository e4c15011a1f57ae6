//! What can be wrong with one image. None of these touches any other request.

use crate::format::Format;

/// Why an image could not become a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("the image is empty (0 bytes); send the bytes of a JPEG, PNG or BMP file")]
    Empty,
    /// The first bytes are of no known format.
    #[error("unknown image format: the first bytes are [{found}]; expected JPEG, PNG or BMP")]
    UnknownFormat {
        /// The first bytes in hexadecimal.
        found: String,
    },
    /// More encoded bytes than allowed.
    #[error(
        "the encoded image has {found} bytes, more than the limit of {limit}; send a smaller image or raise the limit"
    )]
    EncodedTooLarge {
        /// Bytes sent.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The header announces more pixels than allowed.
    #[error(
        "the image is {width}x{height} pixels by its header; at most {max_pixels} pixels and {max_side} per side are \
         allowed; send a smaller image or raise the limit"
    )]
    TooLarge {
        /// Announced width in pixels.
        width: u32,
        /// Announced height in pixels.
        height: u32,
        /// Pixels allowed.
        max_pixels: u64,
        /// Pixels per side allowed.
        max_side: u32,
    },
    /// Scaling the shorter side as the version wants would make the longer side absurd.
    #[error(
        "a {width}x{height} image becomes {scaled_width}x{scaled_height} when its shorter side is scaled, above the \
         limit of {max_pixels} pixels; crop it before sending"
    )]
    AspectRatio {
        /// Width of the image in pixels.
        width: u32,
        /// Height of the image in pixels.
        height: u32,
        /// Width after scaling.
        scaled_width: u64,
        /// Height after scaling.
        scaled_height: u64,
        /// Pixels allowed.
        max_pixels: u64,
    },
    /// The file ends before the image does.
    #[error("the {format} file ends early, after {bytes} bytes ({reason}); send the whole file")]
    Truncated {
        /// Its format.
        format: Format,
        /// Bytes that were sent.
        bytes: usize,
        /// What was missing.
        reason: String,
    },
    /// The file contradicts its format.
    #[error("the {format} file is damaged: {reason}")]
    Corrupt {
        /// Its format.
        format: Format,
        /// What is wrong.
        reason: String,
    },
    /// A valid file of a kind that is not read.
    #[error("this kind of {format} file is not supported: {reason}")]
    Unsupported {
        /// Its format.
        format: Format,
        /// What is not supported, and what is.
        reason: String,
    },
    /// The output slice does not have one element per tensor element. A fault of the caller, not of the image.
    #[error("the output has room for {found} elements, the tensor of one image has {expected}")]
    OutputLength {
        /// Elements given.
        found: usize,
        /// Elements needed.
        expected: usize,
    },
    /// A decoding library failed in a way it should not; the failure was contained.
    #[error("the {format} decoder failed on this image ({reason}); please report it with the file")]
    Decoder {
        /// Format of the image.
        format: Format,
        /// What the library said.
        reason: String,
    },
    /// Resampling refused its arguments, which a valid `Preprocess` never leads to.
    #[error("resizing failed: {reason}")]
    Resize {
        /// What the library said.
        reason: String,
    },
}

impl ImageError {
    /// Stable snake_case label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::EncodedTooLarge { .. } => "encoded_too_large",
            Self::TooLarge { .. } => "too_large",
            Self::AspectRatio { .. } => "aspect_ratio",
            Self::Truncated { .. } => "truncated",
            Self::Corrupt { .. } => "corrupt",
            Self::Unsupported { .. } => "unsupported",
            Self::OutputLength { .. } => "output_length",
            Self::Decoder { .. } => "decoder_fault",
            Self::Resize { .. } => "resize_fault",
        }
    }

    /// Whether the image is to blame, as opposed to the caller or this crate.
    #[must_use]
    pub const fn is_bad_input(&self) -> bool {
        !matches!(self, Self::OutputLength { .. } | Self::Decoder { .. } | Self::Resize { .. })
    }

    pub(crate) fn unknown_format(bytes: &[u8]) -> Self {
        let found = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        Self::UnknownFormat { found }
    }

    pub(crate) fn corrupt(format: Format, reason: impl Into<String>) -> Self {
        Self::Corrupt { format, reason: reason.into() }
    }

    pub(crate) fn unsupported(format: Format, reason: impl Into<String>) -> Self {
        Self::Unsupported { format, reason: reason.into() }
    }

    pub(crate) fn truncated(format: Format, bytes: usize, reason: impl Into<String>) -> Self {
        Self::Truncated { format, bytes, reason: reason.into() }
    }
}
